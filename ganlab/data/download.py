"""Well-known data sets from the net.

From torchvision's own addresses and parsed by torchvision, but fetched here: with progress, short
timeouts and one clear sentence when there is no connection.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from ganlab import compat
from ganlab.data.dataset import Dataset
from ganlab.data.entries import CATALOG, CatalogEntry
from ganlab.files import write_atomically
from ganlab.paths import cache_dir

OnProgress = Callable[[float, str], None]

_TIMEOUT_SECONDS = 10.0
_CHUNK_BYTES = 1 << 16

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


class DatasetUnavailable(ValueError):
    """A data set that would have to be downloaded, and cannot be."""


class _ConnectionFailed(Exception):
    """What a server gave, or did not give, is of no use."""


def folder(name: str) -> Path:
    """Torchvision's `root` for this data set."""
    return cache_dir() / "data" / name


def torchvision_class(name: str) -> type:
    compat.prepare_torchvision()
    from torchvision import datasets

    return {
        "mnist": datasets.MNIST,
        "fashion-mnist": datasets.FashionMNIST,
        "kmnist": datasets.KMNIST,
        "cifar10": datasets.CIFAR10,
    }[name]


def download(name: str, on_progress: OnProgress | None) -> None:
    """Fetches the files, and leaves them as torchvision expects them.

    Raises:
        DatasetUnavailable: they cannot be had now.
    """
    progress = _DownloadProgress(CATALOG[name], on_progress)
    progress.add(0)  # connecting can take a while
    try:
        if name == "cifar10":
            _download_cifar(name, progress)
        else:
            _download_mnist(name, progress)
    except _ConnectionFailed as error:
        raise _unavailable(CATALOG[name], error) from error


def _unavailable(entry: CatalogEntry, error: Exception) -> DatasetUnavailable:
    bundled = ", ".join(e.name for e in CATALOG.values() if not e.download_mb and not e.few_shot)
    return DatasetUnavailable(
        f"{entry.title} ({entry.download_mb:.0f} MB) is not on this machine and could not be "
        f"downloaded, because {error}; choose a bundled data set ({bundled}) or pictures of "
        "your own, or try again later."
    )


def _download_mnist(name: str, progress: _DownloadProgress) -> None:
    family = torchvision_class(name)
    raw = folder(name) / family.__name__ / "raw"
    for file_name, md5 in family.resources:
        target = raw / file_name.removesuffix(".gz")
        if target.is_file():
            continue  # an earlier download broke off after this one
        urls = [mirror + file_name for mirror in family.mirrors]
        with _fetched(urls, md5, progress) as packed, gzip.open(packed) as unpacked:
            write_atomically(target, unpacked.read())


def _download_cifar(name: str, progress: _DownloadProgress) -> None:
    family = torchvision_class(name)
    target = folder(name) / family.base_folder
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
                write_atomically(target / Path(member.name).name, content)


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
        return urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS)  # noqa: S310, of the catalog
    except urllib.error.HTTPError as error:
        raise _ConnectionFailed(f"its server answers with error {error.code}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _ConnectionFailed("there is no connection to its server") from error


def _read_chunk(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _ConnectionFailed("the connection to its server broke off") from error


def parse(name: str, size: int, on_progress: OnProgress | None) -> Dataset:
    """Read a downloaded data set, through torchvision."""
    entry, classes = CATALOG[name], _CLASSES[name]
    if on_progress:
        on_progress(0.0, f"Reading {entry.title}")
    parsed = torchvision_class(name)(str(folder(name)), train=True, download=False)
    if name == "cifar10":
        images = torch.from_numpy(parsed.data).permute(0, 3, 1, 2).contiguous()
    else:
        images = torch.nn.functional.pad(parsed.data[:, None], (2, 2, 2, 2))  # 28 to 32, black
    # Our tasks are sorted by name; the classes of the files are not.
    place = torch.tensor([entry.tasks.index(task) for task in classes])
    task_ids = place[torch.as_tensor(parsed.targets, dtype=torch.int64)]
    if on_progress:
        on_progress(1.0, f"Reading {entry.title}")
    return Dataset(name, _enlarge(images, size), task_ids, entry.tasks, entry.mirrors)


def _enlarge(images: Tensor, size: int) -> Tensor:
    if images.shape[-1] == size:
        return images
    resize = torch.nn.functional.interpolate
    parts = [
        resize(part.float(), (size, size), mode="bicubic", antialias=True).round().clamp(0, 255)
        for part in images.split(2048)
    ]
    return torch.cat([part.byte() for part in parts])
