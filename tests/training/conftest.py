"""A clock for trainings, and looks at the quality that are due when a test says so."""

from types import SimpleNamespace

import pytest

from ganlab import quality, training
from ganlab.quality import Gauge
from ganlab.step import train_step


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """The loop's clock, which goes on by one second in each step and stands still elsewhere."""
    clock = SimpleNamespace(now=1000.0)

    def slow_step(*given, **options) -> dict[str, float]:
        clock.now += 1
        return train_step(*given, **options)

    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    monkeypatch.setattr(training, "train_step", slow_step)
    return clock


@pytest.fixture
def looks_at(clock, monkeypatch):
    """Makes looks due at these seconds of a run whose steps take one each, and cheaper."""

    def plan_looks(*seconds: float) -> None:
        monkeypatch.setattr(Gauge, "is_due", lambda self, now: now in seconds)

    monkeypatch.setattr(quality, "SAMPLES", 16)
    return plan_looks
