"""The view Samples of Browse: a grid from a seed, and one sample at a time."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import torch

from ganlab import device, sampling
from ganlab.jobs import Jobs
from ganlab.opened import Opened
from ganlab.ui import figures
from ganlab.ui.subject import as_truncation
from ganlab.ui.viewer import COLUMNS, as_seed


@dataclass
class Samples:
    """The components."""

    picture: gr.HTML


def build_samples(jobs: Jobs) -> Samples:
    """Within its tab."""
    with gr.Column(elem_classes="gl-card"):
        picture = gr.HTML(elem_id="browse-picture", elem_classes="gl-html")
    return Samples(picture)


def draw_samples(
    opened: Opened, name: Any, head: Any, seed: Any, truncation: Any, size: Any
) -> str:
    """The samples of a seed, of one head or of all.

    Raises:
        ValueError: a seed, a truncation or a size that is none.
    """
    tasks, number = opened.config.tasks, as_seed(seed)
    columns = COLUMNS
    if head in tasks or len(tasks) == 1:
        rows, n = (), int(size)
        columns = sampling.columns_of(n)
        ids = torch.full((n,), tasks.index(head) if head in tasks else 0)
    else:
        rows, n = tasks, COLUMNS
        ids = torch.arange(len(tasks)).repeat_interleave(COLUMNS)
    z = sampling.latents(n, opened.config.z_dim, number) * as_truncation(truncation)
    with device.quick_threads():
        pixels = opened.draw(z.repeat(len(ids) // n, 1), ids)
    jpeg = sampling.to_jpeg(sampling.grid(pixels, columns))
    each = " · Each column is one latent vector, G's random input" if rows else ""
    return figures.samples_figure(
        jpeg, f"Generated pictures of seed {number}", f"Seed {number:,}{each}", rows
    )


def wire_samples(jobs: Jobs, browse: Any, saved: gr.BrowserState, exports: Path) -> None:
    """Connects the components.

    Args:
        exports: the folder for what is downloaded.
    """
