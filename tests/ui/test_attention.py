import math

import pytest

from ganlab.ui import attention
from ganlab.ui.attention import LEAST, MOST, NEAR_ENOUGH, TOGETHER, Rhythm


class Pages:
    """So many that follow a run, on a clock of their own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.now = 0.0
        monkeypatch.setattr(attention.time, "monotonic", lambda: self.now)
        self.rhythm = Rhythm()
        self.changes = 0
        self.told: list[tuple[float, float]] = []  # when it asks, and what it was told last

    def come(self, n: int) -> None:
        self.told += [(self.now + LEAST * i / n, LEAST) for i in range(n)]

    def ask(self, seconds: float) -> list[float]:
        """The times at which they ask until then."""
        times = []
        while min(at for at, _ in self.told) < seconds:
            self.told.sort()
            self.now, between = self.told.pop(0)
            times.append(self.now)
            due = self.rhythm.after(between)
            self.changes += due != between
            self.told.append((self.now + due, due))
        return times


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Pages:
    return Pages(monkeypatch)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_few_pages_ask_once_a_second(pages: Pages, n: int):
    pages.come(n)
    assert len(pages.ask(60)) == n * 60


@pytest.mark.parametrize("n", [12, 20, 30])
def test_many_pages_ask_so_often_together(pages: Pages, n: int):
    pages.come(n)
    pages.ask(60)
    rate = len(pages.ask(120)) / 60
    assert TOGETHER / NEAR_ENOUGH <= rate <= TOGETHER * NEAR_ENOUGH


def test_a_page_waits_no_longer_than_told_however_many_there_are(pages: Pages):
    pages.come(500)
    pages.ask(60)
    assert all(MOST / NEAR_ENOUGH <= between <= MOST for _, between in pages.told)


def test_those_who_stay_ask_more_often_again(pages: Pages):
    pages.come(30)
    pages.ask(60)
    assert min(between for _, between in pages.told) > 2 * LEAST
    pages.told = pages.told[:3]
    pages.ask(120)
    assert all(LEAST <= between <= LEAST * NEAR_ENOUGH for _, between in pages.told)


def test_intervals_hardly_ever_change(pages: Pages):
    pages.come(24)
    pages.ask(60)
    pages.changes = 0
    asked = pages.ask(120)
    assert pages.changes < len(asked) / 10


@pytest.mark.parametrize("asked", [None, "1", [], math.nan, math.inf, -1, 0, 1e9, True, {}])
def test_what_a_page_makes_up_counts_as_the_least(pages: Pages, asked: object):
    assert [pages.rhythm.after(asked) for _ in range(3)] == [LEAST] * 3
