"""What the owner of a run may do with it while it does not train: name it, copy it, edit its heads
and directions, delete it and bring it back."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ganlab import checkpoints, contest, derived, duplicates, kept, portable, trash
from ganlab.caps import Caps
from ganlab.expiry import Expiry
from ganlab.heads import REMOVE, RENAME, Edit
from ganlab.kept import Named
from ganlab.known import NOT_YOURS, Job, KnownRuns, NotOwner, UnknownRun
from ganlab.room import excess, size_of
from ganlab.runs import UNDER_WAY, IllegalMove, Run, all_runs
from ganlab.source import read_source
from ganlab.titles import checked_name
from ganlab.views import JobView, view_of

log = logging.getLogger(__name__)

MADE = "made"  # an empty file in the folder of a run that took no turn in the queue
UNASKED_SECONDS = 3600.0  # then an ended run is read anew by whoever asks again


class OwnedRuns(KnownRuns):
    """The runs in a folder, with what their owners do with them."""

    def __init__(self, folder: Path, caps: Caps | None = None):
        super().__init__(folder, caps)
        self._expiry = Expiry(self.caps.run_hours)
        self._purging = threading.Lock()  # what one destroys, another counts no more
        self._making = threading.Lock()  # what one makes, another counts
        self._opening = threading.Lock()  # zips, one after another: each may take half a minute
        self._promised = 0  # bytes, for what is in the one that is being opened

    def own(self, run_id: str, token: object) -> Run:
        """A run, for its owner alone."""
        with self._changed:
            return self._owned(run_id, token).run

    def open_run(self, zip_path: Path) -> tuple[str, str]:
        """Makes a run of the zip of one; it has ended, and can be resumed. Gives its id and owner's
        token.

        Raises:
            ValueError: it is no zip of a run, or there is no room for what it holds.
        """
        with self._opening:
            try:
                run, token = portable.open_run(
                    zip_path, runs=self.folder, any_data=False,
                    need_room=self._promise_room, need_memory=self.caps.need_memory_of,
                )  # fmt: skip
                self._mark(run)
            finally:
                self._promised = 0
            self._add(run)
        return run.id, token

    def _promise_room(self, size: int) -> None:
        with self._making:
            self._need_room_to_make(size)
            self._promised = size

    def _need_room_to_make(self, size: int = 0) -> None:
        """As `_need_room`, for a run that takes no turn in the queue: such ones are made in a
        moment, so they have a part of the disk alone, and trainings the rest."""
        self._need_room(size)
        most = self.caps.made_mb
        if most is None:
            return
        made = (run.path for run in all_runs(self.folder) if (run.path / MADE).exists())
        if sum(map(size_of, made)) + self._promised + size > most * 1_000_000:
            told = f"Copies, edited heads and opened runs take all of the {most:,} MB that they may"
            raise self.caps.reached("made_mb", f"{told}: delete one of yours, or try again later")

    @staticmethod
    def _mark(run: Run) -> None:
        with run.undone_on_error():
            (run.path / MADE).touch()

    def take_lap(self, run_id: str, strategy: str, token: object) -> tuple[str, str]:
        """Makes a run of its own of a race's lap; gives its id and owner's token."""
        with self._changed:
            race = self._owned(run_id, token).run
        with self._making:
            self._need_room_to_make()
            run, new_token = contest.take(race, strategy, self.folder)
            self._mark(run)
        return run.id, new_token

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
            with self._making:
                self._need_room_to_make(size_of(shipped[0]))
                run, new_token = derived.create(read_source(shipped[0]), [], runs=self.folder)
                self._mark(run)
        else:
            with self._changed:
                run = self._owned(origin, token).run
            with self._making, self._editing(origin, token) if run.is_derived else nullcontext():
                self._need_room_to_make(size_of(run.path))
                run, new_token = duplicates.duplicate(run, self.folder)
                self._mark(run)
        self._add(run)
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
            if self._is_ours(job) or job.run.status.state in UNDER_WAY:
                raise IllegalMove("stop the run before you delete it")
            if job.editing.locked():
                raise IllegalMove("its heads are just being edited: try again in a second")
            del self._known[run_id]
            trash.throw_away(job.run)
        self._purge()

    def undelete(self, run_id: str, token: object) -> None:
        """Brings a deleted run back as it was.

        Raises:
            ValueError: it is another visitor's, or was not deleted, or too long ago.
        """
        with self._changed:
            trash.take_back(self._in_trash(run_id, token))

    def deleted(self, run_id: object, token: object) -> JobView:
        """A run of the visitor's that `undelete` brings back, or raises ValueError as that does."""
        try:
            return view_of(self._in_trash(run_id, token))
        except (UnknownRun, NotOwner):
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:  # damaged, or just destroyed
            log.warning("%s in the trash cannot be read: %r", run_id, error)
            raise UnknownRun("this run cannot be read: its folder is damaged") from None

    def _in_trash(self, run_id: object, token: object) -> Run:
        run = trash.find(self.folder, run_id)
        if run is None:
            raise UnknownRun(
                "this run cannot be brought back: it was deleted too long ago, or its room was "
                "needed"
            )
        if not run.is_owned_by(token):
            raise NotOwner(NOT_YOURS)
        return run

    def _purge(self) -> None:
        """Destroys what has lain in the trash for long, or is too much there."""
        with self._purging:
            if not trash.is_empty(self.folder):
                trash.purge(self.folder, excess=excess(self.folder.parent, self.caps))

    def kept_until(self, run_id: str) -> float | None:
        """When an ended run is removed, in seconds since 1970, unless it is changed before; None =
        never, or it is under way."""
        with self._changed:
            job = self._job(run_id)
        try:
            return None if job.view.is_under_way else self._expiry.until(job.run)
        except OSError as error:  # its folder has vanished
            log.warning("nobody knows how long run %s is kept: %s", run_id, error)
            return None

    def tidy(self) -> None:
        """Removes the ended runs whose time is over, destroys what was deleted an hour ago, and
        puts what nobody has looked at for an hour out of memory. To be called now and then."""
        for run in all_runs(self.folder) if self._expiry.hours is not None else ():
            try:
                until = self._expiry.until(run)
                if until is not None and time.time() >= until:
                    self._remove(run)
            except (OSError, ValueError, KeyError, TypeError) as error:  # deleted, or damaged
                log.warning("run %s stays: %r", run.id, error)
        with self._changed:
            ended = [id for id, job in self._known.items() if not job.view.is_under_way]
            for run_id in ended:
                job = self._known[run_id]
                if time.monotonic() - job.asked > UNASKED_SECONDS and not self._is_busy(job):
                    del self._known[run_id]
        self._purge()

    def _remove(self, run: Run) -> None:
        with self._changed:
            job = self._known.get(run.id)
            if run.status.state in UNDER_WAY or (job and self._is_busy(job)):
                return
            self._known.pop(run.id, None)
            trash.throw_away(run)
        log.info("run %s was kept for its time and is removed", run.id)

    def _is_busy(self, job: Job) -> bool:
        return self._is_ours(job) or job.editing.locked()

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
        with self._making:
            self._need_room_to_make()
            run, new_token = derived.create(source, [edit], runs=self.folder)
            self._mark(run)
        self._add(run)
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
                job.read(job.view.version + 1)
                self._changed.notify_all()
