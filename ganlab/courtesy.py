"""Whoever waits at a screen goes first: a training pauses between two steps while that is drawn.

Both would have half of the cores otherwise, so that a picture of 100 ms took 300, and nobody else
would gain by it.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST = 0.25  # seconds that a step waits for what is drawn
MOST_SAVED = 2.0  # seconds of waiting: while a hand drags, but no longer
GRANTED = 3 / 7  # seconds of waiting for each of work, so that seven tenths of the time are work

_changed = threading.Condition()
_in_front = 0


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


class Courtesy:
    """What one training grants: in the long run three tenths of the time, so that it goes on
    however many draw."""

    def __init__(self) -> None:
        self._saved = MOST_SAVED

    def has_worked(self, seconds: float) -> None:
        self._saved = min(self._saved + GRANTED * seconds, MOST_SAVED)

    def let_others_first(self) -> float:
        """Waits while somebody goes first, if there is time to grant; how many seconds it was."""
        with _changed:
            if not _in_front or self._saved <= 0:
                return 0.0
            began = time.perf_counter()
            _changed.wait_for(lambda: not _in_front, min(LONGEST, self._saved))
        waited = time.perf_counter() - began
        self._saved -= waited
        return waited
