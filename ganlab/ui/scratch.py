"""Files that are made to be downloaded, and go after a while."""

import secrets
import shutil
import time
from pathlib import Path

PREFIX, KEPT_SECONDS = "scratch", 600


def scratch_file(folder: Path, name: str) -> Path:
    """A path for a file of this name, in a new folder of its own that nobody can guess; what is old
    has been fetched, and goes."""
    for old in folder.glob(f"{PREFIX}-*"):
        if time.time() - old.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    path = folder / f"{PREFIX}-{secrets.token_hex(8)}" / name
    path.parent.mkdir(parents=True)
    return path
