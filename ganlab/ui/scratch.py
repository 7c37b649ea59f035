"""Files that are made to be downloaded, and go after a while."""

import secrets
import shutil
import time
from pathlib import Path

from ganlab.files import told_if_refused
from ganlab.room import FULL, is_nearly_full

PREFIX, KEPT_SECONDS = "scratch", 600


def scratch_folder(folder: Path) -> Path:
    """A new, empty folder within this one, which nobody can guess. What is old goes: it has been
    fetched.

    Raises:
        ValueError: the disk is full, or may not be written.
    """
    for old in folder.glob(f"{PREFIX}-*"):
        if time.time() - old.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    made = folder / f"{PREFIX}-{secrets.token_hex(8)}"
    with told_if_refused():
        folder.mkdir(parents=True, exist_ok=True)
        if is_nearly_full(folder):  # gradio copies what is downloaded
            raise ValueError(FULL)
        made.mkdir()
    return made


def scratch_file(folder: Path, name: str) -> Path:
    """A path for a file of this name, in such a folder of its own."""
    return scratch_folder(folder) / name
