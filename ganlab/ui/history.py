"""The list of runs that this browser started: open one again, or delete it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from ganlab.jobs import Jobs
from ganlab.known import UnknownRun
from ganlab.ui import figures
from ganlab.ui.picker import when_begun
from ganlab.ui.toasts import inform
from ganlab.ui.visitor import MAX_TOKENS

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
            delete = gr.Button("Delete this run", variant="stop", size="sm", elem_id="delete")
    return History(section, picked, delete, open_zip)


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
    untils = []
    for run_id in run_ids:
        try:
            untils.append(jobs.kept_until(run_id))
        except UnknownRun:
            continue
    soon = [until for until in untils if until and until - time.time() < SOON_SECONDS]
    if not soon:
        return ""
    runs = f"{len(soon)} of your runs are" if len(soon) > 1 else "One of your runs is"
    return f"{runs} removed from {figures.moment(min(soon))} on: download what you want to keep."


def list_runs(jobs: Jobs, run_ids: list[str], current: str | None = None) -> Any:
    """The list, with the run on view chosen; without `current`, with what was chosen before."""
    lines = choices(jobs, run_ids)
    known = [run_id for _, run_id in lines]
    chosen = {} if current is None else {"value": current if current in known else None}
    info = "Choose one to see it again." if lines else "None yet: press Start."
    if len(run_ids) >= NEARLY_ALL:
        info += f" This browser keeps the keys to its last {MAX_TOKENS} runs: download older ones."
    return gr.Radio(choices=lines, info=info, **chosen)


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
