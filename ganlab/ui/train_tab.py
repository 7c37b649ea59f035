"""The Train tab: the form on the left, the run on the right, and what happens between them.

The page keeps no truth of its own. A timer asks for the run's view; a version number tells that
nothing changed, and then nothing is sent. The id of the watched run lives in the page, the owner's
tokens in the browser, so that a reload, a link and a restarted server all find the run again.
"""

import atexit
import logging
import shutil
import tempfile
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from ganlab.export import export
from ganlab.jobs import Jobs, JobView, UnknownRun
from ganlab.ui import figures
from ganlab.ui.form import Form, build_form, read_form, show_config
from ganlab.ui.theme import DISCRIMINATOR, GENERATOR

log = logging.getLogger(__name__)

MAX_TOKENS = 20
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


class Seen(NamedTuple):
    """What a page was sent last."""

    run_id: str = ""
    version: int = -1
    state: str = ""
    n_grids: int = 0
    step: int = -1


@dataclass
class Watch:
    """The components of the right side."""

    empty: gr.Column
    hint: gr.HTML  # why there is nothing to see, where that needs a word
    begin: gr.Button
    live: gr.Column
    state: gr.HTML
    facts: gr.HTML
    stop: gr.Button
    resume: gr.Button
    download: gr.Button
    download_file: gr.DownloadButton
    grid: gr.HTML
    moment: gr.Slider
    plots: gr.Column  # shown once there is data: a plot keeps the axes of its first frame
    losses: gr.LinePlot
    scores: gr.LinePlot
    norms: gr.LinePlot


def build_train_tab(page: gr.Blocks, jobs: Jobs) -> None:
    current = gr.Textbox(visible=False)  # id of the watched run; "" = none
    saved = gr.BrowserState({"run": "", "tokens": {}}, storage_key="ganlab", secret="ganlab")
    seen = gr.State(Seen())
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=340):
            form = build_form()
        with gr.Column(scale=8, min_width=340, elem_id="run"):
            watch = _build_watch()
    _wire(page, jobs, form, watch, current, saved, seen)


def _build_watch() -> Watch:
    with gr.Column(elem_classes="gl-card", elem_id="empty") as empty:
        gr.HTML(figures.EMPTY, elem_classes="gl-html")
        hint = gr.HTML(elem_id="hint", elem_classes="gl-html gl-hint")
        begin = gr.Button("Begin", variant="primary", elem_id="begin", elem_classes="gl-begin")
    with gr.Column(visible=False) as live:
        with gr.Column(elem_classes="gl-card"):
            state = gr.HTML(elem_id="state", elem_classes="gl-html")
            facts = gr.HTML(elem_id="facts", elem_classes="gl-html")
            with gr.Row():
                stop = gr.Button("Stop", elem_id="stop", min_width=100)
                resume = gr.Button("Resume", elem_id="resume", min_width=100, visible=False)
                download = gr.Button("Download", elem_id="download", min_width=100)
                download_file = gr.DownloadButton(visible="hidden", elem_id="download-file")
        with gr.Column(elem_classes="gl-card"):
            grid = gr.HTML(elem_id="grid", elem_classes="gl-html")
            moment = gr.Slider(
                1, 2, value=1, step=1, label="Moment",
                info="Back through the samples of earlier steps; the right end follows the run.",
                elem_id="moment",
                buttons=[],
            )  # fmt: skip
        with gr.Column(elem_classes="gl-card", visible=False) as plots, gr.Row():
            losses = _plot(
                "Loss",
                "Two players: when one gains, the other pays.",
                figures.LOSS_SERIES,
                "losses",
            )
            scores = _plot(
                "D's scores",
                "The closer the two lines, the less D can tell.",
                figures.SCORE_SERIES,
                "scores",
            )
            norms = _plot(
                "Gradient norms",
                "How strongly each network is pushed.",
                figures.NORM_SERIES,
                "norms",
            )
    return Watch(
        empty=empty,
        hint=hint,
        begin=begin,
        live=live,
        state=state,
        facts=facts,
        stop=stop,
        resume=resume,
        download=download,
        download_file=download_file,
        grid=grid,
        moment=moment,
        plots=plots,
        losses=losses,
        scores=scores,
        norms=norms,
    )


def _plot(title: str, note: str, series: dict[str, str], elem_id: str) -> gr.LinePlot:
    first, second = series.values()
    with gr.Column(min_width=230):
        gr.HTML(f'<p class="gl-plot-head">{title}<small>{note}</small></p>', elem_classes="gl-html")
        return gr.LinePlot(
            figures.frame([], series),
            x="step",
            y="value",
            color="series",
            color_map={first: _colour(first), second: _colour(second)},
            x_title="step",
            y_title=" ",
            color_title=" ",
            height=210,
            elem_id=elem_id,
            elem_classes="gl-plot",
            buttons=[],
        )


def _colour(series: str) -> str:
    return GENERATOR if series in ("G", "generated") else DISCRIMINATOR


def _wire(
    page: gr.Blocks,
    jobs: Jobs,
    form: Form,
    watch: Watch,
    current: gr.Textbox,
    saved: gr.BrowserState,
    seen: gr.State,
) -> None:
    shown = [getattr(watch, name) for name in watch.__dataclass_fields__]
    exports = Path(tempfile.mkdtemp(prefix="ganlab-export-"))
    atexit.register(shutil.rmtree, exports, ignore_errors=True)

    def show(run_id: str, store: Any, last: Seen, moment: float | None) -> dict[Any, Any]:
        """Updates for what has changed since `last`."""
        try:
            view = jobs.view(run_id)
        except UnknownRun as error:
            return {current: "", seen: Seen(), **_show_empty(watch, f"{error}.".capitalize())}
        if last.run_id != run_id:
            last = Seen()
        if view.version == last.version:
            return {}
        is_owner = _token(store, run_id) is not None
        now = Seen(run_id, view.version, view.state, len(view.grid_steps), view.step)
        updates: dict[Any, Any] = {seen: now, watch.facts: figures.facts(view)}
        updates[watch.state] = figures.state_line(view, is_owner=is_owner)
        if last.state != view.state or last.n_grids == 0:
            updates |= _show_buttons(watch, view, is_owner)
        if last.run_id == "":
            updates |= {watch.empty: gr.Column(visible=False), watch.live: gr.Column(visible=True)}
        if now.n_grids != last.n_grids or last.run_id == "":
            updates |= show_grids(view, last, moment)
        if now.step != last.step:
            updates |= _show_plots(watch, jobs, view)
        return updates

    def show_grids(view: JobView, last: Seen, moment: float | None) -> dict[Any, Any]:
        n = len(view.grid_steps)
        if n == 0:
            return {watch.grid: figures.WAITING_FOR_GRID, watch.moment: gr.Slider(visible=False)}
        if last.n_grids and moment is not None and moment < last.n_grids:  # looking back
            return {watch.moment: gr.Slider(maximum=n)}
        return {
            watch.grid: grid_at(view, n),
            watch.moment: gr.Slider(maximum=max(n, 2), value=n, visible=n > 1),
        }

    def grid_at(view: JobView, place: int) -> str:
        step = view.grid_steps[place - 1]
        return figures.grid_figure(jobs.grid(view.run_id, step), step, view.tasks)

    def tick(run_id: str, store: Any, last: Seen, moment: float | None) -> Any:
        return (run_id and show(run_id, store, last, moment)) or gr.skip()

    def look_back(run_id: str, moment: float | None) -> Any:
        view = jobs.view(run_id)
        place = min(max(int(moment or 1), 1), len(view.grid_steps))
        return grid_at(view, place) if place else gr.skip()

    def start(store: Any, *values: Any) -> Any:
        try:
            run_id, token = jobs.submit(read_form(values))
        except ValueError as error:
            raise _refusal("Cannot start", error) from None
        tokens = {**_tokens(store), run_id: token}
        store = {"run": run_id, "tokens": dict(list(tokens.items())[-MAX_TOKENS:])}
        return {current: run_id, saved: store, **show(run_id, store, Seen(), None)}

    def stop(run_id: str, store: Any) -> None:
        try:
            jobs.stop(run_id, _token(store, run_id))
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

    def attach(store: Any, request: gr.Request) -> Any:
        """Finds the run of a link or, failing that, this browser's last one."""
        linked = request.query_params.get("run", "")
        run_id = linked or (store or {}).get("run", "")
        if not run_id:
            return gr.skip()
        try:
            view = jobs.view(run_id)
        except UnknownRun:
            if not linked:
                return gr.skip()
            return _show_empty(watch, "The run in this link is not here any more.")
        return {
            current: run_id, **show(run_id, store, Seen(), None), **show_config(form, view.config)
        }  # fmt: skip

    watched = [current, saved, seen, watch.moment]
    everything = [current, saved, seen, *shown]
    timer = gr.Timer(1.0)
    timer.tick(tick, watched, [current, seen, *shown], **QUICK)

    for button in (form.start, watch.begin):
        button.click(start, [saved, *form.inputs], everything, **ACT).success(
            None, current, None, js=SHOW_RUN_IN_ADDRESS
        ).success(None, None, None, js=SCROLL_TO_RUN)
    for button, act in ((watch.stop, stop), (watch.resume, resume)):
        button.click(act, [current, saved], None, **ACT).then(
            tick, watched, [current, seen, *shown], **QUICK
        )
    watch.moment.input(
        look_back, [current, watch.moment], watch.grid, trigger_mode="always_last", **QUICK
    )
    watch.download.click(
        prepare_download, current, watch.download_file, api_visibility="private"
    ).success(None, None, None, js=CLICK_DOWNLOAD)
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
    return gr.Error(escape(str(error)), title=title, print_exception=False)


def _show_empty(watch: Watch, hint: str) -> dict[Any, Any]:
    return {
        watch.empty: gr.Column(visible=True),
        watch.live: gr.Column(visible=False),
        watch.hint: figures.notice(hint),
    }


def _show_buttons(watch: Watch, view: JobView, is_owner: bool) -> dict[Any, Any]:
    again = "Train longer" if view.state == "finished" else "Resume"
    return {
        watch.stop: gr.Button(
            visible=view.is_under_way and is_owner, interactive=view.state != "stopping"
        ),
        watch.resume: gr.Button(again, visible=not view.is_under_way and is_owner),
        watch.download: gr.Button(interactive=view.has_snapshot),
    }


def _show_plots(watch: Watch, jobs: Jobs, view: JobView) -> dict[Any, Any]:
    curve = jobs.curve(view.run_id)
    if len(curve) < 2:
        return {watch.plots: gr.Column(visible=False)}
    return {
        watch.plots: gr.Column(visible=True),
        watch.losses: figures.frame(curve, figures.LOSS_SERIES),
        watch.scores: figures.score_frame(curve, view.config.loss),
        watch.norms: figures.frame(curve, figures.NORM_SERIES),
    }
