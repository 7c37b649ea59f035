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
GRANTED = 1 / 49  # seconds of waiting for each of work
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


def is_short() -> bool:
    """Whether a training has little left to grant, so that who draws much takes it from that."""
    return time.monotonic() - _had_little_at < RECENT


class Courtesy:
    """What one training grants: in the long run a fiftieth of the time, so that it goes on however
    many draw, and beyond that half of the cores."""

    def __init__(self) -> None:
        self._saved = MOST_SAVED

    def has_worked(self, seconds: float) -> None:
        self._saved = min(self._saved + GRANTED * seconds, MOST_SAVED)

    def let_others_first(self) -> float:
        """Waits while somebody goes first, if there is time to grant; how many seconds it was."""
        global _had_little_at
        if self._saved < LITTLE:
            _had_little_at = time.monotonic()
        with _changed:
            if not _in_front or self._saved < LITTLE:
                return 0.0
            began = time.perf_counter()
            _changed.wait_for(lambda: not _in_front, min(LONGEST, self._saved))
        waited = time.perf_counter() - began
        self._saved -= waited
        return waited

    def threads(self, most: int) -> int:
        """With how many of its threads to go on now.

        With all of them, while the cores are needed elsewhere, each operation would wait for the
        thread that has no core: under load, with two of two, 35 % of the speed was left instead of
        54 %.
        """
        return half(most) if _in_front else most


def half(threads: int) -> int:
    return max(1, threads // 2)
