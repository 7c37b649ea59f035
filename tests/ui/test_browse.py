"""Browse: the samples of a seed, one of them closely, and what lies around it."""

import base64
import io
import json
import math
import re
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from sources import own_run, small_source

from ganlab import sampling
from ganlab.opened import Opened
from ganlab.ui import browse
from ganlab.ui.browse_favourites import wire_favourites
from ganlab.ui.browse_samples import draw_samples, neighbours, way
from ganlab.ui.layout import build_page
from ganlab.ui.picker import open_picked
from ganlab.ui.sample_detail import show_near, show_sample
from ganlab.ui.subject import (
    ALL,
    LARGEST,
    MOST_ROWS,
    from_text,
    head_choices,
    subject,
    to_text,
)
from ganlab.ui.viewer import LAST_SEED, as_seed


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
    figure = draw_samples(two, ALL, 3, 1, 36)
    assert "<span>a</span><span>b</span>" in figure
    assert "Seed 3 · Each column is one latent vector" in figure
    assert pixels_of(figure).shape == (2 * 32, 8 * 32, 3)


def test_of_very_many_heads_the_first_have_a_row_each(two):
    tasks = tuple(f"t{i}" for i in range(MOST_ROWS + 1))
    many = small_source(tasks)
    opened = replace(two, config=many.config, generator=many.build(), _views=OrderedDict())
    assert head_choices(opened)[0] == (f"The first {MOST_ROWS} heads, a row each", ALL)
    figure = draw_samples(opened, ALL, 3, 1, 36)
    assert f"<span>{tasks[-2]}</span>" in figure and tasks[-1] not in figure
    assert pixels_of(draw_samples(opened, tasks[-1], 3, 1, 36)).shape == (6 * 32, 6 * 32, 3)


def test_one_head_fills_the_grid_with_the_seeds_latents(two):
    figure = draw_samples(two, "b", 3, 1, 36)
    assert pixels_of(figure).shape == (6 * 32, 6 * 32, 3) and "gl-labels" not in figure
    first = pixels_of(draw_samples(two, ALL, 3, 1, 36))[32:]  # the same seed's first latents
    assert abs(pixels_of(figure)[:32] - first[:, : 6 * 32]).mean() < 8  # but for the JPEG


def test_the_same_seed_gives_the_same_pictures_and_another_gives_others(two):
    assert draw_samples(two, "a", 5, 1, 36) == draw_samples(two, "a", 5.0, 1, 36)
    assert draw_samples(two, "a", 5, 1, 36) != draw_samples(two, "a", 6, 1, 36)


def test_the_same_samples_are_drawn_once(two, monkeypatch):
    drawn, draw_now = [], Opened.draw_now
    monkeypatch.setattr(
        Opened, "draw_now", lambda self, *of: drawn.append(1) or draw_now(self, *of)
    )
    asked = [("a", 41, 1, 36), ("b", 41, 1, 36), ("a", 42, 1, 36), ("a", 41, 0.5, 36)]
    asked.append(("a", 41, 1, 16))
    seen = {draw_samples(two, *each) for each in asked}
    assert len(seen) == len(drawn) == len(asked)
    assert {draw_samples(two, *each) for each in asked} == seen
    assert len(drawn) == len(asked)


def test_truncation_shrinks_the_latents(one, monkeypatch):
    seen = []
    draw = Opened.draw
    monkeypatch.setattr(Opened, "draw", lambda self, z, ids: seen.append(z) or draw(self, z, ids))
    draw_samples(one, "ink", 4, 0.5, 36)
    assert (seen[0] == 0.5 * sampling.latents(36, 8, 4)).all()


def test_heads_to_choose_from(two, one):
    assert head_choices(two) == [("All heads, a row each", ""), ("a", "a"), ("b", "b")]
    assert head_choices(one) == [("ink", "ink")]


@pytest.mark.parametrize(
    "seed", [None, "", "x", -1, 1.5, LAST_SEED + 1, math.nan, math.inf, True, []]
)
def test_what_is_no_seed_is_refused_in_words(two, seed):
    with pytest.raises(ValueError, match="The seed is a whole number from 0 to"):
        draw_samples(two, "a", seed, 1, 36)
    assert as_seed(LAST_SEED) == LAST_SEED and as_seed(0) == 0


@pytest.mark.parametrize("truncation", [None, "1", 0, 1.5, math.nan, -1])
def test_what_is_no_truncation_is_refused_in_words(two, truncation):
    with pytest.raises(ValueError, match="truncation is a number from"):
        draw_samples(two, "a", 1, truncation, 36)


@pytest.mark.parametrize("size", [None, 0, 35, "36", 36.0, 10**9, True])
def test_only_sizes_of_the_list_are_drawn(two, size):
    with pytest.raises(ValueError, match="Choose how many samples there are: 16, 36, 64"):
        draw_samples(two, "a", 1, 1, size)


def latents_of(figure: str) -> torch.Tensor:
    """What the cells of a figure bring along."""
    numbers = base64.b64decode(re.search(r'data-z="([^"]+)"', figure)[1])
    n = figure.count("data-at=")
    return torch.from_numpy(np.frombuffer(numbers, "<f4").copy()).view(n, -1)


def test_each_cell_brings_its_latent_along(two):
    figure = draw_samples(two, "b", 3, 0.5, 16)
    assert torch.equal(latents_of(figure), 0.5 * sampling.latents(16, 8, 3))
    assert 'aria-label="Sample 16 of b"' in figure


def test_without_a_pick_the_subject_is_the_first_sample_of_the_seed(jobs):
    first = subject(jobs, "small", "", 3, 0.5)
    assert (first.head, first.is_picked) == ("a", False)
    assert torch.equal(first.z, 0.5 * sampling.latents(1, 8, 3))


def test_a_pick_keeps_its_head_and_latent_whatever_the_seed(jobs):
    z = sampling.latents(1, 8, 9)
    picked = subject(jobs, "small", "a", 3, 0.5, to_text(z, "b"))
    assert (picked.head, picked.is_picked) == ("b", True) and torch.equal(picked.z, z)


def text(values, head: object = "a") -> str:
    numbers = base64.b64encode(np.asarray(values, "<f4").tobytes()).decode()
    return json.dumps({"head": head, "z": numbers})


@pytest.mark.parametrize(
    "latent",
    [
        None, 7, [], "x", "{}", "[" * 10_000, '{"head": "a", "z": "?"}', text([]), text([1.0] * 7),
        text([math.nan] * 8), text([math.inf] * 8), text([LARGEST + 1] * 8), "x" * 60_000,
        '{"head": "a", "z": 7}', '{"z": "AAAA"}',
    ],
)  # fmt: skip
def test_what_is_no_latent_of_this_generator_is_refused(latent):
    with pytest.raises(ValueError, match="latent vector"):
        from_text(latent, 8)


def test_a_sample_is_shown_large_with_its_numbers_and_in_every_head(jobs):
    sample = subject(jobs, "small", "b", 3, 1)
    large, family = show_sample(sample)
    assert f"{sample.z[0, 0]:.3f}, {sample.z[0, 1]:.3f}" in large and "<b>b</b>" in large
    assert torch.equal(latents_of(family), sample.z.repeat(2, 1))
    assert show_sample(subject(jobs, "grey", "", 3, 1))[1] == ""


def test_neighbours_are_near_and_others_each_time(jobs):
    sample = subject(jobs, "small", "a", 3, 1)
    near, far = (latents_of(neighbours(sample, spread, 0)) for spread in (0.2, 0.7))
    assert ((near - sample.z).norm(dim=1) < (far - sample.z).norm(dim=1)).all()
    assert neighbours(sample, 0.2, 0) == neighbours(sample, 0.2, 0) != neighbours(sample, 0.2, 1)
    for spread, number in ((0.3, 0), ("x", 0), (0.2, -1), (0.2, "x")):
        with pytest.raises(ValueError):
            neighbours(sample, spread, number)


@pytest.mark.parametrize("head", ["a", "b"])
def test_a_way_begins_here_and_ends_there(jobs, head):
    there = subject(jobs, "small", "a", 3, 1)
    here = subject(jobs, "small", head, 4, 1)
    figure = way(there, to_text(here.z, head))
    latents = latents_of(figure)
    assert torch.allclose(latents[[0, -1]], torch.cat([here.z, there.z]), atol=1e-5)
    cells = pixels_of(figure)
    for place, end in ((0, here), (-1, there)):
        alone = there.opened.draw(end.z, end.ids)[0].astype(int)
        assert abs(np.split(cells, 8, axis=1)[place] - alone).mean() < 8  # but for the JPEG


def test_a_way_from_another_generators_sample_is_refused(jobs):
    there = subject(jobs, "small", "a", 3, 1)
    with pytest.raises(ValueError, match="another generator"):
        way(there, to_text(there.z, "ink"))


def test_training_pictures_that_are_not_here_are_told(jobs):
    with pytest.raises(ValueError, match="Nothing is known of the pictures"):
        show_near(jobs, "small", subject(jobs, "small", "a", 3, 1))
    run_id, _ = own_run(jobs, data="somewhere")
    with pytest.raises(ValueError, match="not on this machine"):
        show_near(jobs, run_id, subject(jobs, run_id, "a", 3, 1))


def test_names_of_heads_stay_text(jobs, tmp_path):
    """As a folder may be called anything."""
    from ganlab.ui.pickable import pickable

    odd = "<i>&\"'"
    figure = pickable(
        np.zeros((1, 8, 8, 3), np.uint8), torch.zeros(1, 8), [odd], 1, alt=odd, caption=odd
    )
    assert "<i>&" not in figure
    assert json.loads(
        re.search(r'data-heads="([^"]+)"', figure)[1]
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", '"')
        .replace("&#x27;", "'")
        .replace("&amp;", "&")
    ) == [odd]


@pytest.mark.parametrize(
    "query, found",
    [
        (browse.to_query("small", "a & b", 7), ("small", "a & b", 7)),
        ("?tab=browse&model=small&seed=7", ("small", "", 7)),
        ("?tab=browse&head=a&seed=7", ("", "a", 7)),
        ("?tab=blend&model=small&head=a&seed=7", ("", "", None)),
        ("?tab=browse&model=small&head=a&seed=-1", ("small", "a", None)),
        (f"?tab=browse&model=small&seed={LAST_SEED + 1}", ("small", "", None)),
        (f"?tab=browse&model=small&seed={'9' * 3000}", ("small", "", None)),
        ("?tab=browse&model=small&seed=%C2%B2", ("small", "", None)),
        ("", ("", "", None)),
        (7, ("", "", None)),
    ],
)
def test_a_link_says_which_generator_head_and_seed(query, found):
    assert browse.from_query(json.dumps({"query": query})) == found


def test_favourites_are_drawn_by_an_event_of_their_own(jobs):
    """What shares its event with one that waits is repeated by the page, and answers late."""
    events = build_page(jobs).fns.values()
    [look] = [
        each
        for each in events
        if getattr(each.fn, "__qualname__", "") == f"{wire_favourites.__name__}.<locals>.look"
    ]
    [target] = look.targets
    assert [each for each in events if target in each.targets] == [look]
