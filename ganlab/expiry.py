"""How long a run is kept that nobody changes any more, where runs are not kept for good."""

import logging
import time

from ganlab.clock import GRACE_SECONDS, JUMP_SECONDS
from ganlab.runs import Run

log = logging.getLogger(__name__)

CHANGED = ("status.json", "run.json", "directions.json")  # with what an owner does to a run


class Expiry:
    """Tells when a run's time is over.

    Its age is that of its files, by the clock on the wall, which may jump: then nothing is over
    before a time of grace, so that pages can announce it; nor after a start.
    """

    def __init__(self, hours: int | None):
        """Args: hours: None = runs are kept for good."""
        self.hours = hours
        self._begin()

    def _begin(self) -> None:
        self._wall, self._steady = time.time(), time.monotonic()

    def until(self, run: Run) -> float | None:
        """When an ended run may be removed, in seconds since 1970; None = never."""
        if self.hours is None:
            return None
        if abs(time.time() - self._wall - (time.monotonic() - self._steady)) > JUMP_SECONDS:
            log.warning("the clock has jumped: no run is removed for %.0f s", GRACE_SECONDS)
            self._begin()
        files = [run.path / name for name in CHANGED]
        times = [file.stat().st_mtime for file in files if file.exists()]
        changed = max(times, default=time.time())
        return max(changed + self.hours * 3600, self._wall + GRACE_SECONDS)
