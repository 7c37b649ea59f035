"""The Blend tab: sliders mix a generator's heads, or a transfer with what it began as."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from ganlab import sampling
from ganlab.blending import task_weights
from ganlab.jobs import Jobs
from ganlab.opened import Opened
from ganlab.ui import figures
from ganlab.ui.picker import open_picked
from ganlab.ui.viewer import (
    COLUMNS,
    Viewer,
    as_seed,
    build_model,
    build_seed,
    refused,
    wire_viewer,
)
from ganlab.ui.visitor import QUICK, tokens_of

MOST_PARTS = 10
SAMPLES = 32
WHOLE = 100.0  # a slider's right end
NOTHING_TO_MIX = (
    "It has one head, and nothing to mix it with. Train several tasks at once, or transfer it."
)


@dataclass
class Blend(Viewer):
    """The components."""

    with_heads = True
    shares: list[gr.Slider]
    even: gr.Button
    chance: gr.Button


def build_blend(tab: gr.Tab) -> dict[str, Any]:
    """The left side, within its tab; the right one is `viewer.build_panel`."""
    with gr.Column(elem_classes="gl-card"):
        model = build_model("blend")
        shares = [
            gr.Slider(0, WHOLE, step=1, visible=False, elem_id=f"share-{i}", buttons=[])
            for i in range(MOST_PARTS)
        ]
        with gr.Row(elem_classes="gl-tight"):
            even = gr.Button("Even mix", size="sm", min_width=80, elem_id="even-mix")
            chance = gr.Button("Random mix", size="sm", min_width=80, elem_id="random-mix")
        seed = build_seed("blend")
    return {"tab": tab, **model, **seed, "shares": shares, "even": even, "chance": chance}


def n_shares(opened: Opened) -> int:
    """How many sliders show."""
    return min(len(opened.parts), MOST_PARTS)


def first_shares(opened: Opened) -> list[float]:
    """What is mixed at first: two parts to the same amount."""
    return [WHOLE / 2 if i < 2 else 0.0 for i in range(n_shares(opened))]


def even_shares(opened: Opened, values: Sequence[Any]) -> list[float]:
    """As much of each part that is in the mix; of every part, if that is none or one."""
    used = [value not in (0, None) for value in values[: n_shares(opened)]]
    return [WHOLE / 2 if part or sum(used) < 2 else 0.0 for part in used]


def random_shares(opened: Opened) -> list[float]:
    """Two parts, by chance, as much of each as chance will have it."""
    n = n_shares(opened)
    shares, first = [0.0] * n, random.randint(1, int(WHOLE) - 1)
    for place, share in zip(
        random.sample(range(n), min(n, 2)), (first, WHOLE - first), strict=False
    ):
        shares[place] = float(share)
    return shares


def show_shares(opened: Opened, values: list[float]) -> list[gr.Slider]:
    """A slider for each part, if there is something to mix."""
    parts = opened.parts[:MOST_PARTS] if len(opened.parts) > 1 else ()
    hidden = [gr.Slider(visible=False)] * (MOST_PARTS - len(parts))
    sliders = [
        gr.Slider(label=part, value=value, visible=True)
        for part, value in zip(parts, values, strict=False)
    ]
    return sliders + hidden


def look(opened: Opened, seed: Any, values: Any) -> str:
    """The samples of a seed, each drawn by the same mix.

    Raises:
        ValueError: a seed that is none, or shares that cannot be weights.
    """
    number, parts = as_seed(seed), opened.parts
    values = list(values)[: len(parts)] if len(parts) > 1 else [1.0]
    if not all(isinstance(value, int | float) for value in values):
        raise ValueError("every share is a number from 0 upwards")
    values += [0.0] * (len(parts) - len(values))  # of more parts than there are sliders
    z = sampling.latents(SAMPLES, opened.config.z_dim, number)
    pixels = opened.blend(z, values)
    jpeg = sampling.to_jpeg(sampling.grid(pixels, COLUMNS))
    mix = ", ".join(
        f"{part} {100 * weight:.0f} %"
        for part, weight in zip(parts, task_weights(values).tolist(), strict=True)
        if weight
    )
    return figures.samples_figure(jpeg, f"A blend: {mix}", f"{mix} · Seed {number:,}")


def wire_blend(jobs: Jobs, blend: Blend, saved: gr.BrowserState) -> None:
    """Connects the components."""

    def draw(store: Any, name: Any, seed: Any, *values: Any) -> Any:
        try:
            opened = open_picked(jobs, name, tokens_of(store))
            note = figures.notice(NOTHING_TO_MIX) if len(opened.parts) == 1 else ""
            return [note, look(opened, seed, values)]
        except ValueError as error:
            return [refused(error), gr.skip()]

    def choose(store: Any, name: Any, shown: Any, seed: Any, *values: Any) -> Any:
        """Another generator and what of it can be mixed; the same one stays as it was."""
        if name == shown:
            return [*unchanged, *draw(store, name, seed, *values)]
        return mix(store, name, seed, first_shares)

    def mix(store: Any, name: Any, seed: Any, make: Callable[[Opened], list[float]]) -> Any:
        try:
            opened = open_picked(jobs, name, tokens_of(store))
        except ValueError as error:
            return [*unchanged, refused(error), gr.skip()]
        values = make(opened)
        return [name, *show_shares(opened, values), *draw(store, name, seed, *values)]

    def even(store: Any, name: Any, shown: Any, seed: Any, *values: Any) -> Any:
        return mix(store, name, seed, lambda opened: even_shares(opened, values))

    def by_chance(store: Any, name: Any, shown: Any, seed: Any, *values: Any) -> Any:
        return mix(store, name, seed, random_shares)

    unchanged = [gr.skip()] * (1 + MOST_PARTS)
    inputs = [blend.seed, *blend.shares]
    chosen = {
        "inputs": [saved, blend.model, blend.shown, *inputs],
        "outputs": [blend.shown, *blend.shares, blend.note, blend.picture],
        **QUICK,
    }
    blend.chooses = {"fn": choose, **chosen}
    blend.even.click(even, **chosen)
    blend.chance.click(by_chance, **chosen)
    wire_viewer(jobs, blend, saved, draw, inputs)
