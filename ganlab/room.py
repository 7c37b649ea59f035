"""Room on the disk: for what is new, and for others."""

import os
import shutil
from pathlib import Path

from ganlab.caps import Caps

SPARE_BYTES = 200_000_000  # of the disk, which others need, too
FULL = "The server's disk is full: try again later."


def size_of(folder: Path, *, without: str = "") -> int:
    """Bytes of the files in a folder, at any depth, but for its folder of the name `without`; what
    vanishes meanwhile, or may not be looked at, is not counted."""
    total = 0
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return 0
    for entry in entries:
        try:
            if not entry.is_dir(follow_symlinks=False):
                total += entry.stat(follow_symlinks=False).st_size
            elif entry.name != without:
                total += size_of(Path(entry.path))
        except OSError:
            continue
    return total


def is_nearly_full(folder: Path) -> bool:
    """Whether there is no room on a folder's disk for anything new."""
    return shutil.disk_usage(folder).free < SPARE_BYTES


def need_room(home: Path, caps: Caps, size: int = 0) -> None:
    """Raises ValueError if something new, of so many bytes at least, does not fit under `home`:
    visitors' runs and uploads take all that they may, or the disk is nearly full."""
    if caps.disk_mb is not None:
        # What is deleted makes room at once, though it can be brought back for a while.
        used = size_of(home / "runs", without=".trash") + size_of(home / "uploads")
        if used + size > caps.disk_mb * 1_000_000:
            raise caps.reached(
                "disk_mb",
                f"The runs and uploads kept here take all of the {caps.disk_mb:,} MB that they "
                "may: delete a run of yours, or try again later",
            )
    home.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(home).free < size + SPARE_BYTES:
        raise ValueError(FULL)
