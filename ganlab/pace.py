"""How much longer runs take on a server than their settings say.

Visitors who look around, saving and measuring cost time that no setting tells of: it is taken from
the runs that have just ended.
"""

from collections import deque

LAST = 8  # runs that count
LEAST, MOST = 0.5, 4.0
LEAST_EXPECTED = 1.0  # seconds


class Pace:
    """What the last runs took, and what was expected of them."""

    def __init__(self) -> None:
        self._runs: deque[tuple[float, float]] = deque(maxlen=LAST)

    def note(self, expected: float, took: float) -> None:
        """A run has come to its end. Both in seconds; `expected` as its settings say. What had next
        to nothing left to do tells nothing."""
        if expected >= LEAST_EXPECTED:
            self._runs.append((expected, took))

    @property
    def factor(self) -> float:
        """By which an expectation is to be multiplied."""
        if not self._runs:
            return 1.0
        expected, took = map(sum, zip(*self._runs, strict=True))
        return min(max(took / expected, LEAST), MOST)
