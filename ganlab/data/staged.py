"""The second stage of an upload: cleaned pictures, as people chose them, made a Dataset."""

from __future__ import annotations

import io
from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ganlab.data.dataset import Dataset
from ganlab.data.pictures import background_colour, flatten, grey_if_grey, to_square
from ganlab.data.reading import check_size
from ganlab.data.report import load_report, picture_file


def to_dataset(
    folder: Path | str,
    *,
    size: int,
    channels: int | None = None,
    fit: str = "crop",
    background: str = "white",
    included: Collection[int] | None = None,
    mirrors: bool = True,
    name: str = "my pictures",
) -> Dataset:
    """The pictures that were taken in, as a Dataset, task by task.

    Args:
        folder: that `take_in` wrote.
        size: 32 or 64.
        channels: 1 or 3; None = 1 if all are grey, else 3.
        fit: "crop" (the central square), "pad" (all of it, on `background`) or "squash".
        background: a colour behind what is padded or transparent, or "edge" for that of each
            picture's border.
        included: numbers of the entries to use; None = those that the report suggests.
        mirrors: as of a `Dataset`.
        name: of the data set.

    Raises:
        ValueError: there is no such size, fit, colour or entry, or too few are included.
    """
    check_size(size)
    if channels not in (None, 1, 3):
        raise ValueError(f"Pictures cannot have {channels} channels; choose 1 (grey) or 3.")
    background_colour(background)  # complains about one that does not exist
    chosen = load_report(folder).chosen(included)
    pictures = [_shown(folder, entry.number, background) for entry in chosen]
    if channels is None:
        channels = 1 if all(picture.mode == "L" for picture in pictures) else 3
    images = np.stack([_pixels(picture, size, channels, fit, background) for picture in pictures])
    tasks = sorted({entry.task for entry in chosen})
    task_ids = torch.tensor([tasks.index(entry.task) for entry in chosen])
    return Dataset(name, torch.from_numpy(images), task_ids, tuple(tasks), mirrors)


def see(
    folder: Path | str, number: int, size: int, fit: str = "crop", background: str = "white"
) -> np.ndarray:
    """What a model would see of a picture: uint8 (size, size, 3)."""
    check_size(size)
    return _pixels(_shown(folder, number, background), size, 3, fit, background).transpose(1, 2, 0)


def thumbnails(folder: Path | str, size: int = 64, background: str = "white") -> dict[int, bytes]:
    """A small WebP of every usable entry, by number; its longest side has `size` pixels."""
    small = {}
    for entry in load_report(folder).entries:
        if entry.usable:
            picture = _shown(folder, entry.number, background).convert("RGB")
            picture.thumbnail((size, size), Image.Resampling.LANCZOS)
            packed = io.BytesIO()
            picture.save(packed, "WEBP", quality=80)
            small[entry.number] = packed.getvalue()
    return small


def _shown(folder: Path | str, number: int, background: str) -> Image.Image:
    """A cleaned picture, RGB or L, with what is transparent shown on a colour."""
    file = picture_file(Path(folder), number)
    if not file.is_file():
        raise ValueError(f"There is no picture {number} among those taken in.")
    with Image.open(file, formats=("PNG",)) as picture:
        picture.load()
    if picture.mode == "RGBA":
        return grey_if_grey(flatten(picture, "RGB", background))
    return picture


def _pixels(
    picture: Image.Image, size: int, channels: int, fit: str, background: str
) -> np.ndarray:
    """uint8 (channels, size, size)."""
    picture = picture.convert("L" if channels == 1 else "RGB")
    pixels = np.asarray(to_square(picture, size, fit, background))
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
