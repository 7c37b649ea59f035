"""The Browse tab: what a generator draws, seed by seed."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
import torch

from ganlab import device, sampling
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
from ganlab.ui.visitor import QUICK

ALL = ""  # of the heads: a row each
ROWS_OF_ONE_HEAD = 4
LEAST_TRUNCATION = 0.2


@dataclass
class Browse(Viewer):
    """The components."""

    head: gr.Dropdown
    truncation: gr.Slider


def build_browse(tab: gr.Tab) -> dict[str, Any]:
    """The left side, within its tab; the right one is `viewer.build_panel`."""
    with gr.Column(elem_classes="gl-card"):
        model = build_model("browse")
        head = gr.Dropdown(
            [("All heads", ALL)], value=ALL, label="Head", elem_id="browse-head", filterable=False
        )
        seed = build_seed("browse")
        truncation = gr.Slider(
            LEAST_TRUNCATION,
            1,
            value=1,
            step=0.05,
            label="Truncation",
            info="Latent vectors times this number: below 1, pictures are more typical and less "
            "varied.",
            elem_id="truncation",
            buttons=[],
        )
    return {"tab": tab, **model, **seed, "head": head, "truncation": truncation}


def head_choices(opened: Opened) -> list[tuple[str, str]]:
    """What can be looked at: all heads at once, if there are several, and each of them."""
    tasks = opened.config.tasks
    several = [("All heads, a row each", ALL)] if len(tasks) > 1 else []
    return several + [(task, task) for task in tasks]


def look(opened: Opened, head: Any, seed: Any, truncation: Any) -> str:
    """The samples of a seed, of one head or of all.

    Raises:
        ValueError: a seed or a truncation that is none.
    """
    tasks, number = opened.config.tasks, as_seed(seed)
    if not isinstance(truncation, int | float) or not LEAST_TRUNCATION <= truncation <= 1:
        raise ValueError(f"The truncation is a number from {LEAST_TRUNCATION} to 1.")
    if head in tasks or len(tasks) == 1:
        rows, n = (), COLUMNS * ROWS_OF_ONE_HEAD
        ids = torch.full((n,), tasks.index(head) if head in tasks else 0)
    else:
        rows, n = tasks, COLUMNS
        ids = torch.arange(len(tasks)).repeat_interleave(COLUMNS)
    z = sampling.latents(n, opened.config.z_dim, number) * truncation
    with device.quick_threads():
        pixels = opened.draw(z.repeat(len(ids) // n, 1), ids)
    jpeg = sampling.to_jpeg(sampling.grid(pixels, COLUMNS))
    each = " · Each column is one latent vector, G's random input" if rows else ""
    return figures.samples_figure(
        jpeg, f"Generated pictures of seed {number}", f"Seed {number:,}{each}", rows
    )


def wire_browse(jobs: Jobs, browse: Browse, saved: gr.BrowserState) -> None:
    """Connects the components."""

    def draw(name: Any, head: Any, seed: Any, truncation: Any) -> Any:
        try:
            opened = open_picked(jobs, name)
            return ["", look(opened, head, seed, truncation)]
        except ValueError as error:
            return [refused(error), gr.skip()]

    def choose(_: Any, name: Any, shown: Any, head: Any, seed: Any, truncation: Any) -> Any:
        """Another generator and its heads; the same one stays as it was."""
        if name == shown:
            return [gr.skip(), gr.skip(), *draw(name, head, seed, truncation)]
        try:
            heads = head_choices(open_picked(jobs, name))
        except ValueError as error:
            return [gr.skip(), gr.skip(), refused(error), gr.skip()]
        first = heads[0][1]
        updates = [name, gr.Dropdown(choices=heads, value=first)]
        return [*updates, *draw(name, first, seed, truncation)]

    inputs = [browse.head, browse.seed, browse.truncation]
    browse.chooses = {
        "fn": choose,
        "inputs": [saved, browse.model, browse.shown, *inputs],
        "outputs": [browse.shown, browse.head, browse.note, browse.picture],
        **QUICK,
    }
    wire_viewer(jobs, browse, saved, draw, [browse.model, *inputs], inputs)
