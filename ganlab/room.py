"""Room on the disk: for what is new, and for others."""

import os
import shutil
from pathlib import Path

from ganlab.caps import Caps

SPARE_BYTES = 200_000_000  # of the disk, which others need, too
TRASH = ".trash"  # of deleted runs, within the folder of the runs: no id of one has a dot
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


def is_nearly_full(folder: Path, size: int = 0) -> bool:
    """Whether there is no room on a folder's disk for anything new, of so many bytes at least."""
    return shutil.disk_usage(folder).free < size + SPARE_BYTES


def need_room(home: Path, caps: Caps, size: int = 0) -> None:
    """Raises ValueError if something new, of so many bytes at least, does not fit under `home`:
    visitors' runs and uploads take all that they may, or the disk is nearly full."""
    # What is deleted makes room at once, though it can be brought back for a while.
    if caps.disk_mb is not None and _kept(home) + size > caps.disk_mb * 1_000_000:
        raise caps.reached(
            "disk_mb",
            f"The runs and uploads kept here take all of the {caps.disk_mb:,} MB that they "
            "may: delete a run of yours, or try again later",
        )
    home.mkdir(parents=True, exist_ok=True)
    if is_nearly_full(home, size):
        raise ValueError(FULL)


def excess(home: Path, caps: Caps) -> int:
    """How many bytes under `home` are too many, with the trash: over what visitors may take, or
    missing on the disk; 0 = none."""
    missing = SPARE_BYTES - shutil.disk_usage(home).free
    if caps.disk_mb is not None:
        all_of_it = _kept(home) + size_of(home / "runs" / TRASH)
        missing = max(missing, all_of_it - caps.disk_mb * 1_000_000)
    return max(0, missing)


def _kept(home: Path) -> int:
    return size_of(home / "runs", without=TRASH) + size_of(home / "uploads")
