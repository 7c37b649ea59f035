"""Blend and Browse: what they draw for what a page sends, and what they refuse."""

import base64
import io
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from sources import own_run

from ganlab import checkpoints, sampling
from ganlab.opened import Opened
from ganlab.ui import blend, browse
from ganlab.ui.picker import open_picked
from ganlab.ui.sides import Sides
from ganlab.ui.viewer import LAST_SEED, as_seed, moved, offered


@pytest.fixture
def two(jobs) -> Opened:
    return open_picked(jobs, "small", {})


@pytest.fixture
def one(jobs) -> Opened:
    return open_picked(jobs, "grey", {})


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


@pytest.mark.parametrize("seed", [None, "", "x", -1, LAST_SEED + 1, math.nan, math.inf, True, []])
def test_what_is_no_seed_is_refused_in_words(two, seed):
    for look in (lambda: browse.look(two, "a", seed, 1), lambda: blend.look(two, seed, [1, 1])):
        with pytest.raises(ValueError, match="The seed is a whole number from 0 to"):
            look()
    assert as_seed(LAST_SEED) == LAST_SEED and as_seed(0) == 0


@pytest.mark.parametrize("truncation", [None, "1", 0, 1.5, math.nan, -1])
def test_what_is_no_truncation_is_refused_in_words(two, truncation):
    with pytest.raises(ValueError, match="truncation is a number from"):
        browse.look(two, "a", 1, truncation)


def test_a_blend_says_what_is_in_it(two):
    figure = blend.look(two, 2, [30, 10] + [None] * 8)  # hidden sliders hold nothing
    assert "<figcaption>a 75 %, b 25 % · Seed 2</figcaption>" in figure
    assert "b 0 %" not in blend.look(two, 2, [30, 0] + [0] * 8)


@pytest.mark.parametrize("shares", [[0, 0], [None, 1], ["x", 1], [-1, 1], [math.nan, 1], [1]])
def test_shares_that_cannot_be_weights_are_refused_in_words(two, shares):
    if shares == [1]:  # what is not sent is nothing
        assert "a 100 %" in blend.look(two, 1, shares)
        return
    with pytest.raises(ValueError, match="share"):
        blend.look(two, 1, shares)


def test_one_head_is_drawn_as_it_is_whatever_the_sliders_say(one):
    assert "ink 100 %" in blend.look(one, 1, [0] * 10)
    assert not any(slider.visible for slider in blend.show_shares(one, [0.0]))


def test_at_first_two_parts_are_mixed_and_each_has_a_slider(two):
    values = blend.first_shares(two)
    assert values == [50, 50]
    sliders = blend.show_shares(two, values)
    assert len(sliders) == blend.MOST_PARTS
    assert [(s.label, s.value) for s in sliders if s.visible] == [("a", 50), ("b", 50)]


def test_an_even_mix_is_of_what_is_in_it_or_of_everything(two):
    assert blend.even_shares(two, [10, 90]) == [50, 50]
    assert blend.even_shares(two, [10, 0]) == [50, 50]
    assert blend.even_shares(two, [None, None]) == [50, 50]


def test_a_random_mix_can_always_be_drawn(two, one):
    for _ in range(20):
        shares = blend.random_shares(two)
        assert sum(shares) == 100 and min(shares) >= 1
    assert blend.random_shares(one)[0] > 0


def test_what_was_picked_stays_picked_while_it_is_there(jobs, monkeypatch, tmp_path):
    classic, token = own_run(jobs, preset="dcgan")
    mixes, looks = SimpleNamespace(with_heads=True), SimpleNamespace(with_heads=False)
    store = {"tokens": {classic: token}}
    assert offered(jobs, mixes, store, "small").value == "small"
    assert offered(jobs, mixes, store, "gone").value == "grey"
    assert offered(jobs, mixes, store, classic).value == "grey"  # without heads to mix
    assert offered(jobs, looks, store, classic).value == classic
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path)
    assert offered(jobs, looks, {}, "small").value is None


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


def test_a_run_of_somebody_else_is_not_drawn(jobs):
    run_id, _ = own_run(jobs)
    with pytest.raises(ValueError, match="Choose a generator"):
        open_picked(jobs, run_id, {})
