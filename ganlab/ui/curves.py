"""Curves of a run: plots over its steps, as long frames of step, value and series."""

import gradio as gr
import pandas as pd

from ganlab.losses import LOSSES
from ganlab.ui.figures import Lines
from ganlab.ui.theme import DISCRIMINATOR, GENERATOR, NEUTRAL

LOSS_SERIES = {"loss_g": "G", "loss_d": "D"}
SCORE_SERIES = {"score_real": "real", "score_fake": "generated"}
NORM_SERIES = {"grad_norm_g": "G", "grad_norm_d": "D"}
KID_SERIES = {"kid": "KID"}
DIVERSITY_SERIES = {"diversity": "generated", "of_real": "real"}
BEST = "best snapshot"
COLOURS = {
    **dict.fromkeys(("G", "generated", "KID"), GENERATOR),
    **dict.fromkeys(("D", "real"), DISCRIMINATOR),
    BEST: NEUTRAL,
}


def plot(title: str, note: str, series: dict[str, str], elem_id: str) -> gr.LinePlot:
    """Of a run's lines over its steps."""
    colours = {name: COLOURS[name] for name in [*series.values(), BEST]}
    return build_plot(title, note, frame([], series), colours, elem_id)


def build_plot(
    title: str,
    note: str,
    empty: pd.DataFrame,
    colours: dict[str, str],
    elem_id: str,
    x_title: str = "step",
    height: int = 210,
) -> gr.LinePlot:
    """Built empty; to be shown once there is data, as a plot keeps the axes of its first frame.

    Args:
        empty: a frame without rows, of x, value and series.
        colours: of each series.
        height: in pixels.
    """
    with gr.Column(min_width=230):
        gr.HTML(f'<p class="gl-plot-head">{title}<small>{note}</small></p>', elem_classes="gl-html")
        return gr.LinePlot(
            empty,
            x=empty.columns[0],
            y="value",
            color="series",
            color_map=colours,
            x_title=x_title,
            y_title=" ",
            color_title=" ",
            height=height,
            elem_id=elem_id,
            elem_classes="gl-plot",
            buttons=[],
        )


def frame(curve: Lines, series: dict[str, str]) -> pd.DataFrame:
    """The logged lines as rows (step, value, series), for `gr.LinePlot`."""
    rows = [(line["step"], line[key], name) for key, name in series.items() for line in curve]
    return pd.DataFrame(rows, columns=["step", "value", "series"])


def kid_frame(looks: Lines, best_step: int | None) -> pd.DataFrame:
    return _with_best(frame(looks, KID_SERIES), best_step)


def diversity_frame(looks: Lines, best_step: int | None) -> pd.DataFrame:
    """Beside that of the data, which is 1 by definition."""
    lines = [{**line, "of_real": 1.0} for line in looks]
    return _with_best(frame(lines, DIVERSITY_SERIES), best_step)


def _with_best(values: pd.DataFrame, best_step: int | None) -> pd.DataFrame:
    """The best snapshot as an upright line. The axis spans it: from 0, and with some air above."""
    if best_step is None:
        return values
    ends = [min(values["value"].min(), 0.0), 1.1 * values["value"].max()]
    mark = pd.DataFrame({"step": best_step, "value": ends, "series": BEST})
    return pd.concat([values, mark], ignore_index=True)


def score_frame(curve: Lines, loss: str) -> pd.DataFrame:
    """D's scores; where only their difference has a meaning, around their midpoint."""
    if LOSSES[loss].shift_free:
        curve = [_centred(line) for line in curve]
    return frame(curve, SCORE_SERIES)


def _centred(line: dict[str, float]) -> dict[str, float]:
    half = (line["score_real"] - line["score_fake"]) / 2
    return {**line, "score_real": half, "score_fake": -half}
