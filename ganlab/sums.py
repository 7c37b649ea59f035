"""Checksums beside the files of a folder, by which damage on the disk is found before it is used.

A flipped bit in a weight still loads, and nothing else would tell. A folder without checksums, as
older versions wrote them, is taken as it is if its tensors can be read.
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from safetensors import SafetensorError, safe_open

from ganlab.files import read_json, write_json

FILE = "sums.json"
KEPT = 64  # folders that were found intact and have not been touched since
_PART = 1 << 20


class Damaged(ValueError):
    """A file is not as it was written."""


def write_sums(folder: Path, files: Mapping[str, bytes]) -> None:
    """Of what a folder's files are to hold, by their names."""
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    write_json(folder / FILE, {"sha256": sums})


def has_sums(folder: Path) -> bool:
    return (folder / FILE).exists()


def need_intact(folder: Path, *, afresh: bool = False) -> None:
    """Refuses a folder of which a file is damaged. A file that is gone is none.

    Args:
        afresh: also if it was looked at before and not touched since.

    Raises:
        Damaged: which file, in a few words.
        FileNotFoundError: the folder is being replaced.
    """
    seen = tuple((file.name, _seen(file)) for file in sorted(folder.iterdir()))
    check = _need_intact.__wrapped__ if afresh else _need_intact
    check(folder, seen)


def _seen(file: Path) -> tuple[int, int]:
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns


@lru_cache(maxsize=KEPT)
def _need_intact(folder: Path, seen: tuple) -> None:
    names = {name for name, _ in seen}
    if FILE in names:
        sums = _sums_in(folder)
        for name in sorted(names - {FILE}):
            if name in sums and _sum_of(folder / name) != sums[name]:
                raise Damaged(f"{name} has changed on the disk")
            if name not in sums and name.endswith(".safetensors"):
                raise Damaged(f"{FILE} does not know {name}")
    else:
        for name in sorted(names):
            if name.endswith(".safetensors"):
                _need_readable(folder / name)


def _sums_in(folder: Path) -> dict[str, str]:
    try:
        return dict(read_json(folder / FILE)["sha256"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Damaged(f"{FILE} has changed on the disk") from None


def _sum_of(file: Path) -> str:
    digest = hashlib.sha256()
    with open(file, "rb") as opened:
        while part := opened.read(_PART):
            digest.update(part)
    return digest.hexdigest()


def _need_readable(file: Path) -> None:
    try:
        with safe_open(file, "pt"):
            pass
    except SafetensorError as error:
        raise Damaged(f"{file.name} cannot be read: {error}") from None
