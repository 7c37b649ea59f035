"""The list of runs that this browser started: open one again, delete it, or bring it back."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ganlab.jobs import Jobs
from ganlab.known import NotOwner, UnknownRun
from ganlab.ui import figures
from ganlab.ui.picker import when_begun
from ganlab.ui.toasts import inform
from ganlab.ui.visitor import MAX_TOKENS, deleted_of, tokens_of

NEARLY_ALL = MAX_TOKENS - 2  # of the runs whose keys a browser keeps
SOON_SECONDS = 3 * 3600.0
NO_RUN = "This is not a run that can be opened"
CONFIRM = """(run) => {
  const sure = run && window.confirm("Delete this run with all its samples and snapshots?");
  return sure ? run : "";
}"""


@dataclass
class History:
    """The components."""

    section: gr.Accordion
    picked: gr.Radio
    delete: gr.Button
    open_zip: gr.UploadButton
    deleted: gr.Row  # below, so that it is seen while the list is closed
    deleted_name: gr.HTML
    undo: gr.Button
    gone: gr.Textbox  # the id of the run that it brings back

    @property
    def told(self) -> list[Any]:
        """What `show_history` gives."""
        return [self.picked, self.delete, self.deleted, self.deleted_name, self.gone]


def build_history() -> History:
    with gr.Accordion("Your runs", open=False, elem_id="history") as section:
        picked = gr.Radio(
            [],
            label="Started in this browser",
            info="Choose one to see it again.",
            elem_id="runs",
        )
        with gr.Row():
            open_zip = gr.UploadButton(
                "Open a downloaded run", file_types=[".zip"], size="sm", elem_id="open-zip"
            )
            delete = gr.Button(
                "Delete this run", variant="stop", size="sm", interactive=False, elem_id="delete"
            )
    with gr.Row(visible=False, elem_id="deleted", elem_classes="gl-tight") as deleted:
        name = gr.HTML(elem_classes="gl-html", min_width=140)
        undo = gr.Button("Undo", size="sm", scale=0, min_width=90, elem_id="undo-last")
        gone = gr.Textbox(visible=False)
    return History(section, picked, delete, open_zip, deleted, name, undo, gone)


def choices(jobs: Jobs, run_ids: list[str]) -> list[tuple[str, str]]:
    """A line for each run that is still there, newest first."""
    lines = []
    for run_id in reversed(run_ids):
        try:
            view, run = jobs.view(run_id), jobs.run(run_id)
        except UnknownRun:
            continue
        state = figures.STATE_WORDS[view.state].lower()
        title = f"{figures.title(view)} · {when_begun(run)}"
        until = jobs.kept_until(run_id)
        kept = f" · kept until {figures.moment(until)}" if until is not None else ""
        lines.append((f"{title} · {state}{kept}", run_id))
    return lines


def going_soon(jobs: Jobs, run_ids: list[str]) -> str:
    """Says so if runs will be removed before long; else empty."""
    soon, has_some = [], False
    for run_id in run_ids:
        try:
            view, until = jobs.view(run_id), jobs.kept_until(run_id)
        except UnknownRun:
            continue
        if until and until - time.time() < SOON_SECONDS:
            soon.append(until)
            has_some = has_some or bool(figures.to_keep(view))
    if not soon:
        return ""
    runs = f"{len(soon)} of your runs are" if len(soon) > 1 else "One of your runs is"
    home = ": download what you want to keep" if has_some else ""
    return f"{runs} removed from {figures.moment(min(soon))} on{home}."


def show_history(
    history: History, jobs: Jobs, store: Any, chosen: str, *, stays: bool = False
) -> dict[Any, Any]:
    """The list, and what was deleted last; `chosen` and `stays` as of `list_runs`."""
    runs, delete = list_runs(jobs, list(tokens_of(store)), chosen, stays=stays)
    return {
        history.picked: runs,
        history.delete: delete,
        **show_deleted(history, jobs, store),
    }


def show_deleted(history: History, jobs: Jobs, store: Any) -> dict[Any, Any]:
    """The line of the run that was deleted last, as long as it can be brought back."""
    run_id, name = last_deleted(jobs, store)
    line = f'<p class="gl-note" role="status">Deleted: <b>{escape(name)}</b></p>' if run_id else ""
    return {
        history.deleted: gr.Row(visible=bool(run_id)),
        history.deleted_name: line,
        history.gone: run_id,
    }


def last_deleted(jobs: Jobs, store: Any) -> tuple[str, str]:
    """Id and title of what the visitor has deleted last and can bring back; both "" = nothing."""
    for run_id, token in reversed(deleted_of(store).items()):
        if name := deleted_title(jobs, run_id, token):
            return run_id, name
    return "", ""


def deleted_title(jobs: Jobs, run_id: str, token: str | None) -> str:
    """What a deleted run is called that its owner can bring back; "" = it is no such run."""
    try:
        return figures.title(jobs.deleted(run_id, token))
    except (UnknownRun, NotOwner):
        return ""


def list_runs(
    jobs: Jobs, run_ids: list[str], chosen: str | None, *, stays: bool = False
) -> tuple[Any, Any]:
    """The list, and the button that deletes what is chosen in it.

    Args:
        chosen: the run on view.
        stays: it is what was chosen in the page, where another one may have been chosen meanwhile.
    """
    lines = choices(jobs, run_ids)
    is_listed = chosen in [run_id for _, run_id in lines]
    info = "Choose one to see it again." if lines else "None yet: press Start."
    if len(run_ids) >= NEARLY_ALL:
        info += f" This browser keeps the keys to its last {MAX_TOKENS} runs: download older ones."
    if stays and (is_listed or not chosen):
        return gr.Radio(choices=lines, info=info), gr.skip()
    value = chosen if is_listed else None
    return gr.Radio(choices=lines, info=info, value=value), gr.Button(interactive=is_listed)


def delete_run(
    jobs: Jobs, run_id: str, token: str | None, refuse: Callable[..., Exception]
) -> None:
    """Deletes a run that has ended; `refuse` makes the error that the page shows."""
    try:
        jobs.delete(run_id, token)
    except ValueError as error:
        raise refuse("Cannot delete", error) from None


def open_download(jobs: Jobs, file: Any) -> tuple[str, str]:
    """Makes a run of a downloaded zip and says what it is good for; gives its id and token, or
    raises ValueError."""
    run_id, token = jobs.open_run(Path(str(file)))
    goes_on = (
        "mix its heads" if jobs.view(run_id).is_derived else "let it go on from where it ended"
    )
    inform(f"The run is open: look through it, or {goes_on}.")
    return run_id, token
