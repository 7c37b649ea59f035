"""What a killed process has left behind, removed when a server starts.

Only what nobody can be writing any more: a run that is being made or trained is held by its
process, and of this process's temporary folder, a lock goes when it ends, however it ends.
"""

import logging
import os
import shutil
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

from ganlab.files import SCRATCH, remove_scratch
from ganlab.paths import cache_dir, uploads_dir
from ganlab.room import TRASH
from ganlab.runs import Run, RunIsHeld

log = logging.getLogger(__name__)

PREFIX = "ganlab-"
LOCK = ".ganlab-process"  # no run and no other program has a file of this name


def clean_runs(folder: Path) -> None:
    """Half-made runs, and half-written files of the others. For the server that has the folder's
    lock, before it takes visitors."""
    for path in folder.iterdir():
        is_hidden = path.name.startswith(".")
        if not path.is_dir() or (is_hidden and not SCRATCH.fullmatch(path.name)):
            continue  # the trash, or somebody else's
        try:
            with Run(path).held():
                if is_hidden:
                    shutil.rmtree(path, ignore_errors=True)
                    log.info("removed half a run, %s", path)
                elif removed := remove_scratch(path):
                    log.info("removed %d half-written files of %s", removed, path)
        except RunIsHeld:
            continue
        except OSError as error:  # as of a disk that may only be read
            log.warning("%s stays as it is: %s", path, error)
    for path in (folder / TRASH).glob("*"):
        if not (path / "status.json").exists():  # it was being destroyed
            shutil.rmtree(path, ignore_errors=True)


def clean_home() -> None:
    """Half uploads, of which nobody has the id, and half-written files of the cache."""
    if uploads_dir().is_dir():
        for folder in uploads_dir().iterdir():
            if not (folder / "report.json").exists():
                shutil.rmtree(folder, ignore_errors=True)
        remove_scratch(uploads_dir())
    if cache_dir().is_dir():
        remove_scratch(cache_dir())


def own_temporary_folder() -> Path:
    """A new folder for what is only passed on: uploads on their way in, downloads on theirs out.
    Those of processes that were killed are removed."""
    parent = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())
    parent.mkdir(parents=True, exist_ok=True)
    for path in parent.glob(f"{PREFIX}*"):
        lock = FileLock(path / LOCK, blocking=False)
        try:
            if not (path / LOCK).is_file():  # somebody else's, whatever it is
                continue
            with lock:
                shutil.rmtree(path, ignore_errors=True)
        except Timeout:
            continue
        except OSError as error:  # another user's
            log.info("%s stays: %s", path, error)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    _held.append(FileLock(folder / LOCK, blocking=False, thread_local=False))
    _held[-1].acquire()
    return folder


_held: list[FileLock] = []  # until the process ends
