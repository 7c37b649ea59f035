"""Files that are made to be downloaded, and go after a while."""

import atexit
import os
import secrets
import shutil
import tempfile
import time
from pathlib import Path

from gradio.utils import get_upload_folder

from ganlab import clock
from ganlab.caps import Caps
from ganlab.files import told_if_refused
from ganlab.room import FULL, is_nearly_full, size_of

PREFIX = "scratch"
KEPT_SECONDS = 3600.0
LEAST_BYTES = 1_000_000  # that each counts for: all of them are looked at for each new one
LEAST_SECONDS = 60.0  # that one is kept where its room is needed: it is being fetched


def exports_folder() -> Path:
    """A new folder for such files, which goes with this process. It lies where gradio keeps its
    own, which gives a file out as it lies there: else it would copy it, and keep that."""
    place = Path(get_upload_folder())
    place.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="exports-", dir=place))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def scratch_folder(folder: Path) -> Path:
    """A new, empty folder within this one, which nobody can guess. What is old goes; where all of
    it is more than visitors may take, the oldest go sooner.

    Raises:
        ValueError: the disk is full, or may not be written, or too much has just been made.
    """
    caps = Caps.from_environment()
    most = float("inf") if caps.disk_mb is None else caps.disk_mb * 1_000_000
    made = sorted((_made(old), old) for old in folder.glob(f"{PREFIX}-*"))
    sizes = {old: max(size_of(old), LEAST_BYTES) for _, old in made}
    total = sum(sizes.values())
    for since, old in made:
        is_old = clock.now() - since > KEPT_SECONDS
        if is_old or (total > most and time.time() - since > LEAST_SECONDS):
            total -= sizes[old]
            shutil.rmtree(old, ignore_errors=True)
    if total > most:
        told = f"files to download have just taken all of the {caps.disk_mb:,} MB that they may"
        raise caps.reached("disk_mb", f"{told}: try again in a minute")
    new = folder / f"{PREFIX}-{secrets.token_hex(16)}"
    with told_if_refused():
        folder.mkdir(parents=True, exist_ok=True)
        if is_nearly_full(folder):
            raise ValueError(FULL)
        new.mkdir()
    return new


def _made(folder: Path) -> float:
    """When it, or a file in it, was last written to."""
    try:
        return max(os.stat(each).st_mtime for each in (folder, *folder.iterdir()))
    except FileNotFoundError:  # a file was just finished and renamed, or all was removed
        return clock.now()


def scratch_file(folder: Path, name: str) -> Path:
    """A path for a file of this name, in such a folder of its own."""
    return scratch_folder(folder) / name
