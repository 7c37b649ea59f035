"""Ages by a clock that may jump."""

import time

import pytest

from ganlab.clock import GRACE_SECONDS, Clock


@pytest.fixture
def clocks(monkeypatch) -> dict[str, float]:
    """Both that there are: on the wall, and the steady one."""
    clocks = {"wall": 1_000_000.0, "steady": 50.0}
    monkeypatch.setattr(time, "time", lambda: clocks["wall"])
    monkeypatch.setattr(time, "monotonic", lambda: clocks["steady"])
    return clocks


def passes(clocks: dict[str, float], seconds: float) -> None:
    clocks["wall"] += seconds
    clocks["steady"] += seconds


def test_it_is_what_the_wall_says_which_may_drift(clocks):
    clock = Clock()
    for _ in range(100):
        passes(clocks, 100.0)
        clocks["wall"] += 5.0
        assert clock.now() == clocks["wall"]


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0])
def test_a_jump_counts_when_it_has_lasted(clocks, jump, caplog):
    clock, began = Clock(), clocks["wall"]
    clocks["wall"] += jump
    assert clock.now() == min(began, clocks["wall"])
    passes(clocks, GRACE_SECONDS - 1)
    assert clock.now() == min(began + GRACE_SECONDS - 1, clocks["wall"])
    passes(clocks, 1)
    assert clock.now() == clocks["wall"]
    assert [record.message for record in caplog.records] == [
        f"the clock has jumped by {jump:.0f} s"
    ]


def test_a_jump_that_is_taken_back_leaves_nothing(clocks):
    clock = Clock()
    clocks["wall"] += 5_000.0
    clock.now()
    passes(clocks, 100.0)
    clocks["wall"] -= 5_000.0
    assert clock.now() == clocks["wall"]
    clocks["wall"] += 5_000.0
    assert clock.now() == clocks["wall"] - 5_000.0
