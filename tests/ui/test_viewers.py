"""Blend and Browse: what they draw for what a page sends, and what they refuse."""

import base64
import io
import json
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from sources import own_run

from ganlab import checkpoints, sampling
from ganlab.opened import Opened
from ganlab.ui import browse
from ganlab.ui.picker import open_picked
from ganlab.ui.sides import Sides
from ganlab.ui.viewer import LAST_SEED, as_seed, moved, offered, where_is


@pytest.fixture
def two(jobs) -> Opened:
    return open_picked(jobs, "small")


@pytest.fixture
def one(jobs) -> Opened:
    return open_picked(jobs, "grey")


def pixels_of(figure: str) -> np.ndarray:
    jpeg = base64.b64decode(re.search(r"base64,([^\"]+)", figure)[1])
    with Image.open(io.BytesIO(jpeg)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_all_heads_have_a_row_each_with_its_name(two):
    figure = browse.look(two, browse.ALL, 3, 1)
    assert "<span>a</span><span>b</span>" in figure
    assert "Seed 3 · Each column is one latent vector" in figure
    assert pixels_of(figure).shape == (2 * 32, 8 * 32, 3)


def test_one_head_fills_the_grid_with_the_seeds_latents(two):
    figure = browse.look(two, "b", 3, 1)
    assert pixels_of(figure).shape == (4 * 32, 8 * 32, 3) and "gl-labels" not in figure
    first = pixels_of(browse.look(two, browse.ALL, 3, 1))[32:]  # the same seed's first latents
    assert abs(pixels_of(figure)[:32] - first).mean() < 8  # but for the JPEG


def test_the_same_seed_gives_the_same_pictures_and_another_gives_others(two):
    assert browse.look(two, "a", 5, 1) == browse.look(two, "a", 5.0, 1)
    assert browse.look(two, "a", 5, 1) != browse.look(two, "a", 6, 1)


def test_truncation_shrinks_the_latents(one, monkeypatch):
    seen = []
    draw = Opened.draw
    monkeypatch.setattr(Opened, "draw", lambda self, z, ids: seen.append(z) or draw(self, z, ids))
    browse.look(one, "ink", 4, 0.5)
    assert (seen[0] == 0.5 * sampling.latents(32, 8, 4)).all()


def test_heads_to_choose_from(two, one):
    assert browse.head_choices(two) == [("All heads, a row each", ""), ("a", "a"), ("b", "b")]
    assert browse.head_choices(one) == [("ink", "ink")]


@pytest.mark.parametrize(
    "seed", [None, "", "x", -1, 1.5, LAST_SEED + 1, math.nan, math.inf, True, []]
)
def test_what_is_no_seed_is_refused_in_words(two, seed):
    with pytest.raises(ValueError, match="The seed is a whole number from 0 to"):
        browse.look(two, "a", seed, 1)
    assert as_seed(LAST_SEED) == LAST_SEED and as_seed(0) == 0


@pytest.mark.parametrize("truncation", [None, "1", 0, 1.5, math.nan, -1])
def test_what_is_no_truncation_is_refused_in_words(two, truncation):
    with pytest.raises(ValueError, match="truncation is a number from"):
        browse.look(two, "a", 1, truncation)


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


@pytest.mark.parametrize("text", [None, "", "x", "[]", "7", 7, {}, '{"query": 1}'])
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
        assert [column.visible for column in sides.show(name)] == shown
