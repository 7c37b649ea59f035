"""The queue and the worker threads: who runs when, and what a page sees of it meanwhile.

What a run is lives in `runs`, what its owner may do with it otherwise in `owned`,
how it learns in `training`.
"""

import heapq
import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from ganlab import contest, estimates, kinship, late_look, transfer
from ganlab.caps import CapReached, Caps
from ganlab.config import TrainConfig
from ganlab.contest import LapBegan, LapEnded, LapEvent
from ganlab.data.dataset import Dataset
from ganlab.events import Agreed, GridSaved, Logged, Looked, TakenUp
from ganlab.files import DiskRefused, told_if_refused
from ganlab.health import diagnose
from ganlab.known import UNREADABLE, Job
from ganlab.models import features
from ganlab.owned import OwnedRuns
from ganlab.pace import Pace
from ganlab.perform import Happening, perform, reason
from ganlab.quality import BrokenOff
from ganlab.runs import TRAINS_NO_MORE, UNDER_WAY, IllegalMove, Run, RunIsHeld, all_runs
from ganlab.source import Source
from ganlab.transfer_config import TransferConfig, is_race
from ganlab.turns import NOBODY, Turns, Visitor, need_place
from ganlab.views import JobView

log = logging.getLogger(__name__)

SECONDS_TO_CLOSE = 4.0  # whoever stops a server may end it by force some seconds later
SECONDS_TO_END = 10.0  # that a run may take to stop and save before a remedy
MOST_DONE = 0.5  # of the budget; with less than the rest, a remedy could not show that it works


class ShuttingDown(ValueError):
    """The server takes nothing more."""


class Jobs(OwnedRuns):
    """Runs in a folder, a queue of them, and worker threads that train them one after another."""

    def __init__(self, folder: Path, *, workers: int = 1, caps: Caps | None = None):
        super().__init__(folder, caps)
        self._waiting: list[Job] = []  # as they came; these, too, are guarded by `_changed`
        self._active: list[Job] = []
        self._unseen: list[Run] = []  # that broke off, to be measured while nobody waits
        self._has_found_unseen = False  # of before this server
        self._turns, self._pace = Turns(), Pace()
        self._closing = False
        self._threads = [
            threading.Thread(target=self._work, name=f"ganlab-worker-{i}", daemon=True)
            for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    # For visitors.

    def submit(self, config: TrainConfig, visitor: Visitor = NOBODY) -> tuple[str, str]:
        """Queues a new run. Gives its id, with which anybody can watch, and its owner's token.

        Raises:
            ValueError: the settings, the visitor or all visitors ask for more than a cap allows.
        """
        config = self.caps.bounded(config)
        self._need_room()
        with self._changed:
            self._refuse_if_full(visitor)
            run, token = Run.create(config, runs=self.folder)
            self._enqueue(self._add(run), visitor)
        return run.id, token

    def submit_transfer(
        self,
        config: TransferConfig,
        dataset: Dataset,
        source: Source,
        names: Sequence[str] | None = None,
        visitor: Visitor = NOBODY,
    ) -> tuple[str, str]:
        """Queues a transfer or a race of several, as `submit` does a training."""
        config = self.caps.bounded(config)
        own = config.of_source(source.config)
        self.caps.need_memory(own, len(dataset.tasks), source.config.size)
        self._need_room()
        with self._changed:
            self._refuse_if_full(visitor)
        # Copies files: nobody waits for that.
        run, token = transfer.create(config, dataset, source, names=names, runs=self.folder)
        with run.undone_on_error(), self._changed:
            self._refuse_if_full(visitor)  # two at once may both have been let in
            self._enqueue(self._add(run), visitor)
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
                job.stop.set()  # first, as a full disk cannot take the state
                job.run.move("stopping")
            self._publish(job)
            self._publish_places()

    def resume(self, run_id: str, token: object, visitor: Visitor = NOBODY) -> None:
        """Queues an ended run again, from its newest snapshot. A finished one gets more budget."""
        self._need_room()
        with self._changed:
            job = self._owned(run_id, token)
            if job in self._active:
                raise IllegalMove("this run is still ending: try again in a second")
            if job.run.is_derived:
                raise IllegalMove(TRAINS_NO_MORE)
            if job not in self._waiting and self._is_broken_off(job.run.status.state):
                with told_if_refused(), job.run.held():  # its end could not be written
                    job.run.move("interrupted")
            self._refuse_if_full(visitor)
            config = job.run.config
            if job.run.status.state == "finished":
                if is_race(config):
                    raise IllegalMove("this race is over: go on with one of its laps")
                config = config.with_more_budget()
            config = self.caps.bounded(config)
            most = self.caps.run_seconds
            if most and job.run.status.seconds >= most and not is_race(config):
                had = f"This run has had all of the {most:,} seconds that this server gives one"
                raise self.caps.reached("run_seconds", had)
            if config != job.run.config:
                job.run.describe(config=config.to_dict())
            job.run.move("queued")
            job.run.forget_after(max(job.run.snapshot_steps(), default=0))
            job.stop.clear()
            self._enqueue(job, visitor)

    def remedy(self, run_id: str, token: object, visitor: Visitor = NOBODY) -> tuple[str, str]:
        """Does what the run's health light advises: ends the run and queues a new one that goes on
        from its best snapshot with other settings. Gives the new one's id and owner's token."""
        with self._changed:
            job = self._owned(run_id, token)
            verdict = job.view.verdict
            if verdict is None or verdict.remedy is None:
                raise IllegalMove("there is nothing to remedy in this run just now")
            self._refuse_if_full(visitor, instead_of=job)
            remedy, run = verdict.remedy, job.run
            config = self.caps.bounded(replace(run.config, **remedy.changes))
            self._need_room()
            if job.view.is_under_way:
                self.stop(run_id, token)
        if self.wait(run_id, SECONDS_TO_END).is_under_way:
            raise IllegalMove("the run is still saving: try again in a few seconds")
        step = run.best_step() if remedy.from_best else None
        new, token = run.branch(config, self.folder, step)  # copies files: nobody waits for that
        with new.undone_on_error(), self._changed:
            self._refuse_if_full(visitor)  # two presses at once may both have been let in
            if step is not None:
                new.describe(ancestors=kinship.of_run(run))
            status = new.status
            if config.progress_at(status.step, status.seconds) > MOST_DONE:
                with suppress(CapReached):  # then it has what is left of its budget
                    longer = self.caps.bounded(config.with_more_budget())
                    new.describe(config=longer.to_dict())
            self._enqueue(self._add(new), visitor)
        return new.id, token

    def tidy(self) -> None:
        """The first time, when the server has long started, it also finds the runs that an earlier
        one had no time to measure."""
        super().tidy()
        if self.is_alone and not self._has_found_unseen:
            self._has_found_unseen = True
            self._find_unseen()

    @property
    def is_training(self) -> bool:
        """Whether a run is under way in this process."""
        with self._changed:
            return bool(self._active)

    def queue(self) -> tuple[int, int]:
        """How many runs train, and how many wait."""
        with self._changed:
            return len(self._active), len(self._waiting)

    def close(self, seconds: float = SECONDS_TO_CLOSE) -> None:
        """Stops what is under way, saved, takes out of the queue what waits, and ends the threads;
        after so many seconds, what has not ended is left as its last snapshot has it."""
        end = time.monotonic() + seconds
        with self._changed:
            self._closing = True
            for job in self._active:
                job.stop.set()
            for job in self._waiting:
                self._mark_if_broken_off(job.run)
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0))
        super().close()

    # Inside. All of these are called with the lock held, but for the worker.

    def _is_ours(self, job: Job) -> bool:
        return job in self._active or job in self._waiting

    def _refuse_if_full(self, visitor: Visitor, instead_of: Job | None = None) -> None:
        """Args: instead_of: a run that ends before the new one waits."""
        if self._closing:
            raise ShuttingDown("the server is shutting down")
        others = [job for job in self._waiting if job is not instead_of]
        active = [job for job in self._active if job is not instead_of]
        most, mine = self.caps.running_each, [job.visitor for job in active].count(visitor)
        # Then the next one is not kept waiting.
        soon = len(active) < len(self._threads) and (most is None or mine < most)
        need_place(self.caps, visitor, [job.visitor for job in others], starts=soon)

    def _enqueue(self, job: Job, visitor: Visitor) -> None:
        job.visitor = visitor
        self._waiting.append(job)
        job.read(job.view.version)
        self._publish(job)
        self._publish_places()
        self._changed.notify_all()

    def _in_turn(self) -> list[Job]:
        """What waits, in the order in which it will begin."""
        return self._turns.order([(job.visitor, job) for job in self._waiting])

    def _next(self) -> Job | None:
        """The run to begin now; None = nobody waits who may have one more at a time."""
        most, training = self.caps.running_each, [job.visitor for job in self._active]
        for job in self._in_turn():
            if most is None or training.count(job.visitor) < most:
                return job
        return None

    def _publish_places(self) -> None:
        """Tells everyone who waits their place and when their turn comes."""
        free_at = [self._left(job) * self._pace.factor for job in self._active]
        free_at += [0.0] * (len(self._threads) - len(free_at))
        heapq.heapify(free_at)
        most = self.caps.running_each
        ends = {job: self._left(job) * self._pace.factor for job in self._active}
        for place, job in enumerate(self._in_turn(), start=1):
            start = heapq.heappop(free_at) if free_at else 0.0
            own = sorted(end for other, end in ends.items() if other.visitor == job.visitor)
            if most is not None and len(own) >= most:
                start = max(start, own[-most])
            self._publish(job, queue_place=place, seconds_to_start=start)
            ends[job] = start + self._left(job) * self._pace.factor
            heapq.heappush(free_at, ends[job])

    def _left(self, job: Job) -> float:
        """Seconds until a run's end, as its settings say; 0 where nobody can tell."""
        view = job.view
        try:
            return estimates.remaining_seconds(view.config, view.seconds, view.progress)
        except Exception:  # a guess must not end a worker
            log.exception("how long run %s will take cannot be told", view.run_id)
            return 0.0

    def _work(self) -> None:
        features.preload()  # while nobody waits
        while True:
            with self._changed:
                while not ((job := self._next()) or self._unseen or self._closing):
                    self._changed.wait()
                if self._closing:
                    return
                if job:
                    self._waiting.remove(job)
                    self._active.append(job)
                    self._turns.note(job.visitor)
                    self._publish(job, queue_place=0, seconds_to_start=0.0)
                    self._publish_places()
                    expected, began = self._left(job), time.monotonic()
                else:
                    unseen = self._unseen.pop(0)
            if job is None:
                self._look_late(unseen)
                continue
            refused = ""
            try:
                perform(
                    job.run,
                    on_event=lambda event, job=job: self._on_event(job, event),
                    on_loading=lambda message, job=job: self._on_loading(job, message),
                    should_stop=job.stop.is_set,
                )
            except Exception as error:  # the run says why; the worker goes on with the next
                log.exception("run %s failed", job.run.id)
                if isinstance(error, DiskRefused):  # then the run may not have been able to
                    refused = reason(job.run, error)
            with self._changed:
                self._active.remove(job)
                try:
                    self._publish_end(job, refused)
                    if job.view.state == "finished":
                        self._pace.note(expected, time.monotonic() - began)
                    elif late_look.is_missing(job.run):
                        self._unseen.append(job.run)
                except Exception:  # a full disk, a deleted or damaged folder
                    log.exception("the end of run %s could not be written", job.run.id)
                    message, version = refused or UNREADABLE, job.view.version + 1
                    job.view = replace(job.view, state="failed", message=message, version=version)
                self._publish_places()
                self._changed.notify_all()

    def _find_unseen(self) -> None:
        """Those of another server's time, which may have ended before it could look at them."""
        for run in all_runs(self.folder):
            try:
                if late_look.is_missing(run):
                    with self._changed:
                        self._unseen.append(run)
                        self._changed.notify_all()
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.warning("%s is damaged: %r", run.path, error)

    def _look_late(self, run: Run) -> None:
        """Measures a run that broke off, unless somebody wants the worker meanwhile: then later."""

        def is_wanted() -> bool:
            with self._changed:
                return self._closing or self._next() is not None

        try:
            looked = late_look.look(run, is_wanted) if late_look.is_missing(run) else None
            with self._changed:
                # It may have been resumed, or deleted.
                if looked and late_look.is_missing(run) and not self._is_ours(self._job(run.id)):
                    run.log_quality(looked.line)
                    self._on_event(self._job(run.id), looked)
        except BrokenOff:
            with self._changed:
                self._unseen.append(run)
        except Exception as error:  # deleted, damaged, a full disk: it is as good without
            log.warning("run %s is not measured: %r", run.id, error)

    def _publish_end(self, job: Job, refused: str) -> None:
        if job.run.status.state in UNDER_WAY:  # failed before its state could be written
            unknown = "The run could not be started. See the server's log."
            job.run.move("failed", refused or unknown)
        elif self._closing and not job.run.status.message and job.run.status.state == "stopped":
            saved = f", and the run was saved at step {job.run.status.step:,}"
            saved = "" if is_race(job.view.config) else saved  # its laps are
            job.run.note(f"The server was shut down{saved}.")
        verdict = job.view.verdict
        if job.run.exploded:
            verdict = diagnose(job.view.config, job.curve, job.quality, job.view.progress, True)
        self._publish(job, grid_steps=tuple(job.run.grid_steps()), verdict=verdict)

    def _on_loading(self, job: Job, message: str) -> None:
        with self._changed:
            self._publish(job, message=message)

    def _on_lap(self, job: Job, event: LapBegan | LapEvent | LapEnded) -> None:
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
            self._publish(
                job,
                marks=view.marks + 1,
                lap=event.strategy,
                progress=contest.progress_of(job.run),
                **contest.laps_of(job.run),
            )
        self._changed.notify_all()

    def _on_event(self, job: Job, event: Happening) -> None:
        with self._changed:
            view = job.view
            if isinstance(event, LapBegan | LapEvent | LapEnded):
                self._on_lap(job, event)
                return
            if isinstance(event, TakenUp):
                job.read(view.version)
                self._publish(job)
            elif isinstance(event, Logged):
                line = {"step": event.step, "seconds": event.seconds, **event.metrics}
                job.curve.append(line)
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
                # A view may have been made anew just before.
                earlier = (step for step in view.grid_steps if step < event.step)
                self._publish(job, grid_steps=(*earlier, event.step))
            elif isinstance(event, Looked):
                job.quality.append(event.line)
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
