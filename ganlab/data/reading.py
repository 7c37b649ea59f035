"""Reading a Dataset from a folder or a zip of pictures.

- One rule for every source: a subfolder is a task, and a flat folder is one task.
- Zips are read from memory. Nothing is unpacked, so odd paths inside one can do no harm.
- A picture that cannot be read is skipped with a warning, as long as enough others remain.
"""

from __future__ import annotations

import logging
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from ganlab.data.dataset import Dataset, choose_tasks
from ganlab.data.pictures import (
    MAX_FILE_BYTES,
    SUFFIXES,
    flatten,
    open_picture,
    to_square,
    upright,
)

log = logging.getLogger(__name__)

SIZES = (32, 64)
MIN_PICTURES = 2

_SAMPLED_FOR_GREY = 24
_PICTURES_PER_CHUNK = 64
_THREADS = min(4, os.cpu_count() or 1)


def read_pictures(
    source: Path | str,
    *,
    name: str | None = None,
    size: int | None = None,
    tasks: Sequence[str] | None = None,
    channels: int | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> Dataset:
    """Read a folder or a zip of pictures.

    Pictures are turned as their camera says, flattened on white, cropped to their central square
    and resized. 28×28 grey ones get a black border of two pixels instead, when `size` is 32.

    Args:
        source: a folder or a zip; a subfolder is a task, a flat folder is one task.
        name: of the data set and of a flat folder's task; None = the name of the source.
        size: 32 or 64; None = 64 if the first picture's shorter side is over 32, else 32.
        tasks: read only these, in this order; None = all, sorted by name.
        channels: 1 or 3; None = 1 if a sample of the pictures is all grey, else 3.
        on_progress: called with the fraction read, now and then, from this thread.
    """
    check_size(size)
    if channels not in (None, 1, 3):
        raise ValueError(f"Pictures cannot have {channels} channels; choose 1 (grey) or 3.")
    source = Path(source)
    name = name or _stem(source)
    with open_source(source, flat_name=name) as found:
        chosen = choose_tasks(name, tuple(found), tasks)
        pictures = [picture for task in chosen for picture in found[task]]
        task_ids = np.repeat(np.arange(len(chosen)), [len(found[task]) for task in chosen])
        if size is None:
            size = _native_size(pictures)
        if channels is None:
            channels = 1 if _all_grey(pictures) else 3

        images = np.empty((len(pictures), channels, size, size), np.uint8)
        broken: dict[int, str] = {}  # index of the picture: what is wrong with it

        def read_chunk(start: int) -> int:
            stop = min(start + _PICTURES_PER_CHUNK, len(pictures))
            for i in range(start, stop):
                try:
                    images[i] = pictures[i].pixels(size, channels)
                except ValueError as error:
                    broken[i] = str(error)
            return stop

        with ThreadPoolExecutor(_THREADS) as pool:
            for stop in pool.map(read_chunk, range(0, len(pictures), _PICTURES_PER_CHUNK)):
                if on_progress:
                    on_progress(stop / len(pictures))

    if broken:
        _check_enough_remain(name, chosen, task_ids, broken)
        good = np.setdiff1d(np.arange(len(pictures)), list(broken))
        images, task_ids = images[good], task_ids[good]
    elif len(pictures) < MIN_PICTURES:
        raise ValueError(f"{name!r} holds one picture; training needs at least {MIN_PICTURES}.")
    return Dataset(name, torch.from_numpy(images), torch.from_numpy(task_ids).long(), chosen)


def check_size(size: int | None) -> None:
    """Complain about a size that the models cannot make; None = not chosen yet."""
    if size is not None and size not in SIZES:
        raise ValueError(f"Pictures cannot be {size} pixels wide here; choose 32 or 64.")


class Picture:
    """A picture file in a folder or a zip, not read yet."""

    def __init__(self, label: str, read: Callable[[], bytes]) -> None:
        self.label = label  # its path inside the source, for messages
        self._read = read

    def open(self) -> Image.Image:
        """The picture with its header read, not decoded yet and not turned.

        Raises:
            ValueError: it is broken or too large; the message names it.
        """
        return self._open()[0]

    def pixels(self, size: int, channels: int) -> np.ndarray:
        """The picture as uint8 (channels, size, size), turned, flattened, cropped and resized.

        Raises:
            ValueError: it is broken or too large; the message names it.
        """
        picture, turn = self._open()
        try:
            if picture.format == "JPEG":
                picture.draft(None, (2 * size, 2 * size))  # large photos: several times faster
            picture = flatten(upright(picture, turn), "L" if channels == 1 else "RGB")
            pixels = np.asarray(to_square(picture, size))
        except Exception as error:
            raise _broken(self.label, error) from error
        return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)

    def _open(self) -> tuple[Image.Image, int]:
        try:
            return open_picture(self._read())[:2]
        except Exception as error:
            raise _broken(self.label, error) from error


def _broken(label: str, error: Exception) -> ValueError:
    reason = str(error) if isinstance(error, ValueError) else "is not a picture that can be read"
    return ValueError(f"{label}: {reason}")


@contextmanager
def open_source(source: Path, *, flat_name: str) -> Iterator[dict[str, list[Picture]]]:
    """The pictures of a folder or a zip by task, all sorted by name; readable inside `with`."""
    if source.is_dir():
        yield _by_task(source.name, flat_name, _files_of_folder(source))
    elif source.is_file():
        try:
            bundle = zipfile.ZipFile(source)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise ValueError(f"{source.name} is neither a folder nor a readable zip.") from error
        with bundle:
            yield _by_task(source.name, flat_name, _files_of_zip(bundle))
    else:
        raise ValueError(f"There is no folder or zip at {str(source)!r}.")


class _File(NamedTuple):
    """A file of a source: its path inside, in parts, and how to read it."""

    parts: tuple[str, ...]
    read: Callable[[], bytes]


def _files_of_folder(folder: Path) -> Iterator[_File]:
    for parent, _, names in os.walk(folder):
        inside = Path(parent).relative_to(folder).parts
        for file_name in names:
            yield _File((*inside, file_name), Path(parent, file_name).read_bytes)


def _files_of_zip(bundle: zipfile.ZipFile) -> Iterator[_File]:
    def read(info: zipfile.ZipInfo) -> bytes:
        if info.file_size > MAX_FILE_BYTES:
            raise ValueError(f"unpacks to more than {MAX_FILE_BYTES // 1_000_000} MB")
        return bundle.read(info)

    for info in bundle.infolist():
        # Some Windows programs write backslashes. Plain strings: a path object per file of a
        # large zip would take longer than decoding the preview.
        path = info.filename.replace("\\", "/")
        parts = tuple(part for part in path.split("/") if part not in ("", "."))
        if parts and not path.endswith("/"):  # else a folder
            yield _File(parts, partial(read, info))


def is_left_behind(parts: tuple[str, ...]) -> bool:
    """Hidden, or what operating systems leave in a folder."""
    return parts[-1].lower() in ("thumbs.db", "desktop.ini") or any(
        part.startswith(".") or part == "__MACOSX" for part in parts
    )


def _is_junk(parts: tuple[str, ...]) -> bool:
    """Not a picture by its name, or left behind by an operating system."""
    return is_left_behind(parts) or "." + parts[-1].rpartition(".")[2].lower() not in SUFFIXES


def _by_task(source_name: str, flat_name: str, files: Iterator[_File]) -> dict[str, list[Picture]]:
    """The pictures of each task, tasks and pictures sorted by name."""
    pictures = [file for file in files if not _is_junk(file.parts)]
    if not pictures:
        forms = ", ".join(sorted(suffix[1:] for suffix in SUFFIXES))
        raise ValueError(f"No pictures in {source_name!r}; looked for {forms}.")
    pictures.sort(key=lambda file: file.parts)
    found: dict[str, list[Picture]] = {}
    for file, task in zip(pictures, tasks_of([f.parts for f in pictures], flat_name), strict=True):
        found.setdefault(task, []).append(Picture("/".join(file.parts), file.read))
    return {task: found[task] for task in sorted(found)}


def tasks_of(paths: Sequence[tuple[str, ...]], flat_name: str) -> list[str]:
    """The rule: a subfolder is a task, and pictures outside any subfolder are one task.

    Args:
        paths: of all pictures of a source inside it, in parts, sorted.
        flat_name: the task of pictures outside any subfolder.
    """
    # Zipping a folder often wraps all in one outermost folder. If that holds only folders, they
    # are the tasks; if it holds pictures, it is the task itself.
    one_outermost = bool(paths) and paths[0][0] == paths[-1][0]
    depth = 1 if one_outermost and min(map(len, paths)) >= 3 else 0
    return [path[depth] if len(path) > depth + 1 else flat_name for path in paths]


def _stem(source: Path) -> str:
    return source.stem if source.is_file() else source.resolve().name


def _native_size(pictures: list[Picture]) -> int:
    """The size that suits the first picture that can be opened."""
    for picture in pictures:
        try:
            return 64 if min(picture.open().size) > 32 else 32
        except ValueError:
            continue
    return SIZES[0]  # none can be opened, which the reading is about to report


def _all_grey(pictures: list[Picture]) -> bool:
    step = -(-len(pictures) // _SAMPLED_FOR_GREY)
    for picture in pictures[::step]:
        try:
            # RGB whatever the file says: many grey pictures are stored in colour.
            pixels = picture.pixels(SIZES[0], 3)
        except ValueError:
            continue
        if (pixels != pixels[:1]).any():
            return False
    return True


def _check_enough_remain(
    name: str, tasks: tuple[str, ...], task_ids: np.ndarray, broken: dict[int, str]
) -> None:
    """Complain if broken pictures leave too few, else warn."""
    first = "; ".join(broken[i] for i in sorted(broken)[:3])
    remaining = len(task_ids) - len(broken)
    if remaining < MIN_PICTURES:
        raise ValueError(
            f"Only {remaining} of the {len(task_ids)} pictures of {name!r} can be read, and "
            f"training needs at least {MIN_PICTURES}. {first}."
        )
    for place, task in enumerate(tasks):
        if all(i in broken for i in np.flatnonzero(task_ids == place).tolist()):
            raise ValueError(f"No picture of the task {task!r} of {name!r} can be read. {first}.")
    log.warning("Skipped %d of %d pictures of %r: %s", len(broken), len(task_ids), name, first)
