"""Whoever waits at a screen goes first: a training pauses between two steps while that is drawn.

Both would have half of the cores otherwise, so that a picture of 100 ms took 300, and nobody else
would gain by it. A training lets others go first for a limited time, so it goes on however many
they are.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST = 0.25  # seconds that a step waits for what is drawn

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


def let_others_first(longest: float = LONGEST) -> float:
    """Waits while somebody goes first, but no longer than that many seconds; how long it was."""
    with _changed:
        if not _in_front:
            return 0.0
        began = time.perf_counter()
        _changed.wait_for(lambda: not _in_front, longest)
    return time.perf_counter() - began
