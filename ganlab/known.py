"""The runs that this process knows, and what a page may see of them.

A page reads only `JobView`s: immutable, replaced whole under a lock, numbered so that a page can
tell that nothing changed.
"""

import json
import logging
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ganlab import leftovers, trash
from ganlab.caps import Caps, variable
from ganlab.room import need_room
from ganlab.runs import RUN_ID, UNDER_WAY, IllegalMove, Run, RunIsHeld, Status, all_runs
from ganlab.turns import NOBODY
from ganlab.views import JobView, curve_of, looks_of, thinned, thinned_looks, view_of

log = logging.getLogger(__name__)

MAX_CURVE_POINTS = 200  # two or three series a plot: 400 rows cost the page 2 ms
UNREADABLE = "The run's folder could not be read or written. See the server's log."
NOT_YOURS = "only the browser that started this run can do that"


class UnknownRun(ValueError):
    """No run has this id."""


class NotOwner(ValueError):
    """The owner's token is missing or wrong."""


class Job:
    """A run that this process knows, with the latest view of it. Only `KnownRuns` and its
    subclasses touch these."""

    def __init__(self, run: Run):
        self.run = run
        self.visitor = NOBODY  # whoever queued it last
        self.stop = threading.Event()
        self.editing = threading.Lock()  # taken before that of `KnownRuns`
        self.looked_at = self.asked = time.monotonic()  # when it was last read, and asked for
        self.read(version=0)

    def read(self, version: int) -> None:
        """Looks at the folder."""
        self.curve: list[dict[str, float]] = curve_of(self.run)
        self.quality: list[dict[str, float]] = looks_of(self.run)
        self.agreement = [json.loads(text) for text in self.run.texts("agreement")[-1:]]
        self.view = replace(view_of(self.run, self.curve, self.quality), version=version)


class KnownRuns:
    """The runs in a folder."""

    def __init__(self, folder: Path, caps: Caps | None = None):
        """Finds the folder's runs again; those that were under way are marked as interrupted.

        Args:
            caps: what visitors may ask for; None = as somebody who is at home.
        """
        self.folder, self.caps = folder, caps or Caps()
        self._changed = threading.Condition()  # reentrant; guards everything below
        self._known: dict[str, Job] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._folder_lock = FileLock(folder / ".server.lock", blocking=False, thread_local=False)
        self._mark_interrupted()
        trash.purge(folder)

    def _mark_interrupted(self) -> None:
        try:
            self._folder_lock.acquire()
            leftovers.clean_runs(self.folder)
        except Timeout:
            log.info("another server uses %s, too: what waits may wait in its queue", self.folder)
        except OSError as error:  # a disk that may only be read: the runs can be looked at
            log.warning("%s cannot be written: %s", self.folder, error)
        for run in all_runs(self.folder):
            if run.status.state in UNDER_WAY:
                self._mark_if_broken_off(run)

    def _mark_if_broken_off(self, run: Run) -> None:
        """Of a run that is under way but that no process holds."""
        try:
            with run.held():
                if self._is_broken_off(run.status.state):
                    run.move("interrupted", "The server stopped while this run was under way.")
        except (RunIsHeld, IllegalMove):
            log.info("run %s is trained by another process", run.id)
        except OSError as error:
            log.warning("run %s cannot be marked as interrupted: %s", run.id, error)

    def _is_broken_off(self, state: str) -> bool:
        """Whether a run that no process holds has been. Another server's queue may hold one too."""
        return state in ("running", "stopping") or (state == "queued" and self.is_alone)

    def view(self, run_id: str) -> JobView:
        """The latest view of a run. Costs microseconds once the run is known."""
        with self._changed:
            job = self._job(run_id)
            self._look_again(job)
            return job.view

    def wait(self, run_id: str, seconds: float) -> JobView:
        """The view once the run has ended, or as it is after so many seconds."""
        with self._changed:
            job = self._job(run_id)
            self._changed.wait_for(lambda: not job.view.is_under_way, timeout=seconds)
            return job.view

    def curve(self, run_id: str) -> list[dict[str, float]]:
        """At most `MAX_CURVE_POINTS` logged lines, evenly chosen, the last one among them."""
        with self._changed:
            return thinned(self._job(run_id).curve, MAX_CURVE_POINTS)

    def quality(self, run_id: str) -> list[dict[str, float]]:
        """What was measured of the run's snapshots, by step: at most `MAX_CURVE_POINTS` looks, the
        first, the best and the last ones among them."""
        with self._changed:
            job = self._job(run_id)
            return thinned_looks(job.quality, MAX_CURVE_POINTS, job.view.best_step)

    def agreement(self, run_id: str) -> dict[str, Any] | None:
        """How far the tasks agree, as the run's last line says it; None = not compared yet."""
        with self._changed:
            lines = self._job(run_id).agreement
            return lines[-1] if lines else None

    def grid(self, run_id: str, step: int) -> bytes:
        """The sample grid of a step, as JPEG.

        Raises:
            FileNotFoundError: there is none, or it has just gone, and is in no view from now on.
        """
        with self._changed:
            job = self._job(run_id)
        if step not in job.view.grid_steps:
            raise FileNotFoundError(f"there is no grid of step {step}")
        try:
            return job.run.grid(step)
        except FileNotFoundError:
            with self._changed:
                steps = job.run.grid_steps()
                steps = steps[-1:] if job.run.is_derived else steps  # as `view_of` has them
                self._publish(job, grid_steps=tuple(steps))
            raise

    def run(self, run_id: str) -> Run:
        with self._changed:
            return self._job(run_id).run

    @property
    def is_alone(self) -> bool:
        """Whether no other server uses the folder."""
        return self._folder_lock.is_locked

    def close(self) -> None:
        self._folder_lock.release()

    # Inside. All of these are called with the lock held.

    def _job(self, run_id: object) -> Job:
        if not isinstance(run_id, str) or not RUN_ID.fullmatch(run_id):
            raise UnknownRun("this is not the id of a run")
        if run_id not in self._known:
            run = Run(self.folder / run_id)
            if not (run.path / "status.json").exists():
                raise UnknownRun(f"there is no such run here{self._why_gone()}")
            try:
                self._known[run_id] = Job(run)
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.warning("%s is damaged: %r", run.path, error)
                raise UnknownRun("this run cannot be read: its folder is damaged") from None
        job = self._known[run_id]
        job.asked = time.monotonic()
        return job

    def _why_gone(self) -> str:
        if self.caps.run_hours is None:
            return ": it may have been deleted"
        hours = self.caps.run_hours
        kept = f"{hours} hour{'s' * (hours != 1)} after its last change ({variable('run_hours')})"
        return f": this server keeps a run for {kept}.{self.caps.way_out}"

    def _need_room(self, size: int = 0) -> None:
        """Raises ValueError if a new run, of so many bytes at least, would be too much to keep."""
        need_room(self.folder.parent, self.caps, size)

    def _add(self, run: Run) -> Job:
        """Knows a new run from now on; one that cannot be read is removed."""
        with run.undone_on_error(), self._changed:
            job = self._known[run.id] = Job(run)
        return job

    def _owned(self, run_id: object, token: object) -> Job:
        job = self._job(run_id)
        if not job.run.is_owned_by(token):
            raise NotOwner(NOT_YOURS)
        return job

    def _look_again(self, job: Job) -> None:
        """Rereads a run that another process trains, once a second; if that process has died, the
        run was broken off."""
        now = time.monotonic()
        if self._is_ours(job) or not job.view.is_under_way or now - job.looked_at < 1:
            return
        job.looked_at = now
        self._mark_if_broken_off(job.run)
        before = job.view
        job.read(before.version)
        job.view = replace(job.view, version=before.version + 1) if job.view != before else before

    def _is_ours(self, job: Job) -> bool:
        """Whether it waits or trains in this process."""
        return False

    def _publish(self, job: Job, **changes: object) -> None:
        """Replaces a job's view; the state always comes from the run's folder."""
        try:
            status = job.run.status
        except (OSError, ValueError, KeyError, TypeError) as error:  # of one, not of all that wait
            log.warning("%s is damaged: %r", job.run.path, error)
            status = Status("failed", message=UNREADABLE)
        job.view = replace(
            job.view,
            **{"message": status.message, **changes},
            state=status.state,
            version=job.view.version + 1,
        )
