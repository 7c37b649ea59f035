"""The queue of projections: one at a time, bounded, cancelled, forgotten."""

import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch

from ganlab import projections
from ganlab.caps import HOME, CapReached, Caps
from ganlab.projection import Found, Step
from ganlab.projections import Projections, UnknownProjection
from ganlab.turns import NOBODY, Visitor

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


NAMES = map(str, count())


def submit(queue: Projections, visitor: Visitor | None = None) -> str:
    """For a visitor, by default a new one each time."""
    visitor = Visitor(next(NAMES)) if visitor is None else visitor
    return queue.submit("small", None, None, PICTURE, None, visitor)


def states(queue: Projections, searches: Iterable[str]) -> list[str]:
    return [queue.view(each).state for each in searches]


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


@pytest.mark.parametrize("who", [Visitor("a" * 32, "1.2.3.4"), Visitor("a" * 32), NOBODY])
def test_a_new_one_takes_the_place_of_the_one_that_its_visitor_waits_for(search, who):
    queue = Projections(caps=Caps.of("public", searches=2))
    first = submit(queue)
    assert search.began.wait(5)
    mine = [submit(queue, who)]
    other = submit(queue)
    mine += [submit(queue, who), submit(queue, who)]  # though all places are taken
    assert states(queue, mine) == ["cancelled", "cancelled", "waiting"]
    assert [queue.view(each).place for each in (other, mine[2])] == [1, 2]
    with pytest.raises(CapReached, match="2 pictures wait to be found already"):
        submit(queue)
    assert states(queue, [first, other, mine[2]]) == ["running", "waiting", "waiting"]
    search.may_end.set()
    assert queue.wait(mine[2], 5).state == "finished"


def test_one_that_is_under_way_ends_for_the_next_of_its_visitor(search):
    queue, who = Projections(), Visitor("a" * 32)
    first = submit(queue, who)
    assert search.began.wait(5)
    second = submit(queue, who)
    view = queue.wait(first, 5)
    assert view.state == "cancelled" and view.best is FOUND
    search.may_end.set()
    assert queue.wait(second, 5).state == "finished"


def test_who_is_refused_keeps_what_they_wait_for(search):
    queue, who = Projections(caps=Caps(searches=1)), Visitor("a" * 32)
    first = submit(queue, who)
    assert search.began.wait(5)
    submit(queue)
    with pytest.raises(CapReached):
        submit(queue, who)
    assert states(queue, [first]) == ["running"]


@pytest.mark.parametrize(("places", "share"), [(4, 2), (5, 2), (2, 1), (1, 1)])
def test_a_network_has_half_of_the_places_where_networks_are_known(search, places, share):
    queue = Projections(caps=Caps.of("public", searches=places))
    submit(queue)
    assert search.began.wait(5)
    near = [submit(queue, Visitor(next(NAMES), "1.2.3.4")) for _ in range(share)]
    refused = "pictures from your network wait" if places > share else "pictures wait to be found"
    with pytest.raises(CapReached, match=f"{share} {refused}"):
        submit(queue, Visitor(next(NAMES), "1.2.3.4"))
    far = [submit(queue) for _ in range(places - share)]  # of networks that nobody knows
    assert states(queue, near + far) == ["waiting"] * places


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
