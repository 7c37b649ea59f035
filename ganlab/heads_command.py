"""`python -m ganlab heads`: edits heads in a shell, as the page does."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ganlab import derived
from ganlab.blending import task_weights
from ganlab.heads import ADD, REMOVE, RENAME, Edit
from ganlab.mixing import shares_from_text
from ganlab.runs import Run
from ganlab.source import Source, find_source, read_source

FORMS = {  # of each kind of edit, and what it does
    ADD: (("NAME", "HEAD=SHARE,…"), "a blend as a new head; shares of any scale"),
    RENAME: (("OLD", "NEW"), "a head's new name"),
    REMOVE: (("NAME",), "a head that goes"),
}


class _Ask(argparse.Action):
    """Notes an edit, of whatever kind, among those before: their order counts."""

    def __call__(
        self, _parser: Any, args: argparse.Namespace, words: Any, _flag: Any = None
    ) -> None:
        args.edits = [*args.edits, (self.const, *words)]


def add_command(commands: Any) -> None:
    """The parser of `heads`; `edit_heads` runs what it reads."""
    parser = commands.add_parser(
        "heads",
        help="save blends as heads, rename and remove heads",
        description="Makes a run of the edited heads of a trained generator, which stays as it is. "
        "Edits are made in the order in which they are given. Before a name that begins with a "
        "dash, put a space.",
    )
    parser.set_defaults(command=edit_heads, edits=[])
    parser.add_argument("source", help="a shipped checkpoint, a run (folder or id), or a zip")
    for kind, (form, help_text) in FORMS.items():
        parser.add_argument(
            f"--{kind}", action=_Ask, const=kind, nargs=len(form), metavar=form, help=help_text
        )
    parser.add_argument("--out", type=Path, required=True, help="the new run's folder")
    parser.add_argument("--json", action="store_true", help="print one JSON line at the end")


def edit_heads(args: argparse.Namespace) -> int:
    """Runs the command; gives the exit status."""
    if not args.edits:
        forms = (" ".join((f"--{kind}", *form)) for kind, (form, _) in FORMS.items())
        raise ValueError(f"say what to edit: {', '.join(forms)}")
    source = _open(args.source)
    edits, now = [], source
    for kind, *words in args.edits:
        edit = _edit(now.config.tasks, kind, words)
        now = edit.apply(now)
        edits.append(edit)
    run, _ = derived.create(source, edits, path=args.out)
    words = [edit.words for edit in edits]
    if args.json:
        print(json.dumps({"run": str(run.path), "heads": now.config.tasks, "edits": words}))
    else:
        print("\n".join([*words, f"{', '.join(now.config.tasks)}: {run.path}"]))
    return 0


def _open(text: str) -> Source:
    """As the page does: of a run that added a head, the source with that head."""
    path = find_source(text)
    is_run = (path / "run.json").exists()
    return derived.origin_of_run(Run(path)) if is_run else read_source(path)


def _edit(tasks: Sequence[str], kind: str, words: Sequence[str]) -> Edit:
    """One that was asked for, of a generator with these heads."""
    if kind == ADD:
        name, recipe = words
        try:
            shares = shares_from_text(recipe, tasks)
        except ValueError as error:
            raise ValueError(f"--add {name}: {error}") from None
        return Edit.adding(tasks, name, task_weights(shares))
    head, *new = words
    return Edit(kind, head if head in tasks else head.strip(), *new)
