"""Deleted runs, which can be brought back for a while.

A run is deleted by moving its folder out of sight, in one step, and destroyed some time later.
"""

import logging
import os
import shutil
from pathlib import Path

from ganlab import clock
from ganlab.room import TRASH, size_of
from ganlab.runs import RUN_ID, Run

log = logging.getLogger(__name__)

TRASH_SECONDS = 3600.0  # that a deleted run can be brought back


def throw_away(run: Run) -> None:
    """Deletes a run."""
    place = run.path.parent / TRASH / run.id
    place.parent.mkdir(exist_ok=True)
    os.utime(run.path)  # from now on its time is counted
    os.rename(run.path, place)


def find(runs: Path, run_id: object) -> Run | None:
    """A run that was deleted and can still be brought back."""
    if not isinstance(run_id, str) or not RUN_ID.fullmatch(run_id):
        return None
    run = Run(runs / TRASH / run_id)
    return run if (run.path / "status.json").exists() else None


def take_back(run: Run) -> Run:
    """Brings a run that `find` has found back to the others."""
    place = run.path.parent.parent / run.id
    os.rename(run.path, place)
    os.utime(place / "status.json")  # it is kept for its time again
    return Run(place)


def is_empty(runs: Path) -> bool:
    return not any((runs / TRASH).glob("*"))


def purge(runs: Path, *, excess: int = 0) -> None:
    """Destroys what was deleted long enough ago, and beyond that, the oldest first, until so many
    bytes are free that were too many."""
    for since, path in sorted((_since(path), path) for path in (runs / TRASH).glob("*")):
        if excess <= 0 and clock.now() - since <= TRASH_SECONDS:
            return
        size = size_of(path) if excess > 0 else 0
        try:
            if RUN_ID.fullmatch(path.name):  # in one step, nobody can bring it back any more
                path = path.rename(path.with_name(f".{path.name}"))
            (path / "status.json").unlink(missing_ok=True)  # half of a run is none
            shutil.rmtree(path, ignore_errors=True)
            excess -= size - size_of(path)
        except OSError as error:  # as of a file that somebody has put there
            log.warning("%s stays in the trash: %s", path, error)


def _since(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # brought back, or destroyed by another server
        return 0.0
