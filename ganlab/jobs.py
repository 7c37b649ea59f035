"""The queue, the worker thread, and what a page may see of a run.

Everything here is about who runs when. What a run is lives in `runs`, how it learns in `training`.
A page reads only `JobView`s: immutable, replaced whole under a lock, numbered so that a page can
tell that nothing changed.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ganlab import (
    checkpoints,
    contest,
    derived,
    duplicates,
    estimates,
    kept,
    kinship,
    portable,
    transfer,
    trash,
)
from ganlab.config import TrainConfig
from ganlab.contest import LapBegan, LapEnded, LapEvent
from ganlab.data.dataset import Dataset
from ganlab.heads import REMOVE, RENAME, Edit
from ganlab.health import diagnose
from ganlab.kept import Named
from ganlab.models import features
from ganlab.perform import Happening, perform
from ganlab.runs import (
    RUN_ID,
    TRAINS_NO_MORE,
    UNDER_WAY,
    IllegalMove,
    Run,
    RunIsHeld,
    all_runs,
)
from ganlab.source import Source, read_source
from ganlab.titles import checked_name
from ganlab.training import Agreed, GridSaved, Logged, Looked
from ganlab.transfer_config import TransferConfig, is_race
from ganlab.views import JobView, view_of

log = logging.getLogger(__name__)

SECONDS_TO_END = 10.0  # that a run may take to stop and save before a remedy
MOST_DONE = 0.5  # of the budget; with less than the rest, a remedy could not show that it works
MAX_CURVE_POINTS = 200  # two series a plot: 400 rows, which cost the page 2 ms
NOT_YOURS = "only the browser that started this run can do that"


class UnknownRun(ValueError):
    """No run has this id."""


class NotOwner(ValueError):
    """The owner's token is missing or wrong."""


class QueueFull(ValueError):
    """Too many runs wait already."""


class _Job:
    """A run that this process knows, with the latest view of it. Jobs alone touches these."""

    def __init__(self, run: Run):
        self.run = run
        self.stop = threading.Event()
        self.editing = threading.Lock()  # taken before that of `Jobs`
        self.curve: list[dict[str, float]] = run.metrics()
        self.quality: list[dict[str, float]] = run.quality()
        self.agreement: list[dict[str, Any]] = run.agreement()[-1:]
        self.view = view_of(run)
        self.looked_at = time.monotonic()  # when the folder was last read


class Jobs:
    """Runs in a folder, a queue of them, and worker threads that train them one after another."""

    def __init__(self, folder: Path, *, workers: int = 1, max_waiting: int = 32):
        """Finds the folder's runs again; those that were under way are marked as interrupted."""
        self.folder = folder
        self.max_waiting = max_waiting
        self._changed = threading.Condition()  # reentrant; guards everything below
        self._known: dict[str, _Job] = {}
        self._waiting: list[_Job] = []
        self._active: list[_Job] = []
        self._closing = False
        folder.mkdir(parents=True, exist_ok=True)
        self._folder_lock = FileLock(folder / ".server.lock", blocking=False, thread_local=False)
        self._mark_interrupted()
        trash.purge(folder)
        self._threads = [
            threading.Thread(target=self._work, name=f"ganlab-worker-{i}", daemon=True)
            for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def _mark_interrupted(self) -> None:
        try:
            self._folder_lock.acquire()
        except Timeout:
            log.info("another server uses %s, too: what waits may wait in its queue", self.folder)
        for run in all_runs(self.folder):
            if run.status.state in UNDER_WAY:
                self._mark_if_broken_off(run)

    def _mark_if_broken_off(self, run: Run) -> None:
        """Of a run that is under way but that no process holds."""
        try:
            with run.held():
                if run.status.state in ("running", "stopping") or self._folder_lock.is_locked:
                    run.move("interrupted", "The server stopped while this run was under way.")
        except (RunIsHeld, IllegalMove):
            log.info("run %s is trained by another process", run.id)

    # For visitors.

    def submit(self, config: TrainConfig) -> tuple[str, str]:
        """Queues a new run. Gives its id, with which anybody can watch, and its owner's token."""
        with self._changed:
            self._refuse_if_full()
            run, token = Run.create(config, runs=self.folder)
            job = self._known[run.id] = _Job(run)
            self._enqueue(job)
        return run.id, token

    def submit_transfer(
        self,
        config: TransferConfig,
        dataset: Dataset,
        source: Source,
        names: Sequence[str] | None = None,
    ) -> tuple[str, str]:
        """Queues a transfer or a race of several, as `submit` does a training."""
        with self._changed:
            self._refuse_if_full()
        # Copies files: nobody waits for that.
        run, token = transfer.create(config, dataset, source, names=names, runs=self.folder)
        with self._changed:
            job = self._known[run.id] = _Job(run)
            self._enqueue(job)
        return run.id, token

    def take_lap(self, run_id: str, strategy: str, token: object) -> tuple[str, str]:
        """Makes a run of its own of a race's lap; gives its id and owner's token."""
        with self._changed:
            race = self._owned(run_id, token).run
        run, new_token = contest.take(race, strategy, self.folder)
        return run.id, new_token

    def open_run(self, zip_path: Path) -> tuple[str, str]:
        """Makes a run of the zip of one; it has ended, and can be resumed. Gives its id and owner's
        token."""
        run, token = portable.open_run(zip_path, runs=self.folder, any_data=False)
        with run.undone_on_error(), self._changed:
            self._known[run.id] = _Job(run)
        return run.id, token

    def stop(self, run_id: str, token: object) -> None:
        """Asks a run to stop and save; one that waits leaves the queue at once."""
        with self._changed:
            job = self._owned(run_id, token)
            if job in self._waiting:
                self._waiting.remove(job)
                job.run.move("stopped", "Taken out of the queue before it began.")
                job.view = replace(job.view, queue_place=0, seconds_to_start=0.0)
            elif job in self._active and job.run.status.state == "queued":
                job.stop.set()  # just taken up by the worker: it ends before it trains
            elif job not in self._active and job.run.status.state in UNDER_WAY:
                raise RunIsHeld("another process has this run: stop it there")
            else:
                job.run.move("stopping")
                job.stop.set()
            self._publish(job)
            self._publish_places()

    def resume(self, run_id: str, token: object) -> None:
        """Queues an ended run again, from its newest snapshot. A finished one gets more budget."""
        with self._changed:
            job = self._owned(run_id, token)
            if job in self._active:
                raise IllegalMove("this run is still ending: try again in a second")
            if job.run.is_derived:
                raise IllegalMove(TRAINS_NO_MORE)
            self._refuse_if_full()
            if job.run.status.state == "finished":
                if is_race(job.view.config):
                    raise IllegalMove("this race is over: go on with one of its laps")
                config = job.view.config.with_more_budget()
                job.run.describe(config=config.to_dict())
            job.run.move("queued")
            job.run.forget_after(max(job.run.snapshot_steps(), default=0))
            job.stop.clear()
            self._enqueue(job)

    def remedy(self, run_id: str, token: object) -> tuple[str, str]:
        """Does what the run's health light advises: ends the run and queues a new one that goes on
        from its best snapshot with other settings. Gives the new one's id and owner's token."""
        with self._changed:
            job = self._owned(run_id, token)
            verdict = job.view.verdict
            if verdict is None or verdict.remedy is None:
                raise IllegalMove("there is nothing to remedy in this run just now")
            self._refuse_if_full()
            remedy, run = verdict.remedy, job.run
            config = replace(run.config, **remedy.changes)
            if job.view.is_under_way:
                self.stop(run_id, token)
        if self.wait(run_id, SECONDS_TO_END).is_under_way:
            raise IllegalMove("the run is still saving: try again in a few seconds")
        step = run.best_step() if remedy.from_best else None
        new, token = run.branch(config, self.folder, step)  # copies files: nobody waits for that
        if step is not None:
            new.describe(ancestors=kinship.of_run(run))
        status = new.status
        if config.progress_at(status.step, status.seconds) > MOST_DONE:
            new.describe(config=config.with_more_budget().to_dict())
        with self._changed:
            self._known[new.id] = _Job(new)
            self._enqueue(self._known[new.id])
        return new.id, token

    # Of heads. An origin is the name of a shipped checkpoint or the id of a run of the visitor's.
    # Its first edit makes a run of its own, given with its owner's token; a run of edited heads
    # changes in place, and is given with None.

    def save_head(
        self, origin: Any, name: Any, weights: Any, token: object
    ) -> tuple[str, str | None]:
        """Makes a blend of an origin's heads one of its heads.

        Args:
            weights: (n_tasks,) or (n_blocks, n_tasks), coarse blocks first; rows sum to 1.

        Raises:
            ValueError: the run is not theirs or gone, the name cannot be taken, or the weights are
                none of these heads.
        """
        return self._edit(origin, token, lambda tasks: Edit.adding(tasks, name, weights))

    def rename_head(self, origin: Any, old: Any, new: Any, token: object) -> tuple[str, str | None]:
        """Gives a head another name, or raises ValueError as `save_head` does."""
        return self._edit(origin, token, lambda tasks: Edit(RENAME, old, new))

    def remove_head(self, origin: Any, name: Any, token: object) -> tuple[str, str | None]:
        """Removes a head, or raises ValueError as `save_head` does; the last one stays."""
        return self._edit(origin, token, lambda tasks: Edit(REMOVE, name))

    def undo_edit(self, run_id: str, token: object) -> None:
        """Takes back the last edit of heads; ValueError if none is left."""
        with self._changed:
            run = self._owned(run_id, token).run
        if not run.is_derived:
            raise IllegalMove("the heads of this run were not edited: there is nothing to undo")
        with self._editing(run_id, token):
            derived.undo(run)

    def _edit(
        self, origin: Any, token: object, make: Callable[[tuple[str, ...]], Edit]
    ) -> tuple[str, str | None]:
        """An edit, made of the names of the heads. Nobody waits for it, as it draws pictures."""
        shipped = [folder for folder in checkpoints.shipped() if folder.name == origin]
        if shipped:
            source = read_source(shipped[0])
        else:
            with self._changed:
                run = self._owned(origin, token).run
            if run.is_derived:
                with self._editing(origin, token):
                    derived.change(run, make(tuple(run.about["model"]["tasks"])))
                return origin, None
            source = derived.origin_of_run(run)
        edit = make(source.config.tasks)
        run, new_token = derived.create(source, [edit], runs=self.folder)
        with run.undone_on_error(), self._changed:
            self._known[run.id] = _Job(run)
        return run.id, new_token

    @contextmanager
    def _editing(self, run_id: str, token: object) -> Iterator[None]:
        """Keeps a run of edited heads from others, and shows what has become of it."""
        with self._changed:
            job = self._owned(run_id, token)
        with job.editing:
            with self._changed:
                self._owned(run_id, token)  # it may have been deleted meanwhile
            with job.run.held():
                yield
            with self._changed:
                job.view = replace(view_of(job.run), version=job.view.version + 1)
                self._changed.notify_all()

    def rename(self, run_id: str, name: Any, token: object) -> None:
        """Gives a run a name of its owner's own, by which it is listed; "" takes it back."""
        name = checked_name(name)
        with self._changed:
            job = self._owned(run_id, token)
            job.run.describe(name=name)
            self._publish(job, name=name)
            self._changed.notify_all()

    def duplicate(self, origin: Any, token: object) -> tuple[str, str]:
        """Makes an independent copy of a run of the visitor's, ended, or edited heads without an
        edit of a shipped checkpoint; gives its id and owner's token. Nobody waits for it, as it
        copies files."""
        shipped = [folder for folder in checkpoints.shipped() if folder.name == origin]
        if shipped:
            duplicates.need_room(shipped[0], self.folder)
            run, new_token = derived.create(read_source(shipped[0]), [], runs=self.folder)
        else:
            with self._changed:
                run = self._owned(origin, token).run
            duplicates.need_room(run.path, self.folder)
            with self._editing(origin, token) if run.is_derived else nullcontext():
                run, new_token = duplicates.duplicate(run, self.folder)
        with run.undone_on_error(), self._changed:
            self._known[run.id] = _Job(run)
        return run.id, new_token

    def change_directions(
        self, run_id: Any, change: Callable[[list[Named], int], list[Named]], token: object
    ) -> list[Named]:
        """Changes which directions in latent space a run keeps; gives what it keeps then.

        Args:
            change: makes a new list of the one before and the number of a latent's dimensions.

        Raises:
            ValueError: the run is not theirs or has no network yet, or the change is refused.
        """
        with self._changed:
            run = self._owned(run_id, token).run
            if "model" not in run.about:
                raise IllegalMove("this run has no generator yet: let it train for a few seconds")
            z_dim = run.about["model"]["z_dim"]
            directions = change(kept.of_run(run, z_dim), z_dim)
            kept.write(run, kept.parse(kept.to_entries(directions), z_dim))
        return directions

    def delete(self, run_id: str, token: object) -> None:
        """Removes an ended run, which `undelete` brings back for as long as `trash` keeps it."""
        with self._changed:
            job = self._owned(run_id, token)
            if job in self._active or job.run.status.state in UNDER_WAY:
                raise IllegalMove("stop the run before you delete it")
            if job.editing.locked():
                raise IllegalMove("its heads are just being edited: try again in a second")
            del self._known[run_id]
            trash.throw_away(job.run)
        trash.purge(self.folder)

    def undelete(self, run_id: str, token: object) -> None:
        """Brings a deleted run back as it was.

        Raises:
            ValueError: it is another visitor's, or was not deleted, or too long ago.
        """
        with self._changed:
            run = trash.find(self.folder, run_id)
            if run is None:
                raise UnknownRun("this run cannot be brought back: it was deleted too long ago")
            if not run.is_owned_by(token):
                raise NotOwner(NOT_YOURS)
            self._known[run_id] = _Job(trash.take_back(run))

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
            curve = self._job(run_id).curve
            stride = -(-len(curve) // MAX_CURVE_POINTS) or 1
            return curve[::-1][::stride][::-1]

    def quality(self, run_id: str) -> list[dict[str, float]]:
        """What was measured of the run's snapshots, by step."""
        with self._changed:
            return list(self._job(run_id).quality)

    def agreement(self, run_id: str) -> dict[str, Any] | None:
        """How far the tasks agree, as the run's last line says it; None = not compared yet."""
        with self._changed:
            lines = self._job(run_id).agreement
            return lines[-1] if lines else None

    def grid(self, run_id: str, step: int) -> bytes:
        """The sample grid of a step, as JPEG."""
        with self._changed:
            job = self._job(run_id)
        if step not in job.view.grid_steps:
            raise ValueError(f"there is no grid of step {step}")
        return job.run.grid(step)

    def run(self, run_id: str) -> Run:
        with self._changed:
            return self._job(run_id).run

    @property
    def is_training(self) -> bool:
        """Whether a run is under way in this process."""
        with self._changed:
            return bool(self._active)

    def close(self, seconds: float = 10.0) -> None:
        """Stops what is under way, saved, and ends the threads."""
        with self._changed:
            self._closing = True
            for job in self._active:
                job.stop.set()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(seconds)
        self._folder_lock.release()

    # Inside. All of these are called with the lock held, but for the worker.

    def _job(self, run_id: object) -> _Job:
        if not isinstance(run_id, str) or not RUN_ID.fullmatch(run_id):
            raise UnknownRun("this is not the id of a run")
        if run_id not in self._known:
            run = Run(self.folder / run_id)
            if not (run.path / "status.json").exists():
                raise UnknownRun("there is no such run here: it may have been deleted")
            try:
                self._known[run_id] = _Job(run)
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.warning("%s is damaged: %r", run.path, error)
                raise UnknownRun("this run cannot be read: its folder is damaged") from None
        return self._known[run_id]

    def _look_again(self, job: _Job) -> None:
        """Rereads a run that another process trains, once a second; if that process has died, the
        run was broken off."""
        ours = job in self._active or job in self._waiting
        now = time.monotonic()
        if ours or not job.view.is_under_way or now - job.looked_at < 1:
            return
        job.looked_at = now
        self._mark_if_broken_off(job.run)
        job.curve, job.quality = job.run.metrics(), job.run.quality()
        job.agreement = job.run.agreement()[-1:]
        fresh = replace(view_of(job.run), version=job.view.version)
        if fresh != job.view:
            job.view = replace(fresh, version=fresh.version + 1)

    def _owned(self, run_id: object, token: object) -> _Job:
        job = self._job(run_id)
        if not job.run.is_owned_by(token):
            raise NotOwner(NOT_YOURS)
        return job

    def _refuse_if_full(self) -> None:
        if self._closing:
            raise QueueFull("the server is shutting down")
        if len(self._waiting) >= self.max_waiting:
            raise QueueFull(f"{len(self._waiting)} runs are waiting already: try again later")

    def _enqueue(self, job: _Job) -> None:
        self._waiting.append(job)
        fresh = _Job(job.run)
        job.curve, job.quality, job.agreement = fresh.curve, fresh.quality, fresh.agreement
        job.view = replace(fresh.view, version=job.view.version)
        self._publish(job)
        self._publish_places()
        self._changed.notify_all()

    def _publish(self, job: _Job, **changes: object) -> None:
        """Replaces a job's view; the state always comes from the run's folder."""
        status = job.run.status
        job.view = replace(
            job.view,
            **{"message": status.message, **changes},
            state=status.state,
            version=job.view.version + 1,
        )

    def _publish_places(self) -> None:
        """Tells everyone who waits their place and when their turn comes."""
        ahead = min(
            (estimates.remaining_seconds(job.view.config, job.view.seconds, job.view.progress)
             for job in self._active),
            default=0.0,
        )  # fmt: skip
        for place, job in enumerate(self._waiting, start=1):
            self._publish(job, queue_place=place, seconds_to_start=ahead)
            ahead += estimates.remaining_seconds(
                job.view.config, job.view.seconds, job.view.progress
            )

    def _work(self) -> None:
        features.preload()  # while nobody waits
        while True:
            trash.purge(self.folder)
            with self._changed:
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if self._closing:
                    return
                job = self._waiting.pop(0)
                self._active.append(job)
                self._publish(job, queue_place=0, seconds_to_start=0.0)
                self._publish_places()
            try:
                perform(
                    job.run,
                    on_event=lambda event, job=job: self._on_event(job, event),
                    on_loading=lambda message, job=job: self._on_loading(job, message),
                    should_stop=job.stop.is_set,
                )
            except Exception:  # the run says why it failed; the worker goes on with the next
                log.exception("run %s failed", job.run.id)
            with self._changed:
                self._active.remove(job)
                try:
                    self._publish_end(job)
                except (OSError, ValueError):  # a full disk, a deleted folder
                    log.exception("the end of run %s could not be written", job.run.id)
                    message = "The run's folder could not be read or written. See the server's log."
                    version = job.view.version + 1
                    job.view = replace(job.view, state="failed", message=message, version=version)
                self._publish_places()
                self._changed.notify_all()

    def _publish_end(self, job: _Job) -> None:
        if job.run.status.state in UNDER_WAY:  # failed before its state could be written
            job.run.move("failed", "The run could not be started. See the server's log.")
        verdict = job.view.verdict
        if job.run.exploded:
            verdict = diagnose(job.view.config, job.curve, job.quality, job.view.progress, True)
        self._publish(job, grid_steps=tuple(job.run.grid_steps()), verdict=verdict)

    def _on_loading(self, job: _Job, message: str) -> None:
        with self._changed:
            self._publish(job, message=message)

    def _on_lap(self, job: _Job, event: LapBegan | LapEvent | LapEnded) -> None:
        """Moves the view of a race; the grids and looks of its laps lie in their own folders."""
        view = job.view
        if isinstance(event, LapEvent):
            inner = event.event
            if isinstance(inner, Logged):
                laps = view.config.laps
                over = len(contest.results_of(job.run))
                self._publish(
                    job,
                    seconds=contest.seconds_of(job.run, without=event.strategy) + inner.seconds,
                    progress=(over + inner.progress) / len(laps),
                    images_per_second=inner.metrics["images_per_second"],
                    lap=event.strategy,
                )
                self._publish_places()
            elif isinstance(inner, GridSaved | Looked):
                self._publish(job, marks=view.marks + 1, lap=event.strategy)
        else:
            progress = contest.progress_of(job.run)
            self._publish(job, marks=view.marks + 1, lap=event.strategy, progress=progress)
        self._changed.notify_all()

    def _on_event(self, job: _Job, event: Happening) -> None:
        with self._changed:
            view = job.view
            if isinstance(event, LapBegan | LapEvent | LapEnded):
                self._on_lap(job, event)
                return
            if not view.tasks:
                self._publish(job, tasks=tuple(job.run.about["model"]["tasks"]))
            if isinstance(event, Logged):
                line = {"step": event.step, "seconds": event.seconds, **event.metrics}
                job.curve = [*(p for p in job.curve if p["step"] < event.step), line]
                self._publish(
                    job,
                    step=event.step,
                    seconds=event.seconds,
                    progress=event.progress,
                    images_per_second=event.metrics["images_per_second"],
                    verdict=diagnose(view.config, job.curve, job.quality, event.progress),
                )
                self._publish_places()
            elif isinstance(event, GridSaved):
                earlier = (step for step in view.grid_steps if step < event.step)
                self._publish(job, grid_steps=(*earlier, event.step))
            elif isinstance(event, Looked):
                line = {"step": event.step, "seconds": event.seconds, **event.quality}
                job.quality = [*(q for q in job.quality if q["step"] < event.step), line]
                verdict = diagnose(view.config, job.curve, job.quality, view.progress)
                self._publish(job, best_step=job.run.best_step(), verdict=verdict)
            elif isinstance(event, Agreed):
                job.agreement = [asdict(event)]
                self._publish(job)
            else:
                self._publish(
                    job,
                    has_snapshot=True,
                    step=event.step,
                    seconds=event.seconds,
                    progress=view.config.progress_at(event.step, event.seconds),
                )
            self._changed.notify_all()


def wait_until_ended(jobs: Jobs, run_id: str, seconds: float) -> JobView:
    """Waits for a run to end, or raises TimeoutError; for tests and scripts."""
    view = jobs.wait(run_id, seconds)
    if view.is_under_way:
        raise TimeoutError(f"the run is still {view.state} after {seconds:g} s")
    return view
