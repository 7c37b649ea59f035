"""How soon a page is told to ask for news again."""

import pytest

from faults.acts import UNDER_WAY, Visitor, wait_for
from ganlab.ui.attention import LEAST, MOST, TOGETHER


@pytest.fixture
def timer(visitor: Visitor) -> int:
    """The component that asks."""
    return next(
        number
        for number, each in visitor.components.items()
        if each["type"] == "timer" and each["props"]["value"] == LEAST
    )


def test_many_pages_ask_less_often(server, visitor, timer):
    run_id = visitor.start()
    told = []
    for _ in range(int(40 * TOGETHER)):
        visitor.tick(run_id)
        told.append(visitor.values[timer])
    assert told[0] == LEAST and any(LEAST < interval < MOST for interval in told)
    assert told == sorted(told)
    assert server.status_of(run_id)["state"] == "running"


def test_a_page_whose_run_is_not_under_way_asks_seldom(server, visitor, timer):
    assert visitor.tick("")[timer]["value"] == MOST

    opens = next(
        each
        for each in visitor.endpoints.values()
        if len(each["inputs"]) == 1 and {timer, visitor.ids["amount"]} <= {*each["outputs"]}
    )
    place = opens["outputs"].index(timer)
    run_id = visitor.start()
    assert visitor.call(opens, [visitor.store])[place]["value"] == LEAST

    state = lambda: server.status_of(run_id)["state"]  # noqa: E731
    visitor.act("stop", run_id)
    wait_for(lambda: state() not in UNDER_WAY, "it stops")
    visitor.values[timer] = LEAST
    wait_for(lambda: visitor.tick(run_id)[timer].get("value") == MOST, "it is told so")
    visitor.act("resume", run_id)
    assert visitor.tick(run_id)[timer]["value"] == LEAST


def test_an_answer_that_is_lost_is_given_again(server, visitor):
    run_id = visitor.start(2)
    visitor.tick(run_id)
    shown = dict(visitor.values)
    wait_for(lambda: server.status_of(run_id)["state"] == "finished", "it ends")
    for _ in range(2):
        visitor.values = dict(shown)
        news = visitor.tick(run_id)
        assert (news[visitor.ids["stop"]]["visible"], news[visitor.ids["resume"]]["visible"]) == (
            False, True,
        )  # fmt: skip
    assert "visible" not in visitor.tick(run_id)[visitor.ids["stop"]]
