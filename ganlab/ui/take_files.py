"""What can be taken home of a generator: each maker writes one file into a folder and gives its
path."""

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganlab import checkpoints, onnx_model, sampling, threads
from ganlab.export import download_name, export, generator_bytes, slug, zip_shipped
from ganlab.files import told_if_refused, write_atomically
from ganlab.jobs import Jobs
from ganlab.opened import Opened
from ganlab.ui import filming
from ganlab.ui.picker import is_shipped

MOST_PICTURES = 1000
AT_ONCE = 96  # pictures, after which progress is told
SHEET_COLUMNS = 12  # latents beside each other, with a head in each row
SHEET_SIDE = 8  # of the sheet of one head
MOST_BESIDE = 7  # heads in a row of a film
LEAST_POINTS, MOST_POINTS = 2, 12  # that a film goes through
FRAME_RATES = (12, 24, 30, 50)

Progress = Callable[..., Any]


def stem(jobs: Jobs, name: str) -> str:
    """What the files of a generator are called, without an ending."""
    return Path(download_name(jobs.run(name))).stem if not is_shipped(name) else f"ganlab-{name}"


def as_heads(opened: Opened, head: Any) -> list[int]:
    """The heads that are meant: the one of this name or, of any other, all."""
    tasks = opened.config.tasks
    return [tasks.index(head)] if head in tasks else list(range(len(tasks)))


def pictures(
    opened: Opened, heads: Sequence[int], seed: int, truncation: float, n: int, path: Path,
    progress: Progress,
) -> Path:  # fmt: skip
    """A zip of n PNG files of a seed; several heads take turns, each with a folder of its own."""
    names = _folders(opened.config.tasks)
    z = sampling.latents(n, opened.config.z_dim, seed) * truncation
    ids = torch.tensor(heads)[torch.arange(n) % len(heads)]
    with zipfile.ZipFile(path, "w") as archive:  # stored: PNG has no air left
        for start in range(0, n, AT_ONCE):
            rows = slice(start, start + AT_ONCE)
            for i, pixels in enumerate(opened.draw_now(z[rows], ids[rows]), start):
                folder = f"{names[ids[i]]}/" if len(heads) > 1 else ""
                archive.writestr(f"{folder}{i:04d}.png", _png(pixels))
            progress(min(start + AT_ONCE, n) / n, desc="Drawing pictures")
    return path


def _folders(tasks: Sequence[str]) -> list[str]:
    """A name for each head that every file system takes, all different."""
    return [f"{place + 1:02d}-{slug(task)}" for place, task in enumerate(tasks)]


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    sampling.to_image(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def contact_sheet(
    opened: Opened, heads: Sequence[int], seed: int, truncation: float, path: Path
) -> Path:
    """A PNG: heads × latents or, of one head, a square of latents."""
    columns = SHEET_COLUMNS if len(heads) > 1 else SHEET_SIDE
    n = columns if len(heads) > 1 else columns**2
    z = sampling.latents(n, opened.config.z_dim, seed) * truncation
    ids = torch.tensor(heads).repeat_interleave(n)
    pixels = opened.draw_now(z.repeat(len(heads), 1), ids)
    with told_if_refused():
        sampling.to_image(sampling.grid(pixels, columns)).save(path)
    return path


def film(
    opened: Opened, heads: Sequence[int], z: Tensor, fps: int, kind: str, progress: Progress
) -> tuple[str, bytes, int]:
    """A film of latents (frames, z_dim), of one head or of several beside each other: its kind,
    content and width."""

    def frames() -> Iterator[np.ndarray]:
        ids = torch.tensor(heads)
        for few in z.split(max(AT_ONCE // len(heads), 1)):
            every = opened.draw_now(few.repeat_interleave(len(heads), 0), ids.repeat(len(few)))
            yield from every.reshape(len(few), len(heads), *every.shape[1:])

    return filming.film(frames(), len(z), columns_of(len(heads)), kind, progress, fps)


def columns_of(n: int) -> int:
    """Of n heads beside each other: without a gap, unless that takes one long row."""
    least = sampling.columns_of(n)
    return next((c for c in range(least, MOST_BESIDE + 1) if n % c == 0), least)


def safetensors(opened: Opened, path: Path) -> Path:
    write_atomically(path, generator_bytes(opened.generator, opened.config))
    return path


def whole(jobs: Jobs, name: str, folder: Path, token: object) -> Path:
    """A run with all that it needs to go on, or a shipped checkpoint, as a zip.

    Raises:
        ValueError: the run is somebody else's, or has no snapshot yet.
    """
    if is_shipped(name):
        return zip_shipped(checkpoints.SHIPPED / name, folder)
    return export(jobs.own(name, token), folder)


def onnx(opened: Opened, path: Path, progress: Progress, *, halved: bool = False) -> Path:
    """The graph, which has been checked."""
    with threads.quick_threads():
        content = onnx_model.checked(
            opened.generator,
            opened.config,
            halved=halved,
            on_progress=lambda share, what: progress(share, desc=what),
        )
    write_atomically(path, content)
    return path
