"""A Dataset as a folder of PNGs, a subfolder for each task: how a run keeps its pictures.

The folder is an ordinary source: `reading.read_pictures` reads it too. The manifest beside the
pictures keeps what files cannot say: the name, the order, and what the pictures were once called.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from PIL import Image

from ganlab.data.dataset import Dataset
from ganlab.files import folder_written_atomically, read_json, write_json

FOLDER = "data"  # in a run's folder
MANIFEST = "manifest.json"

LONGEST_FOLDER = 80  # bytes; file systems allow 255
_FORBIDDEN = frozenset('<>:"/\\|?*')  # in the names of folders, somewhere
# Names that mean something else to Windows, whatever their suffix.
_RESERVED = {"con", "prn", "aux", "nul", *(f"{p}{i}" for p in ("com", "lpt") for i in range(10))}


def save_pictures(
    dataset: Dataset, folder: Path | str, *, names: Sequence[str] | None = None
) -> None:
    """Write a data set as `task/NNNN.png` and `manifest.json`, all at once or not at all.

    Args:
        folder: replaced if it is there.
        names: what each picture was once called; None = unknown.
    """
    assert names is None or len(names) == len(dataset), "one name per picture"
    folders = _folders_of(dataset.tasks)
    files = []
    with folder_written_atomically(Path(folder)) as scratch:
        for inside in folders:
            (scratch / inside).mkdir()
        for i, task_id in enumerate(dataset.task_ids.tolist()):
            file = f"{folders[task_id]}/{i:05d}.png"
            pixels = dataset.images[i].cpu().permute(1, 2, 0).numpy()
            picture = Image.fromarray(
                np.ascontiguousarray(pixels).squeeze(-1)
                if dataset.channels == 1
                else np.ascontiguousarray(pixels)
            )
            picture.save(scratch / file, "PNG")
            files.append({"file": file, "task": task_id, "name": names[i] if names else None})
        manifest = {
            "name": dataset.name,
            "mirrors": dataset.mirrors,
            "tasks": list(dataset.tasks),
            "size": dataset.size,
            "channels": dataset.channels,
            "pictures": files,
        }
        write_json(scratch / MANIFEST, manifest)


def read_manifest(folder: Path | str) -> dict[str, Any]:
    """What the manifest says of the data set.

    Raises:
        ValueError: there is none.
    """
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        raise ValueError(f"There are no saved pictures in {folder.name!r}.")
    return read_json(folder / MANIFEST)


def read_saved(folder: Path | str) -> Dataset:
    """The data set that `save_pictures` wrote, equal in every bit.

    Raises:
        ValueError: there is none, or a part of it is missing or changed.
    """
    manifest = read_manifest(folder)
    try:
        shape = (manifest["channels"], manifest["size"], manifest["size"])
        files = [str(saved["file"]) for saved in manifest["pictures"]]
        images = np.empty((len(files), *shape), np.uint8)
        for i, file in enumerate(files):
            images[i] = _pixels(Path(folder), file, shape)
        task_ids = torch.tensor([int(saved["task"]) for saved in manifest["pictures"]])
        tasks, mirrors = tuple(map(str, manifest["tasks"])), bool(manifest["mirrors"])
        return Dataset(str(manifest["name"]), torch.from_numpy(images), task_ids, tasks, mirrors)
    except (KeyError, TypeError, IndexError, AssertionError) as error:
        raise ValueError(f"The saved pictures' manifest is damaged: {error!r}.") from error


def _pixels(folder: Path, file: str, shape: tuple[int, int, int]) -> np.ndarray:
    """A picture of the folder, uint8 in this shape (C, H, W)."""
    inside = PurePosixPath(file)
    if inside.is_absolute() or ".." in inside.parts or "\\" in file:
        raise ValueError(f"{file!r} is not a picture of this folder.")
    try:
        with Image.open(folder / inside, formats=("PNG",)) as picture:
            pixels = np.asarray(picture)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"The saved picture {file} cannot be read.") from error
    pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    if pixels.shape != shape:
        raise ValueError(f"The saved picture {file} was changed.")
    return pixels


def _folders_of(tasks: Sequence[str]) -> list[str]:
    """A folder for each task: its name, where any file system takes that, else a number."""
    folders: list[str] = []
    for i, task in enumerate(tasks):
        taken = {folder.casefold() for folder in folders}
        plain = (
            0 < len(task.encode()) <= LONGEST_FOLDER
            and task == task.strip(" .")
            and not any(letter in _FORBIDDEN or not letter.isprintable() for letter in task)
            and task.partition(".")[0].casefold() not in _RESERVED
            and task != "__MACOSX"
            and task.casefold() not in taken
        )
        folders.append(task if plain else f"task-{i:02d}")
    return folders
