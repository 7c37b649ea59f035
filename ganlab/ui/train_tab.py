"""The Train tab: the form on the left, the run on the right, and what happens between them.

The page keeps no truth of its own. A timer asks for the run's view; a version number tells that
nothing changed, and then nothing is sent. The id of the watched run lives in the page, the owner's
tokens in the browser, so that a reload, a link and a restarted server all find the run again.
"""

import atexit
import shutil
import tempfile
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ganlab.export import export
from ganlab.jobs import Jobs, UnknownRun
from ganlab.ui.form import Form, build_form, read_form, show_config
from ganlab.ui.history import CONFIRM, History, build_history, delete_run, list_runs
from ganlab.ui.shelf import build_shelf
from ganlab.ui.watch import Seen, Watch, build_watch, grid_at, show, show_empty

DELETED = "The run is deleted."
MAX_TOKENS = 20
SECONDS_TO_STOP = 1.0
QUICK = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
# Only a queued event can show a gr.Error: one that skips the queue fails without a word.
ACT = {"show_progress": "hidden", "api_visibility": "private"}

SHOW_RUN_IN_ADDRESS = """(run) => {
  const url = new URL(window.location);
  run ? url.searchParams.set("run", run) : url.searchParams.delete("run");
  window.history.replaceState({}, "", url);
}"""
SCROLL_TO_RUN = """() => {
  if (window.innerWidth < 900)
    document.getElementById("run")?.scrollIntoView({behavior: "smooth", block: "start"});
}"""
CLICK_DOWNLOAD = """() => {
  document.querySelector("#download-file a, a#download-file, #download-file")?.click();
}"""


def build_train_tab(page: gr.Blocks, jobs: Jobs) -> None:
    current = gr.Textbox(visible=False)  # id of the watched run; "" = none
    saved = gr.BrowserState({"run": "", "tokens": {}}, storage_key="ganlab", secret="ganlab")
    seen = gr.State(Seen())
    # Whether the slider is at its right end. Not read off it at each tick: a slider refuses a value
    # beyond its maximum, and a resumed run can have fewer grids than the page still shows.
    follows = gr.State(True)
    exports = Path(tempfile.mkdtemp(prefix="ganlab-export-"))
    atexit.register(shutil.rmtree, exports, ignore_errors=True)
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=340):
            form = build_form()
            with gr.Column(elem_classes="gl-card"):
                history = build_history()
        with gr.Column(scale=8, min_width=340, elem_id="run"):
            watch = build_watch()
            build_shelf(exports)
    _wire(page, jobs, form, watch, history, current, saved, seen, follows, exports)


def _wire(
    page: gr.Blocks,
    jobs: Jobs,
    form: Form,
    watch: Watch,
    history: History,
    current: gr.Textbox,
    saved: gr.BrowserState,
    seen: gr.State,
    follows: gr.State,
    exports: Path,
) -> None:
    shown = [getattr(watch, name) for name in watch.__dataclass_fields__]

    def show_run(run_id: str, store: Any, last: Seen, follow: bool = True) -> dict[Any, Any]:
        """Updates for what has changed since `last`; an empty page if the run is gone."""
        try:
            view = jobs.view(run_id)
        except UnknownRun as error:  # what this page has shown a moment ago was there
            hint = DELETED if last.run_id == run_id else f"{error}.".capitalize()
            return {current: "", **show_empty(watch, hint)}
        is_owner = _token(store, run_id) is not None
        now, updates = show(watch, jobs, view, last=last, follows=follow, is_owner=is_owner)
        return {seen: now, **updates} if updates else {}

    def tick(run_id: str, store: Any, last: Seen, follow: bool) -> Any:
        return (run_id and show_run(run_id, store, last, follow)) or gr.skip()

    def look_back(run_id: str, moment: float | None, last: Seen) -> Any:
        view = jobs.view(run_id)
        place = min(max(int(moment or 1), 1), len(view.grid_steps))
        return (grid_at(jobs, view, place), place >= last.n_grids) if place else gr.skip()

    def start(store: Any, *values: Any) -> Any:
        try:
            run_id, token = jobs.submit(read_form(values))
        except ValueError as error:
            raise _refusal("Cannot start", error) from None
        return watch_own(run_id, token, store)

    def watch_own(run_id: str, token: str, store: Any) -> dict[Any, Any]:
        """Turns the page to a run that this browser has just started, and keeps its token."""
        tokens = {**_tokens(store), run_id: token}
        store = {"run": run_id, "tokens": dict(list(tokens.items())[-MAX_TOKENS:])}
        return {current: run_id, saved: store, follows: True, **show_run(run_id, store, Seen())}

    def remedy(run_id: str, store: Any) -> Any:
        try:
            new_id, token = jobs.remedy(run_id, _token(store, run_id))
        except ValueError as error:
            raise _refusal("Cannot do this now", error) from None
        step = jobs.view(new_id).step
        how = f"goes on from step {step:,}" if step else "begins anew"
        gr.Info(f"A new run {how}. The one before is kept under Your runs.", duration=8)
        return watch_own(new_id, token, store)

    def stop(run_id: str, store: Any) -> None:
        try:
            jobs.stop(run_id, _token(store, run_id))
            jobs.wait(run_id, SECONDS_TO_STOP)  # mostly over before the next tick would tell
        except ValueError as error:
            raise _refusal("Cannot stop", error) from None

    def resume(run_id: str, store: Any) -> None:
        try:
            jobs.resume(run_id, _token(store, run_id))
        except ValueError as error:
            raise _refusal("Cannot resume", error) from None

    def prepare_download(run_id: str) -> Any:
        try:
            run = jobs.run(run_id)
            folder = exports / run.id
            shutil.rmtree(folder, ignore_errors=True)
            return gr.DownloadButton(value=str(export(run, folder)))
        except ValueError as error:
            raise _refusal("Nothing to download yet", error) from None

    def open_run(run_id: str, store: Any) -> Any:
        return {
            current: run_id,
            saved: {"run": run_id, "tokens": _tokens(store)},
            follows: True,
            **show_run(run_id, store, Seen()),
        }

    def refresh_history(run_id: str, store: Any) -> Any:
        return list_runs(jobs, list(_tokens(store)), run_id)

    def delete(picked: str, store: Any) -> Any:
        """Deletes the chosen run; nothing was chosen if the visitor thought better of it."""
        if not picked:
            return gr.skip()
        delete_run(jobs, picked, _token(store, picked), _refusal)
        tokens = {key: value for key, value in _tokens(store).items() if key != picked}
        return {
            saved: {"run": "", "tokens": tokens},
            current: "",
            # What was seen stays: a tick that is under way still asks for the run.
            history.picked: list_runs(jobs, list(tokens), ""),
            **show_empty(watch, DELETED),
        }

    def attach(store: Any, request: gr.Request) -> Any:
        """Finds the run of a link or, failing that, this browser's last one."""
        linked = request.query_params.get("run", "")
        run_id = linked or (store.get("run", "") if isinstance(store, dict) else "")
        if not run_id:
            return gr.skip()
        try:
            view = jobs.view(run_id)
        except UnknownRun:
            if not linked:
                return gr.skip()
            return show_empty(watch, "The run in this link is not here any more.")
        updates = show_run(run_id, store, Seen())
        return {current: run_id, **updates, **show_config(form, view.config)}

    watched = [current, saved, seen, follows]
    everything = [current, saved, seen, follows, *shown]
    timer = gr.Timer(1.0)
    timer.tick(tick, watched, [current, seen, *shown], **QUICK)

    for button, act, inputs in (
        (form.start, start, [saved, *form.inputs]),
        (watch.begin, start, [saved, *form.inputs]),
        (watch.remedy, remedy, [current, saved]),
    ):
        button.click(act, inputs, everything, **ACT).success(
            None, current, None, js=SHOW_RUN_IN_ADDRESS
        ).success(None, None, None, js=SCROLL_TO_RUN)
    for button, act in ((watch.stop, stop), (watch.resume, resume)):
        button.click(act, [current, saved], None, **ACT).then(
            tick, watched, [current, seen, *shown], **QUICK
        )
    watch.moment.input(
        look_back,
        [current, watch.moment, seen],
        [watch.grid, follows],
        trigger_mode="always_last",
        **QUICK,
    )
    watch.download.click(
        prepare_download, current, watch.download_file, api_visibility="private"
    ).success(None, None, None, js=CLICK_DOWNLOAD)
    history.section.expand(refresh_history, [current, saved], history.picked, **QUICK)
    history.picked.input(open_run, [history.picked, saved], everything, **QUICK).then(
        None, current, None, js=SHOW_RUN_IN_ADDRESS
    )
    # The question comes first, in the page: what it answers is what the server is told.
    asked = gr.Textbox(visible=False)
    history.delete.click(None, [history.picked, saved], [asked, saved], js=CONFIRM).then(
        delete, [asked, saved], [*everything, history.picked], **ACT
    ).success(None, current, None, js=SHOW_RUN_IN_ADDRESS)
    page.load(attach, saved, [current, seen, *shown, *_form_outputs(form)], **QUICK).then(
        None, current, None, js=SHOW_RUN_IN_ADDRESS
    )


def _form_outputs(form: Form) -> list[Any]:
    return [*form.inputs, form.card, form.preset_note, form.estimate, form.command]


def _tokens(store: Any) -> dict[str, str]:
    """The owner's tokens out of what the browser keeps, which may have been tampered with."""
    tokens = store.get("tokens") if isinstance(store, dict) else None
    return tokens if isinstance(tokens, dict) else {}


def _token(store: Any, run_id: str) -> str | None:
    return _tokens(store).get(run_id)


def _refusal(title: str, error: ValueError) -> gr.Error:
    """What the page shows of a mistake; gradio takes its text as HTML."""
    text = str(error)
    return gr.Error(escape(text[:1].upper() + text[1:]), title=title, print_exception=False)
