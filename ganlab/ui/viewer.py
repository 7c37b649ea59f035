"""What Blend and Browse have in common: a generator is picked on the left, and what it draws from
the latents of a seed appears on the right."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar
from urllib.parse import parse_qs

import gradio as gr

from ganlab import checkpoints
from ganlab.jobs import Jobs
from ganlab.ui import figures
from ganlab.ui.picker import is_shipped, linked_choice, model_choices
from ganlab.ui.visitor import QUICK, tokens_of

COLUMNS = 8
LAST_SEED = 2**31 - 1
WHERE = """(store, name) => [store, name,
  JSON.stringify({query: window.location.search, width: window.innerWidth})]"""


@dataclass
class Viewer:
    """The components of one tab."""

    with_heads: ClassVar[bool] = False  # whether it needs a network with a trunk and heads
    tab: gr.Tab
    model: gr.Dropdown
    shown: gr.Textbox  # the generator that the other inputs belong to
    where: gr.Textbox  # what the address says and how wide the page is, as JSON
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
        "shown": gr.Textbox(visible="hidden"),  # unlike False, it tells when it changes
        "where": gr.Textbox(visible=False),
    }


def build_seed(name: str) -> dict[str, Any]:
    """The number, and buttons for the one before, the one after and any."""
    seed = gr.Number(
        1,
        label="Seed",
        info="The same number gives the same pictures again.",
        # Without limits and a precision: of those gradio says nothing but "Error", or rounds.
        elem_id=f"{name}-seed",
    )
    with gr.Row(elem_classes="gl-tight"):
        return {
            "seed": seed,
            "before": small_button("Previous", f"{name}-before"),
            "after": small_button("Next", f"{name}-after"),
            "anything": small_button("Random", f"{name}-random"),
        }


def small_button(label: str, elem_id: str, **options: Any) -> gr.Button:
    return gr.Button(label, size="sm", min_width=80, elem_id=elem_id, **options)


def build_note(name: str) -> gr.HTML:
    """What is wrong, above the picture, which stays in view."""
    return gr.HTML(elem_id=f"{name}-note", elem_classes="gl-html gl-above")


def as_seed(value: Any) -> int:
    """A seed from whatever the page sends.

    Raises:
        ValueError: no whole number in range.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= LAST_SEED or value != int(value):
        raise ValueError(f"The seed is a whole number from 0 to {LAST_SEED:,}.")
    return int(value)


def wire_viewer(
    jobs: Jobs,
    viewer: Viewer,
    saved: gr.JSON,
    draw: Callable[..., Any],
    inputs: Sequence[gr.components.Component],
    changes: Sequence[gr.components.Component],
) -> None:
    """Connects what every viewer has.

    Args:
        draw: gives note and picture, of what `inputs` hold.
        changes: those of the inputs by which a visitor changes the picture of a model.
    """
    draws = {
        "fn": draw,
        "inputs": inputs,
        "outputs": [viewer.note, viewer.picture],
        "trigger_mode": "always_last",  # else one that comes during another is left out
        **QUICK,
    }
    viewer.model.input(**viewer.chooses)
    gr.on([component.input for component in changes], **draws)
    for button, move in (
        (viewer.before, partial(moved, by=-1)),
        (viewer.after, partial(moved, by=1)),
        (viewer.anything, lambda value: random.randrange(1_000_000)),
    ):
        button.click(move, viewer.seed, viewer.seed, **QUICK).then(**draws)
    viewer.tab.select(
        partial(offered, jobs, viewer),
        [saved, viewer.model, viewer.where],
        [viewer.model, viewer.where],
        js=WHERE,
        **QUICK,
    ).then(**viewer.chooses)


def moved(seed: Any, by: int) -> int:
    """The seed before or after; 1 if it is none."""
    try:
        return min(max(as_seed(seed) + by, 0), LAST_SEED)
    except ValueError:
        return 1


def offered(jobs: Jobs, viewer: Viewer, store: Any, name: Any, where: Any) -> list[Any]:
    """The list of generators, with the one that was picked before or that the address names, if it
    is still there; and `where` as it came."""
    choices = model_choices(jobs, list(tokens_of(store)), with_heads=viewer.with_heads)
    query = parse_qs(str(where_is(where).get("query", "")).lstrip("?"))
    linked = query.get("model", [""])[0]
    if linked not in [each for _, each in choices]:
        choices += linked_choice(jobs, linked, with_heads=viewer.with_heads)
    names = [each for _, each in choices]
    picked = next((each for each in (name, linked) if each in names), next(iter(names), None))
    return [gr.Dropdown(choices=choices, value=picked), where]


def not_here(
    jobs: Jobs,
    name: str,
    what: str = "generator",
    shows: str = "Another one is shown.",
    *,
    with_heads: bool = False,
) -> str:
    """What to say if an address names a generator that could not be chosen here; "" = it could, or
    none is named."""
    if not name or is_shipped(name) or linked_choice(jobs, name, with_heads=with_heads):
        return ""
    why = "it was deleted, or is on another server"
    return figures.notice(f"The {what} of this link is not here: {why}. {shows}")


def where_is(text: Any) -> dict[str, Any]:
    """What `WHERE` said of the page: `query` and `width`."""
    try:
        found = json.loads(text)
    except (TypeError, ValueError, RecursionError):  # nothing was said, or not by the page
        return {}
    return found if isinstance(found, dict) else {}


def refused(error: ValueError) -> str:
    return figures.mistake(str(error))
