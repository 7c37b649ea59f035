"""Blend and Browse: what they draw for what a page sends, and what they refuse."""

import json
from types import SimpleNamespace

import pytest
from sources import own_run

from ganlab import checkpoints
from ganlab.ui.sides import Sides
from ganlab.ui.viewer import LAST_SEED, moved, offered, where_is


def test_what_was_picked_stays_picked_while_it_is_there(jobs, monkeypatch, tmp_path):
    classic, token = own_run(jobs, preset="dcgan")
    mixes, looks = SimpleNamespace(with_heads=True), SimpleNamespace(with_heads=False)
    store = {"tokens": {classic: token}}

    def picked(viewer, name, store=store, query: str = "") -> str | None:
        where = json.dumps({"query": query, "width": 1440})
        dropdown, same = offered(jobs, viewer, store, name, where)
        assert same == where
        return dropdown.value

    assert picked(mixes, "small") == "small"
    assert picked(mixes, "gone") == "grey"
    assert picked(mixes, classic) == "grey"  # without heads to mix
    assert picked(looks, classic) == classic
    assert picked(looks, None, {}, f"?tab=browse&model={classic}") == classic  # by its link
    assert picked(looks, None, {}, "?model=small&model=grey") == "small"
    assert picked(looks, None, {}, "?model=../../etc") == "grey"
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path)
    assert picked(looks, "small", {}) is None


@pytest.mark.parametrize("text", [None, "", "x", "[]", "7", 7, {}, '{"query": 1}', "[" * 190_000])
def test_a_page_may_say_nothing_of_where_it_is(jobs, text):
    assert isinstance(where_is(text), dict)
    dropdown, _ = offered(jobs, SimpleNamespace(with_heads=True), {}, None, text)
    assert dropdown.value == "grey"


def test_the_seed_before_and_after():
    assert (moved(5, 1), moved(5, -1), moved(0, -1), moved(LAST_SEED, 1)) == (6, 4, 0, LAST_SEED)
    assert moved(None, 1) == moved("x", -1) == 1


def test_only_one_side_shows():
    sides = Sides(["runs", "run"], {"blend": None, "browse": None})
    for name, shown in (
        ("", [True, True, False, False]),
        ("blend", [False, False, True, False]),
        ("browse", [False, False, False, True]),
    ):
        assert sides.shown(name) == shown
