"""The view Time machine of Browse: a run's generator at every moment that was kept, from noise to
now, as pictures of the same latents.

The page's script asks for what it lacks, a few moments at a time, and keeps it: after that, the
slider and playing cost the server nothing. While the run trains, it asks now and then what is new,
as long as somebody looks.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from torch import Tensor

from ganlab import films, past, sampling
from ganlab.jobs import Jobs
from ganlab.past import Moment
from ganlab.runs import KEPT_SNAPSHOTS, NoSuchSnapshot, Run
from ganlab.ui import figures, sheets
from ganlab.ui.blend_more import FORMATS
from ganlab.ui.picker import is_shipped
from ganlab.ui.subject import samples_of, subject
from ganlab.ui.time_film import film_of
from ganlab.ui.toasts import refusal

COLUMNS, ROWS_OF_ONE = 6, 4
QUALITY = 88  # of JPEGs that live for a moment
MOST_STEPS = KEPT_SNAPSHOTS + 8  # in a question: those of now, and what a page still has of before
SECONDS_OF_ANSWER = 0.25  # of drawing, after which the script gets what there is
LONGEST_NAME = 15  # of a source; a longer one is a run's id
PROGRESS = gr.Progress()
SCRIPT = Path(__file__).with_suffix(".js").read_text()
OF_SHIPPED = (
    "A checkpoint that came with ganlab has no past to see: it is kept only as it was at the end. "
    "Train one in Train, press Use in Browse, and watch it here from noise to now, also while it "
    "trains."
)
# What the script reads, and no film of anything else.
TELL = """(...of) => [JSON.stringify(of), ""]"""


@dataclass
class Time:
    """The components."""

    picture: gr.HTML
    film_format: gr.Dropdown
    make_film: gr.Button
    film: gr.HTML


@dataclass(frozen=True)
class Look:
    """What is drawn at every moment of a run.

    Attributes:
        z: latents of the grid (N, z_dim).
        ids: their heads (N,).
        rows: the names of the heads that have a row each; () = all are of one head.
        one: the sample that was picked, as a latent (1, z_dim) and a head (1,); None = none was.
        one_head: its head's name.
    """

    run: Run
    z: Tensor
    ids: Tensor
    rows: tuple[str, ...]
    one: tuple[Tensor, Tensor] | None
    one_head: str

    def draw(self, step: int) -> tuple[np.ndarray, np.ndarray | None]:
        """The grid (H, W, C) and what was picked (H, W, C), by the generator of one moment.

        Raises:
            NoSuchSnapshot: it is not kept any more.
        """
        grid = sampling.grid(past.draw_moment(self.run, step, self.z, self.ids), COLUMNS)
        return grid, past.draw_moment(self.run, step, *self.one)[0] if self.one else None


def look_of(
    jobs: Jobs, name: Any, shown: Any, head: Any, seed: Any, truncation: Any, latent: Any
) -> Look:
    """What the page has chosen.

    Args:
        shown: the generator that head and latent belong to; another than `name` is on its way out.

    Raises:
        ValueError: values that are none, or a generator that has no past.
    """
    if is_shipped(name):
        raise ValueError(OF_SHIPPED)
    if name != shown:
        head, latent = "", ""
    chosen = subject(jobs, name, head, seed, truncation, latent)
    n = COLUMNS * ROWS_OF_ONE
    z, ids, rows = samples_of(chosen.opened, head, seed, truncation, n=n, across=COLUMNS)
    one = (chosen.z, chosen.ids) if chosen.is_picked else None
    return Look(jobs.run(name), z, ids, rows, one, chosen.head)


def label_of(moment: Moment, is_last: bool, is_under_way: bool) -> str:
    """In words: the step, seconds of training, KID if it was measured, what is special about it."""
    parts = [f"Step {moment.step:,}", f"{figures.duration(moment.seconds)} of training"]
    if moment.began_as is not None:
        source = moment.began_as
        source = source if len(source) <= LONGEST_NAME else "your run"
        parts[1] = f"{source} as it was, before the transfer" if source else "untrained: noise"
    if moment.kid is not None:
        parts.append(f"KID {moment.kid:.3g}")
    if moment.is_best:
        parts.append("the best so far" if is_under_way else "the best")
    if is_last:
        parts.append("the newest" if is_under_way else "the last")
    return " · ".join(parts)


def _short(moment: Moment) -> str:
    """What stands at the left end of the slider."""
    if moment.began_as is None:
        return f"Step {moment.step:,}"
    return "Source" if moment.began_as else "Noise"


def moments_of(jobs: Jobs) -> Callable[[Any], dict[str, Any] | None]:
    """What the script asks first."""

    def moments(ask: Any) -> dict[str, Any] | None:
        """All that can be looked at, or why there is nothing; None = what the script knows already.

        Args:
            ask: `of`, the inputs as `look_of` takes them, and what the last answer gave as `known`.
        """
        try:
            of, known = _asked(ask)
            if not isinstance(of[0], str) or is_shipped(of[0]):
                look_of(jobs, *of)  # says why not
            run, view = jobs.run(of[0]), jobs.view(of[0])
            now = json.dumps([run.snapshot_steps(), view.is_under_way])
            if known == now:
                return None
            every, look = past.moments(run), look_of(jobs, *of)
        except ValueError as error:
            return {"why": figures.as_sentence(str(error)), "moments": [], "known": ""}
        except FileNotFoundError:
            return {"why": "This run was just deleted.", "moments": [], "known": ""}
        lines = [
            {
                "step": each.step,
                "label": label_of(each, each is every[-1], view.is_under_way),
                "isBest": each.is_best,
            }
            for each in every
        ]
        return {
            "why": "",
            "known": now,
            "isUnderWay": view.is_under_way,
            "first": _short(every[0]),
            "ratio": COLUMNS**2 / len(look.ids),  # of the grid's width to its height
            "rows": look.rows,
            "one": look.one_head if look.one else "",
            "moments": lines,
        }

    return moments


def pictures_of(jobs: Jobs) -> Callable[[Any], dict[str, Any] | None]:
    """What the script asks until it has all."""

    def pictures(ask: Any) -> dict[str, Any] | None:
        """Pictures of the first of some steps, as many as can be drawn quickly but at least one;
        None = there is nothing to draw, and `moments` says why.

        Args:
            ask: `of`, as for `moments`, and the `steps`.
        """
        try:
            of, _ = _asked(ask)
            steps = ask.get("steps")
            if not isinstance(steps, list) or not 1 <= len(steps) <= MOST_STEPS:
                return None
            look = look_of(jobs, *of)
            drawn, gone, began = [], [], time.perf_counter()
            for step in steps:
                try:
                    if type(step) is not int:
                        raise NoSuchSnapshot("a step is a whole number")
                    drawn.append([step, *map(_uri, look.draw(step))])
                except NoSuchSnapshot:
                    gone.append(step)
                if time.perf_counter() - began > SECONDS_OF_ANSWER:
                    break
        except (ValueError, FileNotFoundError):
            return None
        return {"drawn": drawn, "gone": gone}

    return pictures


def _asked(ask: Any) -> tuple[list[Any], Any]:
    """The inputs and what is known, of whatever a script sends."""
    of = ask.get("of") if isinstance(ask, dict) else None
    if not isinstance(of, list) or len(of) != 6:
        raise ValueError("Choose a generator from the list.")
    return of, ask.get("known")


def _uri(pixels: np.ndarray | None) -> str:
    return "" if pixels is None else figures.jpeg_uri(sampling.to_jpeg(pixels, QUALITY))


def build_time(jobs: Jobs) -> Time:
    """Within its tab."""
    with gr.Column(elem_classes="gl-card gl-no-past", elem_id="time-card"):
        picture = gr.HTML(
            html_template='<div class="gl-time"></div>',  # filled by the script
            js_on_load=SCRIPT,
            server_functions=[moments_of(jobs), pictures_of(jobs)],
            elem_id="time",
            elem_classes="gl-html",
        )
        gr.HTML(figures.NOISE_TO_FACE, elem_id="time-empty", elem_classes="gl-html")
        with gr.Column(elem_id="time-film"):
            with gr.Row(elem_classes="gl-tight gl-bottom"):
                film_format = gr.Dropdown(
                    FORMATS, value="mp4", label="Format", elem_id="time-format", filterable=False,
                    min_width=120,
                )  # fmt: skip
                make_film = gr.Button("Save as a film", elem_id="make-time-film", min_width=160)
            film = gr.HTML(elem_id="time-film-made", elem_classes="gl-html")
    return Time(picture, film_format, make_film, film)


def wire_time(jobs: Jobs, browse: Any) -> None:
    """Connects the components."""
    view = browse.time
    inputs = [browse.model, browse.shown, browse.head, browse.seed, browse.truncation]
    inputs.append(browse.latent)

    def save_film(kind: Any, *of: Any, progress: gr.Progress = PROGRESS) -> str:
        try:
            if kind not in (*films.KINDS, films.SMALLEST):
                raise ValueError("Choose a format from the list.")
            look = look_of(jobs, *of)
            every = past.moments(look.run)
            kind, content, width = film_of(look.draw, every, kind, progress)
        except ValueError as error:
            raise refusal("No film", error) from None
        return sheets.film(content, kind, f"ganlab-past.{kind}", width)

    gr.on(
        [browse.view_tabs["time"].select, *(each.change for each in inputs)],
        None,
        inputs,
        [view.picture, view.film],
        js=TELL,
    )
    view.make_film.click(
        save_film,
        [view.film_format, *inputs],
        view.film,
        api_visibility="private",
        concurrency_limit=1,
    )
