"""Deleted runs, which can be brought back for a while.

A run is deleted by moving its folder out of sight, in one step, and destroyed some time later.
"""

import logging
import os
import shutil
import time
from pathlib import Path

from ganlab.runs import RUN_ID, Run

log = logging.getLogger(__name__)

FOLDER = ".trash"  # within that of the runs; no id of a run has a dot
TRASH_SECONDS = 3600.0  # that a deleted run can be brought back


def throw_away(run: Run) -> None:
    """Deletes a run."""
    place = run.path.parent / FOLDER / run.id
    place.parent.mkdir(exist_ok=True)
    os.utime(run.path)  # from now on its time is counted
    os.rename(run.path, place)


def find(runs: Path, run_id: object) -> Run | None:
    """A run that was deleted and can still be brought back."""
    if not isinstance(run_id, str) or not RUN_ID.fullmatch(run_id):
        return None
    run = Run(runs / FOLDER / run_id)
    return run if (run.path / "status.json").exists() else None


def take_back(run: Run) -> Run:
    """Brings a run that `find` has found back to the others."""
    place = run.path.parent.parent / run.id
    os.rename(run.path, place)
    os.utime(place / "status.json")  # it is kept for its time again
    return Run(place)


def purge(runs: Path, *, at_once: bool = False) -> None:
    """Destroys what was deleted long enough ago, or all of it, where there is no room."""
    for path in (runs / FOLDER).glob("*"):
        try:
            if at_once or time.time() - path.stat().st_mtime > TRASH_SECONDS:
                (path / "status.json").unlink(missing_ok=True)  # half of a run is none
                shutil.rmtree(path, ignore_errors=True)
        except FileNotFoundError:  # brought back, or destroyed by another server
            continue
        except OSError as error:  # as of a file that somebody has put there
            log.warning("%s stays in the trash: %s", path, error)
