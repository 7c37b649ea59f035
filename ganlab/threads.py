"""Who computes with how many threads: a training, and what somebody waits for beside it."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from ganlab import courtesy, device
from ganlab.courtesy import going_first

NICE = 10  # how far behind others a thread is


class ThreadChooser:
    """Moves between all threads and half of them, to whichever is faster now.

    Threads wait for each other at the end of every operation, so a core that somebody else uses (a
    browser on the same laptop, a neighbour on the same host) can make two threads slower than one.
    Now and then the other number is tried for a while: the more often it loses, the more rarely.
    """

    FIRST_TRIAL, MOST_RARELY = 3, 48  # in stretches of training
    CLEARLY = 1.1  # faster by so much

    def __init__(self, threads: int):
        self.threads, self._other = threads, max(1, threads // 2)
        self._wait = self._left = self.FIRST_TRIAL
        self._usual: float | None = None  # speed before the trial that is under way

    def after(self, speed: float) -> int:
        """Takes the speed of the stretch that has ended; gives the threads for the next one."""
        if self._other == self.threads:
            return self.threads
        if self._usual is not None:  # this was a trial
            won = speed > self.CLEARLY * self._usual
            if won:
                self.threads, self._other = self._other, self.threads
            self._wait = self.FIRST_TRIAL if won else min(2 * self._wait, self.MOST_RARELY)
            self._left, self._usual = self._wait, None
            return self.threads
        self._left -= 1
        if self._left > 0:
            return self.threads
        self._usual = speed
        return self._other

    def after_sharing(self) -> int:
        """The same after a stretch whose speed says nothing: a trial is put off."""
        if self._usual is not None:
            self._left, self._usual = 1, None
        return self.threads


def _hands(number: int, *, are_last: bool = False) -> ThreadPoolExecutor:
    """Threads that draw; `are_last`: on a core that nothing else needs, where the system knows such
    threads."""

    def begin() -> None:
        torch.set_num_threads(1)
        if are_last and sys.platform == "linux":
            me = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, me, max(NICE, os.getpriority(os.PRIO_PROCESS, me)))

    return ThreadPoolExecutor(number, "ganlab-draws", begin)


_CORES = device.available_cores()
_HANDS = _hands(_CORES)
# Beside these a training waits for a core for 9 % of its time, beside equal ones it was 18 %.
_FEW_HANDS = _hands(_CORES - courtesy.half(_CORES) or 1, are_last=True)


def side_by_side(draw: Callable[[Tensor], np.ndarray], z: Tensor) -> np.ndarray:
    """What `draw` makes of latents (N, z_dim), for somebody who waits for it: a part of them on
    each core. Threads within an operation would wait for each other after every one of them, and
    where a browser has the same cores, that took half as long again.
    """
    threads, hands = device.plan().threads, _HANDS
    if courtesy.is_short():
        threads, hands = courtesy.half(threads), _FEW_HANDS
    parts = z.tensor_split(min(threads, len(z)))
    with going_first():
        return np.concatenate(list(hands.map(draw, parts)))


@contextmanager
def quick_threads() -> Iterator[None]:
    """For what somebody waits for, within this thread: as many as the machine has to offer."""
    before, threads = torch.get_num_threads(), device.plan().threads
    torch.set_num_threads(courtesy.half(threads) if courtesy.is_short() else threads)
    try:
        with going_first():
            yield
    finally:
        torch.set_num_threads(before)


def threads_are_fixed() -> bool:
    """Whether the user has said how many."""
    return "GANLAB_THREADS" in os.environ
