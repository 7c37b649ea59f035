"""A training is saved as often as it may be lost, whatever it is doing."""

import time

import pytest

from ganlab import quality, training
from ganlab.training import Looked, train

BETWEEN = 0.1  # seconds


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(training, "SECONDS_BETWEEN_SNAPSHOTS", BETWEEN)


def test_a_look_that_takes_long_is_no_time_that_may_be_lost(new_run, dataset, monkeypatch):
    monkeypatch.setattr(quality, "FIRST_LOOK_SECONDS", 0.0)
    run, fast, saved, looked = new_run(steps=30), quality.draw, [], []

    def slow(*what, **how):
        time.sleep(BETWEEN)
        pixels = fast(*what, **how)
        saved.append(run.snapshot_steps()[-1])
        return pixels

    monkeypatch.setattr(quality, "draw", slow)
    train(run, dataset, on_event=lambda event: isinstance(event, Looked) and looked.append(event))
    assert looked
    assert saved == [event.step for event in looked]


def test_waiting_for_others_is_no_time_that_may_be_lost(new_run, dataset, monkeypatch):
    """However little of it counts as training."""

    def others_first(courtesy) -> float:
        time.sleep(BETWEEN)
        return BETWEEN

    monkeypatch.setattr(training.Courtesy, "let_others_first", others_first)
    run, began = new_run(steps=5), time.monotonic()
    train(run, dataset)
    assert run.snapshot_steps() == [1, 2, 3, 4, 5]
    assert run.status.seconds <= time.monotonic() - began - 5 * BETWEEN
