"""Projections under way: a short queue, one thread at a time, and what a page may see of them.

They have nothing to do with the worker that trains: none waits for a training, and while one is
under way they step back, so that it loses little. A page reads only `ProjectionView`s: immutable,
replaced whole under a lock.
"""

import logging
import os
import secrets
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from ganlab.caps import Caps
from ganlab.config import ModelConfig
from ganlab.projection import STEPS, Found, Step, project
from ganlab.turns import NOBODY, Visitor

log = logging.getLogger(__name__)

UNASKED_SECONDS = 120.0  # then nobody waits for one any more: a page that is seen asks all the time
KEPT, KEPT_SECONDS = 32, 1800  # of ended ones, the last that many for so long
# Beside a training: times what a step took, where a thread can be one that only takes what others
# leave (it still fills their cache), and where it cannot.
REST_OF_IDLE, REST = 2, 9
LONGEST_REST = 2.0  # seconds, so that a cancel is heard
UNDER_WAY = ("waiting", "running")


class UnknownProjection(ValueError):
    """No projection has this id, or it is forgotten."""


@dataclass(frozen=True)
class ProjectionView:
    """What a page may see of one.

    Attributes:
        model: what the page calls the generator.
        target: uint8 (H, W, C).
        state: "waiting", "running", "finished", "cancelled" or "failed".
        place: in the queue, from 1; 0 = it does not wait.
        done: from 0 to 1.
        curve: the distance in features after each step so far.
        steps_back: whether a training goes first.
    """

    model: str
    target: np.ndarray
    state: str = "waiting"
    place: int = 0
    done: float = 0.0
    best: Found | None = None
    curve: tuple[float, ...] = ()
    steps_back: bool = False
    seconds: float = 0.0
    version: int = 0

    @property
    def is_under_way(self) -> bool:
        return self.state in UNDER_WAY


class _Projection:
    """`Projections` alone touches these."""

    def __init__(self, view: ProjectionView, search: Callable[..., Found | None], visitor: Visitor):
        self.view, self.search = view, search  # the latter holds the generator while it waits
        self.visitor = visitor  # whoever waits for it
        self.cancelled = threading.Event()
        self.asked = time.monotonic()  # when it was last looked at
        self.ended = 0.0

    @property
    def is_over(self) -> bool:
        """Whether it is cancelled, or nobody looks at it any more."""
        return self.cancelled.is_set() or time.monotonic() - self.asked > UNASKED_SECONDS


class Projections:
    """A queue of projections, one of each visitor, of which one is under way at a time."""

    def __init__(
        self,
        is_training: Callable[[], bool] = lambda: False,
        *,
        steps: int = STEPS,
        caps: Caps | None = None,
    ):
        """
        Args:
            is_training: whether a training is under way, which then goes first.
            steps: of each projection.
            caps: None = those of whoever runs ganlab for themselves.
        """
        self._is_training, self._steps, self._caps = is_training, steps, caps or Caps()
        self._changed = threading.Condition()  # guards everything below
        self._known: OrderedDict[str, _Projection] = OrderedDict()
        self._waiting: list[_Projection] = []
        self._thread: threading.Thread | None = None

    def submit(
        self,
        model: str,
        generator: nn.Module,
        config: ModelConfig,
        picture: np.ndarray,
        head: str | None,
        visitor: Visitor = NOBODY,
    ) -> str:
        """Queues one, with the arguments of `project`, in place of any that the visitor waits for;
        gives its id, by which alone it is known.

        Raises:
            CapReached: there are enough already, of all visitors or from their network.
        """

        def search(**hooks: Callable) -> Found | None:
            return project(generator, config, picture, head=head, steps=self._steps, **hooks)

        projection = _Projection(ProjectionView(model, picture), search, visitor)
        with self._changed:
            self._need_place(visitor)
            for each in self._of(visitor):
                self._cancel(each)
            self._forget()
            projection_id = secrets.token_urlsafe(12)
            self._known[projection_id] = projection
            self._waiting.append(projection)
            self._publish_places()
            if self._thread is None:
                self._begin_next()
        return projection_id

    def view(self, projection_id: object) -> ProjectionView:
        """The latest view of one, or UnknownProjection."""
        with self._changed:
            projection = self._projection(projection_id)
            projection.asked = time.monotonic()
            return projection.view

    def wait(self, projection_id: object, seconds: float) -> ProjectionView:
        """The view once it has ended, or as it is after so many seconds."""
        with self._changed:
            projection = self._projection(projection_id)
            projection.asked = time.monotonic() + seconds
            self._changed.wait_for(lambda: not projection.view.is_under_way, seconds)
            return projection.view

    def cancel(self, projection_id: object) -> None:
        """Ends one within a step; what it has found stays to be seen."""
        with self._changed:
            self._cancel(self._projection(projection_id))

    # Inside. All of these are called with the lock held, but for `_work` and what it hands on.

    def _projection(self, projection_id: object) -> _Projection:
        if not isinstance(projection_id, str) or projection_id not in self._known:
            raise UnknownProjection("this search is forgotten: begin again")
        return self._known[projection_id]

    def _of(self, visitor: Visitor) -> list[_Projection]:
        """What a visitor waits for."""
        mine = (each for each in self._known.values() if each.visitor == visitor)
        return [each for each in mine if each.view.is_under_way]

    def _need_place(self, visitor: Visitor) -> None:
        """Raises CapReached if others wait in all places, or their network's in half of them."""
        others = [each.visitor for each in self._waiting if each.visitor != visitor]
        near = [each for each in others if each.address and each.address == visitor.address]
        if len(others) >= self._caps.searches:
            told = f"{len(others)} pictures wait to be found already"
        elif len(near) >= max(1, self._caps.searches // 2):
            told = f"{len(near)} pictures from your network wait to be found already"
        else:
            return
        raise self._caps.reached("searches", f"{told}: try again in a minute")

    def _cancel(self, projection: _Projection) -> None:
        projection.cancelled.set()
        if projection in self._waiting:
            self._waiting.remove(projection)
            self._end(projection, "cancelled")
            self._publish_places()

    def _forget(self) -> None:
        ended = [key for key, each in self._known.items() if not each.view.is_under_way]
        too_old = time.monotonic() - KEPT_SECONDS
        for place, key in enumerate(ended):
            if place <= len(ended) - KEPT or self._known[key].ended < too_old:
                del self._known[key]

    def _publish(self, projection: _Projection, **changes: object) -> None:
        version = projection.view.version + 1
        projection.view = replace(projection.view, **changes, version=version)
        self._changed.notify_all()

    def _publish_places(self) -> None:
        ahead = 0 if self._thread is None else 1
        for place, projection in enumerate(self._waiting, start=ahead):
            self._publish(projection, place=place)

    def _end(self, projection: _Projection, state: str) -> None:
        del projection.search  # and the generator with it
        projection.ended = time.monotonic()
        self._publish(projection, state=state, place=0)

    def _begin_next(self) -> None:
        """In a new thread: an old one may have given up its priority, which cannot be undone."""
        self._thread = None
        if self._waiting:
            projection = self._waiting.pop(0)
            self._publish(projection, state="running", place=0)
            self._thread = threading.Thread(
                target=self._work, args=[projection], name="ganlab-projection", daemon=True
            )
            self._publish_places()
            self._thread.start()

    def _work(self, projection: _Projection) -> None:
        torch.set_num_threads(1)  # of this thread: two would wait for each other and for a training
        state = "failed"
        try:
            found = projection.search(
                on_step=_Watched(self, projection), should_stop=lambda: projection.is_over
            )
            state = "finished" if found else "failed"  # a generator may give no numbers
        except Exception:  # the next one must not suffer from it
            log.exception("a projection failed")
        with self._changed:
            self._end(projection, "cancelled" if projection.is_over else state)
            self._begin_next()


class _Watched:
    """After each step: shows it, and lets a training go first."""

    def __init__(self, projections: Projections, projection: _Projection):
        self._all, self._one = projections, projection
        self._began = self._stepped = time.perf_counter()
        self._is_idle: bool | None = None  # not tried yet

    def __call__(self, step: Step) -> None:
        now, training = time.perf_counter(), self._all._is_training()
        view = self._one.view
        curve = (*view.curve, step.best.distance) if step.best else ()
        with self._all._changed:
            self._all._publish(
                self._one, done=step.done, best=step.best, curve=curve, steps_back=training,
                seconds=now - self._began,
            )  # fmt: skip
        if training:
            if self._is_idle is None:
                self._is_idle = _become_idle()
            self._step_back(now - self._stepped)
        self._stepped = time.perf_counter()

    def _step_back(self, worked: float) -> None:
        rest = (REST_OF_IDLE if self._is_idle else REST) * worked
        self._one.cancelled.wait(min(rest, LONGEST_REST))


def _become_idle() -> bool:
    """Makes this thread one that runs when no other wants to; whether the system knows such."""
    if sys.platform != "linux":  # where each thread has a priority
        return False
    try:  # niceness is not enough: Linux lets a nice thread finish its slice before it yields
        os.sched_setscheduler(threading.get_native_id(), os.SCHED_IDLE, os.sched_param(0))
    except OSError as error:  # a container may forbid it
        log.info("a projection cannot give up its priority, and rests instead: %s", error)
        return False
    return True
