"""`python -m ganlab heads`: edits heads in a shell, as the page does."""

import argparse
import json
from pathlib import Path
from typing import Any

from ganlab import derived
from ganlab.blending import task_weights
from ganlab.heads import ADD, REMOVE, RENAME, Edit
from ganlab.runs import Run
from ganlab.source import Source, find_source, read_source

Asked = tuple[str, str, Any]  # kind, name, and what it is made of or called


def add_command(commands: Any) -> None:
    """The parser of `heads`; `edit_heads` runs what it reads."""
    parser = commands.add_parser(
        "heads",
        help="save blends as heads, rename and remove heads",
        description="Makes a run of the edited heads of a trained generator, which stays as it is. "
        "Edits are made in the order in which they are given.",
    )
    parser.set_defaults(command=edit_heads, edits=[])
    parser.add_argument("source", help="a shipped checkpoint, a run (folder or id), or a zip")
    flags = {
        "--add": (_blend, "NAME=HEAD:SHARE,…", "a blend as a new head; shares of any scale"),
        "--rename": (_new_name, "OLD=NEW", "a head's new name"),
        "--remove": (lambda text: (REMOVE, text, ""), "NAME", "a head that goes"),
    }
    for flag, (read, metavar, help_text) in flags.items():
        parser.add_argument(
            flag, action="append", dest="edits", type=read, metavar=metavar, help=help_text
        )
    parser.add_argument("--out", type=Path, required=True, help="the new run's folder")
    parser.add_argument("--json", action="store_true", help="print one JSON line at the end")


def edit_heads(args: argparse.Namespace) -> int:
    """Runs the command; gives the exit status."""
    if not args.edits:
        raise ValueError(
            "say what to edit: --add NAME=HEAD:SHARE,…, --rename OLD=NEW, --remove NAME"
        )
    source = _open(args.source)
    edits, now = [], source
    for kind, name, more in args.edits:
        edit = _adding(now, name, more) if kind == ADD else Edit(kind, name, more)
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


def _blend(text: str) -> Asked:
    name, separator, recipe = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=HEAD:SHARE,HEAD:SHARE")
    shares: dict[str, float] = {}
    for part in recipe.split(","):
        head, separator, share = part.rpartition(":")
        try:
            amount = float(share) if separator else 1.0
        except ValueError:
            raise argparse.ArgumentTypeError(f"{share!r} in {part!r} is no share") from None
        head = head if separator else part
        shares[head] = shares.get(head, 0.0) + amount
    return ADD, name, shares


def _new_name(text: str) -> Asked:
    old, separator, new = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not OLD=NEW")
    return RENAME, old, new


def _adding(source: Source, name: str, shares: dict[str, float]) -> Edit:
    tasks = source.config.tasks
    if unknown := [head for head in shares if head not in tasks]:
        raise ValueError(f"There is no head {unknown[0]!r}: choose one of {', '.join(tasks)}.")
    return Edit.adding(tasks, name, task_weights([shares.get(task, 0.0) for task in tasks]))
