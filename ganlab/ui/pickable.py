"""Figures of samples of which each can be picked: every cell brings its latent vector along."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from torch import Tensor

from ganlab import sampling, vectors
from ganlab.ui import figures

SCRIPT = Path(__file__).with_suffix(".js").read_text()


def build_pickable(elem_id: str, **options: Any) -> gr.HTML:
    """A place for such figures. A click on a cell is its event `click`, see `picked`."""
    return gr.HTML(
        js_on_load=SCRIPT, elem_id=elem_id, elem_classes="gl-html gl-pickable", **options
    )


def picked(event: gr.EventData) -> Any:
    """The text of the latent that was clicked, for `subject.from_text`, which checks it."""
    return event._data.get("latent") if isinstance(event._data, dict) else None


def pickable(
    pixels: np.ndarray,
    z: Tensor,
    heads: Sequence[str],
    columns: int,
    *,
    alt: str,
    caption: str,
    rows: Sequence[str] = (),
    names: Sequence[str] = (),
    removable: Sequence[str] = (),
) -> str:
    """Pictures (N, H, W, C) of latents (N, z_dim), each of a head.

    Args:
        rows: what each row is; () = nothing to say.
        names: of the cells, for those who do not see them; () = their numbers.
        removable: a key for each that tells the event `input` which one is to go; () = none.
    """
    jpeg = sampling.to_jpeg(sampling.grid(pixels, columns))
    n_rows = -(-len(pixels) // columns)
    labels = names or [
        f"Sample {i % columns + 1 if rows else i + 1} of {head}" for i, head in enumerate(heads)
    ]
    cells = [
        f'<button type="button" data-at="{i}" aria-label="{escape(label)}"></button>'
        for i, label in enumerate(labels)
    ]
    if removable:
        cells = [
            f'<span>{cell}<button type="button" data-remove="{key}" '
            f'aria-label="Remove {escape(label)}">×</button></span>'
            for cell, key, label in zip(cells, removable, labels, strict=True)
        ]
    cells += ["<i></i>"] * (n_rows * columns - len(pixels))  # over what the sheet leaves black
    tracks = f"grid-template: repeat({n_rows}, 1fr) / repeat({columns}, 1fr)"
    heads_of_cells = escape(json.dumps(list(heads)))
    over = (
        f'<div class="gl-cells" data-z="{vectors.to_text(z)}" data-heads="{heads_of_cells}" '
        f'style="{tracks}">{"".join(cells)}</div>'
    )
    return figures.samples_figure(jpeg, alt, caption, rows, over)
