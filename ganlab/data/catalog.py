"""What can be picked: the bundled data sets, well-known ones to download, or any folder or zip.

- A catalogue entry says everything that the page shows, so that listing them reads no file.
- Downloads come from torchvision's own addresses and are parsed by torchvision, but fetched here,
  with progress, short timeouts and one clear sentence when there is no connection.
- The last few data sets stay in memory, so that a second run on the same one starts at once.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import os
import tarfile
import tempfile
import threading
import urllib.error
import urllib.request
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganlab import compat
from ganlab.data.dataset import Dataset
from ganlab.data.reading import Picture, check_size, open_source, read_pictures
from ganlab.files import write_atomically
from ganlab.paths import cache_dir

BUNDLED_FOLDER = Path(__file__).parent / "bundled"

OnProgress = Callable[[float, str], None]

_TIMEOUT_SECONDS = 10.0
_CHUNK_BYTES = 1 << 16
_PREVIEW_GAP = 2  # pixels between the pictures of a strip


class DatasetUnavailable(ValueError):
    """A data set that would have to be downloaded, and cannot be."""


@dataclass(frozen=True)
class CatalogEntry:
    """A data set as the page shows it.

    Attributes:
        summary: one friendly sentence.
        licence: licence and author, in one line.
        size: of the pictures in pixels, as `load` gives them when not told otherwise.
        few_shot: a handful of pictures, meant as the target of a transfer.
        download_mb: None = bundled.
        first_task_only: one task keeps a first, short training sharp.
    """

    name: str
    title: str
    summary: str
    licence: str
    tasks: tuple[str, ...]
    size: int
    channels: int
    pictures: int
    few_shot: bool = False
    download_mb: float | None = None
    first_task_only: bool = False

    @property
    def suggested(self) -> tuple[str, ...]:
        """The tasks that a first training should take on."""
        return self.tasks[:1] if self.first_task_only else self.tasks


_FASHION_TASKS = (
    "ankle-boot",
    "bag",
    "coat",
    "dress",
    "pullover",
    "sandal",
    "shirt",
    "sneaker",
    "t-shirt",
    "trouser",
)

_ENTRIES = (
    CatalogEntry(
        name="avatars",
        title="Avatars",
        summary="Cartoon faces in five drawing styles, each style a task of its own.",
        licence=(
            "DiceBear styles: Avataaars by Pablo Stanley (free for personal and commercial use), "
            "Micah by Micah Lanier (CC BY 4.0), Open Peeps by Pablo Stanley (CC0 1.0), Personas "
            "by Draftbit (CC BY 4.0), Pixel Art by DiceBear (CC0 1.0)"
        ),
        tasks=("avataaars", "micah", "open-peeps", "personas", "pixel-art"),
        size=64,
        channels=3,
        pictures=10_000,
        first_task_only=True,
    ),
    CatalogEntry(
        name="fashion",
        title="Fashion",
        summary="Small grey photos of clothes, shoes and bags: quick to train on.",
        licence="Fashion-MNIST, MIT, by Zalando SE",
        tasks=_FASHION_TASKS,
        size=32,
        channels=1,
        pictures=10_000,
    ),
    CatalogEntry(
        name="robots",
        title="Robots",
        summary="Sixty robot heads: too few to train on alone, enough to teach a trained model.",
        licence="Bottts by Pablo Stanley (free for personal and commercial use), via DiceBear",
        tasks=("robots",),
        size=64,
        channels=3,
        pictures=60,
        few_shot=True,
    ),
    CatalogEntry(
        name="line-art",
        title="Line art",
        summary="Sixty portraits in black ink, a style for a trained model to take on.",
        licence="Lorelei by Lisa Wischofsky (CC0 1.0), via DiceBear",
        tasks=("line-art",),
        size=64,
        channels=3,
        pictures=60,
        few_shot=True,
    ),
    CatalogEntry(
        name="emoji",
        title="Emoji",
        summary="Sixty round emoji faces, from grinning to rolling eyes.",
        licence="Noto Color Emoji, SIL Open Font License 1.1, by Google Inc.",
        tasks=("emoji",),
        size=64,
        channels=3,
        pictures=60,
        few_shot=True,
    ),
    CatalogEntry(
        name="mnist",
        title="MNIST",
        summary="Handwritten digits, the classic first data set.",
        licence="MNIST, CC BY-SA 3.0, by Yann LeCun and Corinna Cortes",
        tasks=tuple("0123456789"),
        size=32,
        channels=1,
        pictures=60_000,
        download_mb=11.6,
    ),
    CatalogEntry(
        name="fashion-mnist",
        title="Full Fashion-MNIST",
        summary="All sixty thousand training pictures of Fashion-MNIST.",
        licence="Fashion-MNIST, MIT, by Zalando SE",
        tasks=_FASHION_TASKS,
        size=32,
        channels=1,
        pictures=60_000,
        download_mb=30.9,
    ),
    CatalogEntry(
        name="kmnist",
        title="Kuzushiji-MNIST",
        summary="Brushed Japanese characters from old books.",
        licence="KMNIST, CC BY-SA 4.0, by CODH (ROIS-DS), adapted from the Kuzushiji Dataset",
        tasks=("ha", "ki", "ma", "na", "o", "re", "su", "tsu", "wo", "ya"),
        size=32,
        channels=1,
        pictures=60_000,
        download_mb=21.3,
    ),
    CatalogEntry(
        name="cifar10",
        title="CIFAR-10",
        summary="Tiny colour photos of animals and vehicles: hard for a small model.",
        licence="CIFAR-10, no explicit licence, by Krizhevsky, Nair and Hinton",
        tasks=(
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ),
        size=32,
        channels=3,
        pictures=50_000,
        download_mb=170.5,
    ),
)

CATALOG: dict[str, CatalogEntry] = {entry.name: entry for entry in _ENTRIES}

# The names of classes 0, 1, 2, … in the files, as our tasks.
_CLASSES: dict[str, tuple[str, ...]] = {
    "mnist": tuple("0123456789"),
    "fashion-mnist": (
        "t-shirt",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle-boot",
    ),
    "kmnist": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    "cifar10": CATALOG["cifar10"].tasks,
}


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
    path = _path_of(source)
    if path is not None:
        key = (str(path.resolve()), _fingerprint(path), size, _key(tasks))
        return _cached(key, lambda: _read(source, path, size, tasks, on_progress))
    if not is_ready(source):
        _download(source, on_progress)
    key = (source, None, size, None)
    dataset = _cached(key, lambda: _parse(source, size or CATALOG[source].size, on_progress))
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
    return read_pictures(
        path,
        name=source if entry else None,
        size=size or (entry.size if entry else None),
        tasks=tasks,
        channels=entry.channels if entry else None,
        on_progress=on_progress and (lambda done: on_progress(done, f"Reading {title}")),
    )


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


_CACHED_DATASETS = 2
_cache: OrderedDict[tuple, Dataset] = OrderedDict()
_cache_lock = threading.Lock()


def _cached(key: tuple, make: Callable[[], Dataset]) -> Dataset:
    """The data set under this key, made if it is not among the last few.

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
        while len(_cache) > _CACHED_DATASETS:
            _cache.popitem(last=False)
    return dataset


# Downloads -----------------------------------------------------------------------------------

_download_lock = threading.Lock()


class _ConnectionFailed(Exception):
    """What a server gave, or did not give, is of no use."""


def _folder(name: str) -> Path:
    """Torchvision's `root` for this data set."""
    return cache_dir() / "data" / name


def _preview_file(name: str) -> Path:
    return _folder(name) / "preview.png"


def _torchvision_class(name: str) -> type:
    compat.prepare_torchvision()
    from torchvision import datasets

    return {
        "mnist": datasets.MNIST,
        "fashion-mnist": datasets.FashionMNIST,
        "kmnist": datasets.KMNIST,
        "cifar10": datasets.CIFAR10,
    }[name]


def _download(name: str, on_progress: OnProgress | None) -> None:
    """Fetch the files, and leave them as torchvision expects them."""
    with _download_lock:
        if is_ready(name):
            return
        progress = _DownloadProgress(CATALOG[name], on_progress)
        progress.add(0)  # connecting can take a while
        try:
            if name == "cifar10":
                _download_cifar(name, progress)
            else:
                _download_mnist(name, progress)
        except _ConnectionFailed as error:
            raise _unavailable(CATALOG[name], error) from error
        dataset = _parse(name, CATALOG[name].size, None)
        _save_preview(dataset, _preview_file(name))


def _unavailable(entry: CatalogEntry, error: Exception) -> DatasetUnavailable:
    bundled = ", ".join(e.name for e in CATALOG.values() if not e.download_mb and not e.few_shot)
    return DatasetUnavailable(
        f"{entry.title} ({entry.download_mb:.0f} MB) is not on this machine and could not be "
        f"downloaded, because {error}; choose a bundled data set ({bundled}) or pictures of "
        "your own, or try again later."
    )


def _download_mnist(name: str, progress: _DownloadProgress) -> None:
    family = _torchvision_class(name)
    raw = _folder(name) / family.__name__ / "raw"
    for file_name, md5 in family.resources:
        target = raw / file_name.removesuffix(".gz")
        if target.is_file():
            continue  # an earlier download broke off after this one
        urls = [mirror + file_name for mirror in family.mirrors]
        with _fetched(urls, md5, progress) as packed, gzip.open(packed) as unpacked:
            write_atomically(target, unpacked.read())


def _download_cifar(name: str, progress: _DownloadProgress) -> None:
    family = _torchvision_class(name)
    folder = _folder(name) / family.base_folder
    wanted = {row[0] for row in family.train_list + family.test_list} | {family.meta["filename"]}
    with (
        _fetched([family.url], family.tgz_md5, progress) as packed,
        tarfile.open(fileobj=packed, mode="r:gz") as archive,
    ):
        for member in archive:
            # Only plain files that we expect, under names that we choose: no path of the archive
            # ever reaches the disk.
            if member.isfile() and Path(member.name).name in wanted:
                content = archive.extractfile(member).read()
                write_atomically(folder / Path(member.name).name, content)


class _DownloadProgress:
    """Adds up what arrives and tells the page."""

    def __init__(self, entry: CatalogEntry, on_progress: OnProgress | None) -> None:
        self._entry = entry
        self._on_progress = on_progress
        self._done_bytes = 0

    def add(self, n_bytes: int) -> None:
        """Count bytes; a negative number takes back those of a download that broke off."""
        self._done_bytes += n_bytes
        if self._on_progress:
            total = self._entry.download_mb
            done = min(self._done_bytes / 1e6, total)
            text = f"Downloading {self._entry.title}: {done:.1f} of {total:.1f} MB"
            self._on_progress(done / total, text)


@contextmanager
def _fetched(urls: Sequence[str], md5: str, progress: _DownloadProgress) -> Iterator[BinaryIO]:
    """The file behind the first of these addresses that gives it intact, as a temporary file."""
    failure = _ConnectionFailed("there is no address to get it from")
    for url in urls:
        with tempfile.TemporaryFile() as packed:
            try:
                _fetch(url, packed, md5, progress)
            except _ConnectionFailed as error:
                failure = error
                continue
            packed.seek(0)
            yield packed
            return
    raise failure


def _fetch(url: str, packed: BinaryIO, md5: str, progress: _DownloadProgress) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    arrived = 0
    try:
        with _connect(url) as response:
            while chunk := _read_chunk(response):
                packed.write(chunk)
                digest.update(chunk)
                arrived += len(chunk)
                progress.add(len(chunk))
        if digest.hexdigest() != md5:
            raise _ConnectionFailed("what arrived is damaged")
    except _ConnectionFailed:
        if arrived:
            progress.add(-arrived)
        raise


def _connect(url: str) -> http.client.HTTPResponse:
    try:
        return urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        raise _ConnectionFailed(f"its server answers with error {error.code}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _ConnectionFailed("there is no connection to its server") from error


def _read_chunk(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _ConnectionFailed("the connection to its server broke off") from error


def _parse(name: str, size: int, on_progress: OnProgress | None) -> Dataset:
    """Read a downloaded data set, through torchvision."""
    entry, classes = CATALOG[name], _CLASSES[name]
    if on_progress:
        on_progress(0.0, f"Reading {entry.title}")
    parsed = _torchvision_class(name)(str(_folder(name)), train=True, download=False)
    if name == "cifar10":
        images = torch.from_numpy(parsed.data).permute(0, 3, 1, 2).contiguous()
    else:
        images = torch.nn.functional.pad(parsed.data[:, None], (2, 2, 2, 2))  # 28 to 32, black
    # Our tasks are sorted by name; the classes of the files are not.
    place = torch.tensor([entry.tasks.index(task) for task in classes])
    task_ids = place[torch.as_tensor(parsed.targets, dtype=torch.int64)]
    if on_progress:
        on_progress(1.0, f"Reading {entry.title}")
    return Dataset(name, _enlarge(images, size), task_ids, entry.tasks)


def _enlarge(images: Tensor, size: int) -> Tensor:
    if images.shape[-1] == size:
        return images
    resize = torch.nn.functional.interpolate
    parts = [
        resize(part.float(), (size, size), mode="bicubic", antialias=True).round().clamp(0, 255)
        for part in images.split(2048)
    ]
    return torch.cat([part.byte() for part in parts])


def _save_preview(dataset: Dataset, path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    images, _ = dataset.draw(12, generator)
    packed = io.BytesIO()
    _strip([image.numpy() for image in images]).save(packed, "PNG")
    write_atomically(path, packed.getvalue())
