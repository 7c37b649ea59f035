"""What a training reports while it goes on. All of it is in the run's files by then."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TakenUp:
    """The run goes on from here: what it had past this step is gone. A new one begins at 0."""

    step: int


@dataclass(frozen=True)
class Logged:
    """A line of the curves. `progress` is the share of the budget that is used up."""

    step: int
    seconds: float
    progress: float
    metrics: dict[str, Any]


@dataclass(frozen=True)
class GridSaved:
    """A new grid of samples, as JPEG."""

    step: int
    jpeg: bytes


@dataclass(frozen=True)
class SnapshotSaved:
    """From here the run can resume."""

    step: int
    seconds: float


@dataclass(frozen=True)
class Looked:
    """The quality of the snapshot that was just saved."""

    step: int
    seconds: float
    quality: dict[str, Any]

    @property
    def line(self) -> dict[str, Any]:
        """As a run keeps it."""
        return {"step": self.step, "seconds": self.seconds, **self.quality}


@dataclass(frozen=True)
class Agreed:
    """How far the tasks agree on G's trunk, on the average so far."""

    step: int
    seconds: float
    moments: int
    seen: list[list[int]]
    cosines: list[list[float]]


Event = TakenUp | Logged | GridSaved | SnapshotSaved | Looked | Agreed
