"""What can be picked: the bundled data sets, well-known ones to download, or any folder or zip.

The last few data sets stay in memory, so that a second run on the same one starts at once.
"""

from __future__ import annotations

import io
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ganlab.data import download
from ganlab.data.dataset import Dataset
from ganlab.data.download import DatasetUnavailable, OnProgress
from ganlab.data.entries import CATALOG, CatalogEntry
from ganlab.data.reading import Picture, check_size, open_source, read_pictures
from ganlab.files import write_atomically

__all__ = ["CATALOG", "CatalogEntry", "DatasetUnavailable", "is_ready", "load", "preview"]

BUNDLED_FOLDER = Path(__file__).parent / "bundled"

_PREVIEW_GAP = 2  # pixels between the pictures of a strip
_download_lock = threading.Lock()


def is_ready(name: str) -> bool:
    """Whether a data set of the catalogue can be loaded without a download."""
    # The preview of a download is made last, once everything has been read.
    return CATALOG[name].download_mb is None or _preview_file(name).is_file()


def load(
    source: str,
    *,
    size: int | None = None,
    tasks: Sequence[str] | None = None,
    on_progress: OnProgress | None = None,
) -> Dataset:
    """Load a data set of the catalogue (downloading it if need be), a folder or a zip.

    Args:
        source: a name in `CATALOG`, or the path of a folder or a zip.
        size: 32 or 64 pixels; None = what suits the pictures.
        tasks: only these, in this order; None = all.
        on_progress: called with a fraction and a line of text.

    Raises:
        DatasetUnavailable: it is not on this machine and cannot be downloaded.
        ValueError: there is no such source, or it cannot be read.
    """
    check_size(size)
    if source in CATALOG and tasks is not None and tuple(tasks) == CATALOG[source].tasks:
        tasks = None  # the same, by another name in the cache
    path = _path_of(source)
    if path is not None:
        key = (str(path.resolve()), _fingerprint(path), size, _key(tasks))
        return _cached(key, lambda: _read(source, path, size, tasks, on_progress))
    if not is_ready(source):
        _download(source, on_progress)
    key = (source, None, size, None)
    dataset = _cached(
        key, lambda: download.parse(source, size or CATALOG[source].size, on_progress)
    )
    return dataset if tasks is None else dataset.subset(tasks)


def preview(source: str, count: int = 12) -> Image.Image | None:
    """A strip of real pictures, a few of each task; None before a download.

    Only these few are decoded, and the strip is kept, so that it takes milliseconds.
    """
    path = _path_of(source)
    if path is not None:
        entry = CATALOG.get(source)
        size, channels = (entry.size, entry.channels) if entry else (64, 3)
        return _make_preview(path, _fingerprint(path), size, channels, count)
    if not is_ready(source):
        return None
    with Image.open(_preview_file(source)) as strip:
        return strip.convert("RGB")


@lru_cache(32)
def _make_preview(
    path: Path,
    fingerprint: tuple[int, ...],  # for the cache: another one, another strip
    size: int,
    channels: int,
    count: int,
) -> Image.Image | None:
    with open_source(path, flat_name=path.stem) as found:
        # A few more than asked for, in case some are broken.
        chosen = _spread(list(found.values()), 2 * count)
        return _strip(_decode_some(chosen, size, channels, count))


def _spread(by_task: Sequence[Sequence[Picture]], count: int) -> list[Picture]:
    """`count` pictures, taking turns between the tasks."""
    rounds = range(-(-count // len(by_task)))
    turns = [task[i] for i in rounds for task in by_task if i < len(task)]
    return turns[:count]


def _decode_some(
    pictures: Sequence[Picture], size: int, channels: int, count: int
) -> list[np.ndarray]:
    """The first `count` that can be read, as (channels, size, size)."""
    decoded: list[np.ndarray] = []
    for picture in pictures:
        if len(decoded) == count:
            break
        try:
            decoded.append(picture.pixels(size, channels))
        except ValueError:
            continue  # reading the data set reports it
    return decoded


def _strip(pictures: Sequence[np.ndarray]) -> Image.Image | None:
    """Pictures (C, H, W) side by side on white."""
    if not pictures:
        return None
    size = pictures[0].shape[-1]
    strip = Image.new("RGB", (len(pictures) * (size + _PREVIEW_GAP) - _PREVIEW_GAP, size), "white")
    for place, pixels in enumerate(pictures):
        picture = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)).squeeze())
        strip.paste(picture, (place * (size + _PREVIEW_GAP), 0))
    return strip


# Sources -------------------------------------------------------------------------------------


def _path_of(source: str) -> Path | None:
    """Where to read a source from; None for what has to be downloaded."""
    entry = CATALOG.get(source)
    if entry is not None:
        return None if entry.download_mb else BUNDLED_FOLDER / f"{source}.zip"
    path = Path(source).expanduser()
    if source and path.exists():
        return path
    raise ValueError(
        f"There is no data set {source!r}; choose {', '.join(CATALOG)}, "
        "or the path of a folder or a zip of pictures."
    )


def _read(
    source: str,
    path: Path,
    size: int | None,
    tasks: Sequence[str] | None,
    on_progress: OnProgress | None,
) -> Dataset:
    entry = CATALOG.get(source)
    title = entry.title if entry else path.name
    dataset = read_pictures(
        path,
        name=source if entry else None,
        size=size or (entry.size if entry else None),
        tasks=tasks,
        channels=entry.channels if entry else None,
        on_progress=on_progress and (lambda done: on_progress(done, f"Reading {title}")),
    )
    return replace(dataset, mirrors=entry.mirrors) if entry else dataset


def _key(tasks: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if tasks is None else tuple(tasks)


def _fingerprint(path: Path) -> tuple[int, ...]:
    """Changes when the files do."""
    if path.is_file():
        status = path.stat()
        return status.st_mtime_ns, status.st_size
    walk = os.walk(path)
    statuses = [Path(parent, name).stat() for parent, _, names in walk for name in names]
    newest = max((status.st_mtime_ns for status in statuses), default=0)
    return newest, sum(status.st_size for status in statuses), len(statuses)


_CACHED_BYTES = 300_000_000  # of pictures: all that come with ganlab, and some subsets of them
_cache: OrderedDict[tuple, Dataset] = OrderedDict()
_cache_lock = threading.Lock()


def _cached(key: tuple, make: Callable[[], Dataset]) -> Dataset:
    """The data set under this key, made if it is not among the last ones.

    Made outside the lock: a long reading or download must not hold up another source.
    """
    with _cache_lock:
        if key in _cache:
            _cache.move_to_end(key)
            return _cache[key]
    dataset = make()
    with _cache_lock:
        _cache[key] = dataset
        _cache.move_to_end(key)
        while len(_cache) > 1 and sum(x.images.nbytes for x in _cache.values()) > _CACHED_BYTES:
            _cache.popitem(last=False)
    return dataset


def _preview_file(name: str) -> Path:
    return download.folder(name) / "preview.png"


def _download(name: str, on_progress: OnProgress | None) -> None:
    with _download_lock:
        if is_ready(name):
            return
        download.download(name, on_progress)
        dataset = download.parse(name, CATALOG[name].size, None)
        _save_preview(dataset, _preview_file(name))


def _save_preview(dataset: Dataset, path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    images, _ = dataset.draw(12, generator)
    packed = io.BytesIO()
    _strip([image.numpy() for image in images]).save(packed, "PNG")
    write_atomically(path, packed.getvalue())
