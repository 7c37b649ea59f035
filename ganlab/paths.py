"""Where ganlab keeps what it makes: one folder, moved by the environment variable GANLAB_HOME."""

import os
import tempfile
from pathlib import Path

# Where a Space has its volume, if it has one: all else there is lost when it restarts.
VOLUME_OF_A_SPACE = Path("/data")


def home() -> Path:
    """The folder of `runs/`, `uploads/` and `cache/`: GANLAB_HOME; else, in a Space, its volume if
    that can be written; else the working directory."""
    named = os.environ.get("GANLAB_HOME")
    if not named and "SPACE_ID" in os.environ and os.access(VOLUME_OF_A_SPACE, os.W_OK | os.X_OK):
        return VOLUME_OF_A_SPACE
    return Path(named or ".").resolve()


def make_home() -> Path:
    """The same folder, made if it is not there, and tried.

    Raises:
        ValueError: nothing can be written there.
    """
    try:
        home().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home()):
            return home()
    except OSError as error:
        raise ValueError(
            f"nothing can be kept in {home()} ({error.strerror}): set GANLAB_HOME to a folder in"
            " which this user may write"
        ) from error


def runs_dir() -> Path:
    return home() / "runs"


def uploads_dir() -> Path:
    return home() / "uploads"


def cache_dir() -> Path:
    return home() / "cache"
