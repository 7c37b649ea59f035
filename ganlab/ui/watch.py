"""The right side of Train and Transfer: the components that show a run, and their updates.

What is sent to a page follows from the run's view and from what that page was sent last.
"""

import hmac
import json
import secrets
import zlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import gradio as gr

from ganlab.jobs import Jobs
from ganlab.models import features
from ganlab.strategies import STRATEGIES
from ganlab.transfer_config import TransferConfig, is_race
from ganlab.ui import curves, downloads, figures, task_figures
from ganlab.ui.race_watch import RaceWatch, build_race_watch, show_race
from ganlab.views import JobView

# Drawing plots costs a browser far more than sending them costs the server, and on a laptop
# the browser draws on the cores that train.
SECONDS_BETWEEN_PLOTS = 2.0
KEY = secrets.token_bytes(16)  # versions of runs begin anew with the server


class Seen(NamedTuple):
    """What a page was sent last. It is kept there: a note on the server would be ahead of the page
    when answers overtake each other, and the page would stay at the older one."""

    run_id: str = ""
    version: int = -1
    state: str = ""
    has_snapshot: bool = False
    grids: tuple[int, int] = (-1, -1)  # how many, and the step of the last
    looks: tuple[int, int | None] = (-1, None)  # the steps of the last and of the best
    light: int = 0  # a checksum
    plotted: float = -1.0  # seconds of training that the plots show
    marks: int = -1  # of a race
    laps_measured: int = 0
    moments: int = -1  # at which the tasks were compared
    is_owner: bool = False  # the browser may hand over its tokens late

    def to_text(self) -> str:
        """For the page, with a mark that this server alone can make."""
        text = json.dumps(self)
        return f"{_mark(text)} {text}"

    @classmethod
    def from_text(cls, text: Any) -> "Seen":
        """What a page was sent by this server; else nothing."""
        mark, _, fields = str(text).partition(" ")
        if not hmac.compare_digest(_bytes(mark), _mark(fields).encode()):
            return cls()
        seen = cls(*json.loads(fields))
        return seen._replace(grids=tuple(seen.grids), looks=tuple(seen.looks))


def _mark(text: str) -> str:
    return hmac.new(KEY, _bytes(text), "sha256").hexdigest()[:24]


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


@dataclass
class Watch:
    """The components of the right side."""

    empty: gr.Column
    empty_text: gr.HTML
    hint: gr.HTML  # why there is nothing to see, where that needs a word
    undo: gr.Button  # of a delete
    gone: gr.Textbox  # the id of the run that it brings back
    begin: gr.Button
    live: gr.Column
    state: gr.HTML
    facts: gr.HTML
    health: gr.Row
    light: gr.HTML
    remedy: gr.Button
    stop: gr.Button
    resume: gr.Button
    download: gr.Button
    download_file: gr.DownloadButton
    use: gr.Row  # in other tabs
    to_blend: gr.Button
    to_browse: gr.Button
    samples: gr.Column
    before: gr.HTML  # of a transfer: the source's grid, wiped over the run's
    grid: gr.HTML
    pairs: gr.HTML
    moment: gr.Slider
    race: RaceWatch
    quality: gr.Column  # shown once there is data: a plot keeps the axes of its first frame
    kid: gr.LinePlot
    diversity: gr.LinePlot
    tasks: gr.Column  # of a run with several
    of_tasks: gr.HTML
    agreement: gr.HTML
    plots: gr.Column  # as quality
    losses: gr.LinePlot
    scores: gr.LinePlot
    norms: gr.LinePlot


def build_watch() -> Watch:
    with gr.Column(elem_classes="gl-card", elem_id="empty") as empty:
        empty_text = gr.HTML(figures.EMPTY, elem_classes="gl-html")
        hint = gr.HTML(elem_id="hint", elem_classes="gl-html gl-hint")
        undo = gr.Button(
            "Undo", size="sm", visible=False, elem_id="undo-delete", elem_classes="gl-begin"
        )
        gone = gr.Textbox(visible=False)
        begin = gr.Button("Begin", variant="primary", elem_id="begin", elem_classes="gl-begin")
    with gr.Column(visible=False) as live:
        with gr.Column(elem_classes="gl-card"):
            state = gr.HTML(elem_id="state", elem_classes="gl-html")
            facts = gr.HTML(elem_id="facts", elem_classes="gl-html")
            with gr.Row(visible=False, elem_id="health", equal_height=False) as health:
                light = gr.HTML(elem_id="light", elem_classes="gl-html", min_width=240)
                remedy = gr.Button(
                    visible=False, elem_id="remedy", size="md", scale=0, min_width=240
                )
            with gr.Row():
                stop = gr.Button("Stop", elem_id="stop", min_width=100)
                resume = gr.Button("Resume", elem_id="resume", min_width=100, visible=False)
                download = gr.Button("Download", elem_id="download", min_width=100)
                download_file = downloads.build_file("download-file")
            with gr.Row(visible=False, elem_classes="gl-tight") as use:
                to_blend = gr.Button("Use in Blend", size="sm", elem_id="to-blend", min_width=100)
                to_browse = gr.Button(
                    "Use in Browse", size="sm", elem_id="to-browse", min_width=100
                )
        with gr.Column(elem_classes="gl-card") as samples:
            with gr.Column(elem_id="stage", elem_classes="gl-stage"):
                grid = gr.HTML(elem_id="grid", elem_classes="gl-html")
                before = gr.HTML(elem_id="before", elem_classes="gl-html", js_on_load=figures.WIPES)
            pairs = gr.HTML(elem_id="pairs", elem_classes="gl-html")
            moment = gr.Slider(
                1, 2, value=1, step=1, label="Moment",
                info="Back through the samples of earlier steps; the right end follows the run.",
                elem_id="moment",
                buttons=[],
            )  # fmt: skip
        with gr.Column(elem_classes="gl-card", visible=False) as quality, gr.Row():
            kid = curves.plot(
                f"KID, {features.NAME}",
                "Distance to the real pictures: lower is better.",
                curves.KID_SERIES,
                "kid",
            )
            diversity = curves.plot(
                f"Diversity, {features.NAME}",
                "How varied the samples are: 1 = like the data.",
                curves.DIVERSITY_SERIES,
                "diversity",
            )
        with gr.Column(elem_classes="gl-card", visible=False) as tasks, gr.Row():
            with gr.Column(min_width=310):
                of_tasks = gr.HTML(elem_id="of-tasks", elem_classes="gl-html")
            with gr.Column(min_width=310):
                agreement = gr.HTML(elem_id="agreement", elem_classes="gl-html")
        with gr.Column(elem_classes="gl-card", visible=False) as plots, gr.Row():
            losses = curves.plot(
                "Loss",
                "Two players: when one gains, the other pays.",
                curves.LOSS_SERIES,
                "losses",
            )
            scores = curves.plot(
                "D's scores",
                "The closer the two lines, the less D can tell.",
                curves.SCORE_SERIES,
                "scores",
            )
            norms = curves.plot(
                "Gradient norms",
                "How strongly each network is pushed.",
                curves.NORM_SERIES,
                "norms",
            )
        race = build_race_watch()
    return Watch(
        empty=empty,
        empty_text=empty_text,
        hint=hint,
        undo=undo,
        gone=gone,
        begin=begin,
        live=live,
        state=state,
        facts=facts,
        health=health,
        light=light,
        remedy=remedy,
        stop=stop,
        resume=resume,
        download=download,
        download_file=download_file,
        use=use,
        to_blend=to_blend,
        to_browse=to_browse,
        samples=samples,
        before=before,
        grid=grid,
        pairs=pairs,
        moment=moment,
        race=race,
        quality=quality,
        kid=kid,
        diversity=diversity,
        tasks=tasks,
        of_tasks=of_tasks,
        agreement=agreement,
        plots=plots,
        losses=losses,
        scores=scores,
        norms=norms,
    )


def components(watch: Watch) -> list[Any]:
    """All of them, the race's too."""
    own = [getattr(watch, name) for name in watch.__dataclass_fields__ if name != "race"]
    return [*own, *(getattr(watch.race, name) for name in watch.race.__dataclass_fields__)]


def show(
    watch: Watch, jobs: Jobs, view: JobView, *, last: Seen, follows: bool, is_owner: bool
) -> tuple[Seen, dict[Any, Any]]:
    """What the page now has seen, and the updates that take it there from `last`.

    Args:
        follows: the grid follows the run; else the visitor looks back, and is left in peace.
    """
    if last.run_id != view.run_id:
        last = Seen()
    if view.version == last.version and is_owner == last.is_owner:
        return last, {}
    plots_are_due = view.seconds != last.plotted and (
        not view.is_under_way
        or abs(view.seconds - last.plotted) >= max(SECONDS_BETWEEN_PLOTS, 0.01 * view.seconds)
    )
    looks, agreement = jobs.quality(view.run_id), jobs.agreement(view.run_id)
    light = figures.light(view)
    now = Seen(
        view.run_id,
        view.version,
        view.state,
        view.has_snapshot,
        (len(view.grid_steps), max(view.grid_steps, default=-1)),
        (int(looks[-1]["step"]) if looks else -1, view.best_step),
        zlib.crc32(light.encode()),
        view.seconds if plots_are_due else last.plotted,
        view.marks,
        view.laps_measured,
        int(agreement["moments"]) if agreement else 0,
        is_owner,
    )
    updates: dict[Any, Any] = {
        watch.facts: figures.facts(view, looks),
        watch.state: figures.state_line(
            view, is_owner=is_owner, kept_until=jobs.kept_until(view.run_id)
        ),
    }
    if not last.run_id:
        updates |= {watch.empty: gr.Column(visible=False), watch.live: gr.Column(visible=True)}
        updates |= _show_kind(watch, view)
    changed = {name for name in Seen._fields if getattr(now, name) != getattr(last, name)}
    if changed & {"state", "light", "is_owner"}:
        updates |= _show_light(watch, view, light, is_owner)
    if changed & {"state", "has_snapshot", "looks", "is_owner"}:
        updates |= _show_buttons(watch, view, is_owner, is_measured=bool(looks))
    if is_race(view.config):
        if changed & {"state", "marks", "is_owner"}:
            # Not with each lap: the visitor may have chosen one meanwhile.
            chooses = "state" in changed or not last.laps_measured
            updates |= show_race(watch.race, jobs, view, is_owner=is_owner, chooses=chooses)
        return now, updates
    if "looks" in changed:
        updates |= _show_quality(watch, looks, view.best_step)
    if "grids" in changed or (view.is_derived and "looks" in changed):
        updates |= _show_grids(watch, jobs, view, last, follows)
    if plots_are_due:
        updates |= _show_plots(watch, jobs, view)
    if plots_are_due or changed & {"looks", "moments"}:
        updates |= _show_tasks(watch, jobs, view, looks)
    return now, updates


def _show_kind(watch: Watch, view: JobView) -> dict[Any, Any]:
    """The parts that a training, a transfer or a race has."""
    races = is_race(view.config)
    return {
        watch.quality: gr.Column(visible=False),  # until there is something to plot
        watch.tasks: gr.Column(visible=False),
        watch.plots: gr.Column(visible=False),
        watch.samples: gr.Column(visible=not races),
        watch.race.panel: gr.Column(visible=races),
        watch.before: "",
        watch.pairs: "",
    }


def _has_source(view: JobView) -> bool:
    """Whether the first grid is the source's."""
    config = view.config
    return (
        isinstance(config, TransferConfig)
        and not is_race(config)
        and STRATEGIES[config.strategy].keeps
    )


def grid_at(jobs: Jobs, view: JobView, place: int, over: str = "") -> str:
    """The grid at a place of the slider, counted from 1."""
    step = view.grid_steps[place - 1]
    if view.is_derived:
        what = "Generated pictures of the edited heads"
        caption = "Each column is one latent vector, G's random input"
        return figures.samples_figure(jobs.grid(view.run_id, step), what, caption, view.tasks)
    return figures.grid_figure(jobs.grid(view.run_id, step), step, view.tasks, over)


def _show_grids(
    watch: Watch, jobs: Jobs, view: JobView, last: Seen, follows: bool
) -> dict[Any, Any]:
    n = len(view.grid_steps)
    if n == 0:
        return {watch.grid: figures.WAITING_FOR_GRID, watch.moment: gr.Slider(visible=False)}
    if last.grids[0] > 0 and not follows and not view.is_derived:
        return {watch.moment: gr.Slider(maximum=max(n, 2))}
    before = {}
    if _has_source(view):
        source, now = (jobs.grid(view.run_id, view.grid_steps[place]) for place in (0, -1))
        before = {watch.pairs: figures.pairs(source, now)}
        if last.grids[0] <= 0:
            before[watch.before] = grid_at(jobs, view, 1, figures.WIPE)
    return {
        **before,
        watch.grid: grid_at(jobs, view, n),
        watch.moment: gr.Slider(maximum=max(n, 2), value=n, visible=n > 1),
    }


def show_empty(watch: Watch, hint: str, *, gone: str = "") -> dict[Any, Any]:
    """Args: gone: a deleted run that can be brought back."""
    return {
        watch.undo: gr.Button(visible=bool(gone)),
        watch.gone: gone,
        watch.empty: gr.Column(visible=True),
        watch.live: gr.Column(visible=False),
        watch.hint: figures.notice(hint),
    }


def _show_light(watch: Watch, view: JobView, light: str, is_owner: bool) -> dict[Any, Any]:
    remedy = view.verdict.remedy if view.verdict and is_owner else None
    return {
        watch.health: gr.Row(visible=bool(light)),
        watch.light: light,
        watch.remedy: gr.Button(
            remedy.label if remedy else "",
            visible=remedy is not None,
            interactive=view.state != "stopping",
        ),
    }


def _show_buttons(
    watch: Watch, view: JobView, is_owner: bool, *, is_measured: bool
) -> dict[Any, Any]:
    races = is_race(view.config)
    again = "Train longer" if view.state == "finished" else "Resume"
    return {
        watch.stop: gr.Button(
            visible=view.is_under_way and is_owner, interactive=view.state != "stopping"
        ),
        watch.resume: gr.Button(
            again,
            visible=not view.is_under_way
            and is_owner
            and not (races and again != "Resume")
            and not view.is_derived,
        ),
        watch.download: gr.Button(
            "Download best" if is_measured else "Download",
            interactive=view.has_snapshot,
            visible=is_owner and not races,  # its laps can be
        ),
        watch.use: gr.Row(visible=is_owner and not races),
        watch.to_blend: gr.Button(
            visible=view.config.architecture == "multihead", interactive=view.has_snapshot
        ),
        watch.to_browse: gr.Button(interactive=view.has_snapshot),
    }


def _show_quality(
    watch: Watch, looks: list[dict[str, float]], best_step: int | None
) -> dict[Any, Any]:
    if len(looks) < 2:
        return {watch.quality: gr.Column(visible=False)}
    return {
        watch.quality: gr.Column(visible=True),
        watch.kid: curves.kid_frame(looks, best_step),
        watch.diversity: curves.diversity_frame(looks, best_step),
    }


def _show_plots(watch: Watch, jobs: Jobs, view: JobView) -> dict[Any, Any]:
    curve = jobs.curve(view.run_id)
    if len(curve) < 2:
        return {watch.plots: gr.Column(visible=False)}
    return {
        watch.plots: gr.Column(visible=True),
        watch.losses: curves.frame(curve, curves.LOSS_SERIES),
        watch.scores: curves.score_frame(curve, view.config.loss),
        watch.norms: curves.frame(curve, curves.NORM_SERIES),
    }


def _show_tasks(
    watch: Watch, jobs: Jobs, view: JobView, looks: list[dict[str, Any]]
) -> dict[Any, Any]:
    table = task_figures.table_of_tasks(view.tasks, jobs.curve(view.run_id), looks)
    heat = task_figures.agreement_figure(view.tasks, jobs.agreement(view.run_id))
    return {
        watch.tasks: gr.Column(visible=bool(table or heat)),
        watch.of_tasks: table,
        watch.agreement: heat,
    }
