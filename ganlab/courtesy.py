"""Whoever waits at a screen goes first: a training pauses between two steps while that is drawn.

Both would have half of the cores otherwise, so that a picture of 100 ms took 300, and nobody else
would gain by it. Where so much is drawn that a training would hardly go on, they share the cores.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST = 0.25  # seconds that a step waits for what is drawn
MOST_SAVED = 1.0  # seconds of waiting: while a hand drags, but no longer
# Seconds of waiting for each of work: of a training that has threads to share, and of others.
GRANTED, GRANTED_WHOLE = 1 / 49, 3 / 7
LITTLE = MOST_SAVED / 4  # seconds of waiting
RECENT = 1.0  # seconds

_changed = threading.Condition()
_in_front = 0
_had_little_at = -RECENT  # on the monotonic clock


@contextmanager
def going_first() -> Iterator[None]:
    """While something is drawn for somebody who waits for it."""
    global _in_front
    with _changed:
        _in_front += 1
    try:
        yield
    finally:
        with _changed:
            _in_front -= 1
            _changed.notify_all()


def somebody_waits() -> bool:
    return _in_front > 0


def is_short() -> bool:
    """Whether a training has little left to grant, and goes on beside what is drawn: then that is
    to use half of the cores."""
    return time.monotonic() - _had_little_at < RECENT


class Courtesy:
    """What one training grants: in the long run a fiftieth of the time, so that it goes on however
    many draw, and beyond that half of the cores."""

    def __init__(self, *, shares: bool):
        """`shares`: it can go on with half of its threads. If not, it grants three tenths of the
        time."""
        self._shares, self._saved = shares, MOST_SAVED

    def has_worked(self, seconds: float) -> None:
        granted = GRANTED if self._shares else GRANTED_WHOLE
        self._saved = min(self._saved + granted * seconds, MOST_SAVED)

    def let_others_first(self) -> float:
        """Waits while somebody goes first, if there is time to grant; how many seconds it was."""
        self._tell()
        with _changed:
            if not _in_front or self._saved < LITTLE:
                return 0.0
            began = time.perf_counter()
            _changed.wait_for(lambda: not _in_front, LONGEST)
        waited = time.perf_counter() - began
        self._saved -= waited
        return waited

    def threads(self, most: int) -> int:
        """With how many of its threads to go on now.

        With all of them, while the cores are needed elsewhere, each operation would wait for the
        thread that has no core: under load, with two of two, 35 % of the speed was left instead of
        54 %.
        """
        self._tell()
        return half(most) if self._shares and _in_front else most

    def _tell(self) -> None:
        global _had_little_at
        if self._shares and self._saved < LITTLE:
            _had_little_at = time.monotonic()


def half(threads: int) -> int:
    return max(1, threads // 2)
