"""What Blend and Browse have in common: a generator is picked on the left, and what it draws from
the latents of a seed appears on the right."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from ganlab import checkpoints
from ganlab.ui import figures
from ganlab.ui.visitor import QUICK

COLUMNS = 8
LAST_SEED = 2**31 - 1


@dataclass
class Viewer:
    """The components of one tab."""

    tab: gr.Tab
    model: gr.Dropdown
    shown: gr.State  # the generator that the other inputs belong to
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
        "shown": gr.State(""),
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


def step_seed(viewer: Viewer, draw: Callable[..., Any], draws: dict[str, Any]) -> None:
    """Connects the buttons of the seed; `draws` are the inputs and outputs of `draw`."""

    def moved(by: int) -> Callable[[Any], int]:
        def move(value: Any) -> int:
            try:
                return min(max(as_seed(value) + by, 0), LAST_SEED)
            except ValueError:
                return 1

        return move

    for button, move in (
        (viewer.before, moved(-1)),
        (viewer.after, moved(1)),
        (viewer.anything, lambda value: random.randrange(1_000_000)),
    ):
        button.click(move, viewer.seed, viewer.seed, **QUICK).then(draw, **draws)


def picked(name: Any, choices: list[tuple[str, str]]) -> gr.Dropdown:
    """The list of generators, with the one that was picked before, if it is still there."""
    names = [each for _, each in choices]
    value = name if name in names else next(iter(names), None)
    return gr.Dropdown(choices=choices, value=value)


def refused(error: ValueError) -> str:
    return figures.mistake(str(error))
