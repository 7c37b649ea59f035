"""What time it is, for ages of files: the clock on the wall, but not where it has just jumped.

By a clock that jumps a day ahead, all that is kept for an hour or a day would be too old at once.
"""

import logging
import threading
import time

log = logging.getLogger(__name__)

JUMP_SECONDS = 60.0  # between the two clocks
GRACE_SECONDS = 3600.0  # after which it was no mistake


class Clock:
    """Follows the clock on the wall; where that jumps ahead, goes on from before it for a while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._follow(time.time(), time.monotonic())

    def _follow(self, wall: float, steady: float) -> None:
        self._wall, self._steady = wall, steady
        self._jumped_at: float | None = None  # by the steady one

    def now(self) -> float:
        """Seconds since 1970."""
        with self._lock:
            wall, steady = time.time(), time.monotonic()
            expected = self._wall + steady - self._steady
            if abs(wall - expected) <= JUMP_SECONDS:
                self._follow(wall, steady)  # it may drift
                return wall
            if self._jumped_at is None:
                log.warning("the clock has jumped by %.0f s", wall - expected)
                self._jumped_at = steady
            if steady - self._jumped_at < GRACE_SECONDS:
                return min(expected, wall)  # what is new has the wall's time, and is not old
            self._follow(wall, steady)
            return wall


_clock = Clock()
now = _clock.now
