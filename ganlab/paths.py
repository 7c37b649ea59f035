"""Where ganlab keeps what it makes: one folder, moved by the environment variable GANLAB_HOME."""

import os
from pathlib import Path


def home() -> Path:
    """The folder that holds `runs/` and `cache/`: GANLAB_HOME, or the working directory."""
    return Path(os.environ.get("GANLAB_HOME", ".")).resolve()


def runs_dir() -> Path:
    return home() / "runs"


def cache_dir() -> Path:
    return home() / "cache"
