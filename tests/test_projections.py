"""The queue of projections: one at a time, bounded, cancelled, forgotten."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from ganlab import projections
from ganlab.caps import HOME, CapReached, Caps
from ganlab.projection import Found, Step
from ganlab.projections import Projections, UnknownProjection

PICTURE = np.zeros((32, 32, 3), np.uint8)
FOUND = Found(torch.zeros(1, 8), "a", PICTURE, 0.5, 0.5)


class Search:
    """In place of `project`: goes on until it may end, so that a test can look meanwhile."""

    def __init__(self) -> None:
        self.began, self.may_end, self.fails = threading.Event(), threading.Event(), False

    def __call__(self, *_: Any, on_step: Callable, should_stop: Callable, **__: Any) -> Found:
        on_step(Step(0.5, FOUND))
        self.began.set()
        while not self.may_end.wait(0.005) and not should_stop():
            pass
        if self.fails:
            raise RuntimeError("broken")
        on_step(Step(1.0, FOUND))
        return FOUND


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> Iterator[Search]:
    search = Search()
    monkeypatch.setattr(projections, "project", search)
    yield search
    search.may_end.set()


def submit(queue: Projections) -> str:
    return queue.submit("small", None, None, PICTURE, None)


def test_one_runs_the_next_wait_in_line_and_all_come_to_an_end(search):
    queue = Projections()
    first, second, third = (submit(queue) for _ in range(3))
    assert search.began.wait(5)
    views = [queue.view(each) for each in (first, second, third)]
    assert [view.state for view in views] == ["running", "waiting", "waiting"]
    assert [view.place for view in views] == [0, 1, 2]
    assert views[0].best is FOUND and views[0].curve == (0.5,)
    search.may_end.set()
    view = queue.wait(third, 5)
    assert view.state == "finished" and view.done == 1 and view.curve == (0.5, 0.5)
    assert queue.view(first).state == queue.view(second).state == "finished"
    assert queue.wait(submit(queue), 5).state == "finished"  # the line was empty in between


def test_a_full_line_is_refused_and_a_cancelled_place_is_free_again(search):
    queue = Projections(caps=Caps.of("public", searches=3))
    submit(queue)
    waiting = [submit(queue) for _ in range(3)]
    with pytest.raises(CapReached, match=r"3 pictures wait .* \(GANLAB_MAX_SEARCHES\)") as told:
        submit(queue)
    assert str(told.value).endswith(HOME)
    queue.cancel(waiting[0])
    assert queue.view(waiting[0]).state == "cancelled"
    assert [queue.view(each).place for each in waiting[1:]] == [1, 2]
    submit(queue)


def test_a_cancelled_one_stops_and_keeps_what_it_found(search):
    queue = Projections()
    first, second = submit(queue), submit(queue)
    assert search.began.wait(5)
    queue.cancel(first)
    view = queue.wait(first, 5)
    assert view.state == "cancelled" and view.best is FOUND
    search.may_end.set()
    assert queue.wait(second, 5).state == "finished"


def test_one_that_fails_does_not_hold_up_the_next(search, caplog):
    queue = Projections()
    search.fails = True
    first = submit(queue)
    assert search.began.wait(5)
    search.may_end.set()
    assert queue.wait(first, 5).state == "failed" and "broken" in caplog.text
    search.fails = False
    assert queue.wait(submit(queue), 5).state == "finished"


def test_ended_ones_are_forgotten_and_ids_cannot_be_guessed(search, monkeypatch):
    queue = Projections()
    search.may_end.set()
    monkeypatch.setattr(projections, "KEPT", 3)
    ids = [submit(queue) for _ in range(1)]
    for _ in range(5):
        queue.wait(ids[-1], 5)
        ids.append(submit(queue))
    queue.wait(ids[-1], 5)
    with pytest.raises(UnknownProjection, match="begin again"):
        queue.view(ids[0])
    assert queue.view(ids[-1]).state == "finished"
    assert len(set(ids)) == len(ids) and all(len(each) >= 16 for each in ids)
    monkeypatch.setattr(projections, "KEPT_SECONDS", -1)
    submit(queue)
    with pytest.raises(UnknownProjection):
        queue.view(ids[-1])
    for anything in (None, 5, [], "", "../x"):
        with pytest.raises(UnknownProjection):
            queue.view(anything)


def test_while_a_training_is_under_way_it_steps_back(search):
    queue = Projections(lambda: True)
    first = submit(queue)
    assert search.began.wait(5)
    assert queue.view(first).steps_back
    search.may_end.set()
    assert queue.wait(first, 5).state == "finished"


def test_one_that_nobody_looks_at_any_more_makes_room_for_the_next(search, monkeypatch):
    queue = Projections()
    first, second = submit(queue), submit(queue)
    assert search.began.wait(5)
    monkeypatch.setattr(projections, "UNASKED_SECONDS", 0.05)
    with queue._changed:
        queue._changed.wait_for(lambda: not queue._known[second].view.is_under_way, 5)
    assert queue.view(first).state == "cancelled" and queue.view(first).best is FOUND
