"""What Blend and Browse have in common: a generator is picked on the left, and what it draws from
the latents of a seed appears on the right."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import gradio as gr

from ganlab import checkpoints
from ganlab.jobs import Jobs
from ganlab.ui import figures
from ganlab.ui.picker import model_choices
from ganlab.ui.visitor import QUICK, tokens_of

COLUMNS = 8
LAST_SEED = 2**31 - 1


@dataclass
class Viewer:
    """The components of one tab."""

    with_heads: ClassVar[bool] = False  # whether it needs a network with a trunk and heads
    tab: gr.Tab
    model: gr.Dropdown
    shown: gr.Textbox  # the generator that the other inputs belong to
    note: gr.HTML
    seed: gr.Number
    before: gr.Button
    after: gr.Button
    anything: gr.Button
    panel: gr.Column  # the right side
    picture: gr.HTML
    chooses: dict[str, Any] = field(default_factory=dict, kw_only=True)  # the event that shows it


def build_model(name: str) -> dict[str, Any]:
    """What is picked, for the top of the left side."""
    shelf = [folder.name for folder in checkpoints.shipped()]  # the visitor's own come later
    return {
        "model": gr.Dropdown(
            shelf, value=None, label="Generator", elem_id=f"{name}-model", filterable=False
        ),
        # In the page, like the inputs: a state on the server would be ahead of them.
        "shown": gr.Textbox(visible=False),
        "note": gr.HTML(elem_id=f"{name}-note", elem_classes="gl-html"),
    }


def build_seed(name: str) -> dict[str, Any]:
    """The number, and buttons for the one before, the one after and any."""
    seed = gr.Number(
        1,
        label="Seed",
        info="The same number gives the same pictures again.",
        precision=0,
        minimum=0,
        maximum=LAST_SEED,
        elem_id=f"{name}-seed",
    )
    with gr.Row(elem_classes="gl-tight"):
        return {
            "seed": seed,
            "before": _small("Previous", f"{name}-before"),
            "after": _small("Next", f"{name}-after"),
            "anything": _small("Random", f"{name}-random"),
        }


def _small(label: str, elem_id: str) -> gr.Button:
    return gr.Button(label, size="sm", min_width=80, elem_id=elem_id)


def build_panel(name: str) -> dict[str, Any]:
    """The right side."""
    with gr.Column(visible=False, elem_classes="gl-card", elem_id=f"{name}-panel") as panel:
        picture = gr.HTML(elem_id=f"{name}-picture", elem_classes="gl-html")
    return {"panel": panel, "picture": picture}


def as_seed(value: Any) -> int:
    """A seed from whatever the page sends.

    Raises:
        ValueError: no whole number in range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LAST_SEED:
        raise ValueError(f"The seed is a whole number from 0 to {LAST_SEED:,}.")
    return int(value)


def wire_viewer(
    jobs: Jobs,
    viewer: Viewer,
    saved: gr.BrowserState,
    draw: Callable[..., Any],
    inputs: Sequence[gr.components.Component],
) -> None:
    """Connects what every viewer has.

    Args:
        draw: gives note and picture, of what `saved`, the model and `inputs` hold.
        inputs: the seed and all else that changes the picture of a model.
    """
    draws = {
        "fn": draw,
        "inputs": [saved, viewer.model, *inputs],
        "outputs": [viewer.note, viewer.picture],
        **QUICK,
    }
    viewer.model.input(**viewer.chooses)
    gr.on([component.input for component in inputs], **draws, trigger_mode="always_last")
    for button, move in (
        (viewer.before, partial(moved, by=-1)),
        (viewer.after, partial(moved, by=1)),
        (viewer.anything, lambda value: random.randrange(1_000_000)),
    ):
        button.click(move, viewer.seed, viewer.seed, **QUICK).then(**draws)
    viewer.tab.select(
        partial(offered, jobs, viewer), [saved, viewer.model], viewer.model, **QUICK
    ).then(**viewer.chooses)


def moved(seed: Any, by: int) -> int:
    """The seed before or after; 1 if it is none."""
    try:
        return min(max(as_seed(seed) + by, 0), LAST_SEED)
    except ValueError:
        return 1


def offered(jobs: Jobs, viewer: Viewer, store: Any, name: Any) -> gr.Dropdown:
    """The list of generators, with the one that was picked before, if it is still there."""
    choices = model_choices(jobs, list(tokens_of(store)), with_heads=viewer.with_heads)
    names = [each for _, each in choices]
    return gr.Dropdown(choices=choices, value=name if name in names else next(iter(names), None))


def refused(error: ValueError) -> str:
    return figures.mistake(str(error))
