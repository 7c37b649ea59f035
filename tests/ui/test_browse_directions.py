"""Directions in Browse: what is drawn for what a page sends, what is refused, and what is kept."""

import base64
import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from sources import own_run

from ganlab import kept, sampling
from ganlab.directions import Principal
from ganlab.kept import Named
from ganlab.known import NotOwner
from ganlab.ui.browse_directions import (
    MOST_MODELS,
    Keeping,
    key_of,
    local_list,
    seen,
    taught,
    with_local,
)
from ganlab.ui.directions_view import (
    answers,
    marked,
    moved,
    panel,
    rows_of,
    strips,
    tile_answers,
)
from ganlab.ui.subject import from_text, subject
from ganlab.ui.subject import to_text as latent_text
from ganlab.vectors import to_text


@pytest.fixture
def sample(jobs):
    return subject(jobs, "small", "b", 1, 1)


def ask(sample, **more) -> dict:
    return {"model": "small", "head": "b", "latent": latent_text(sample.z, "b"), **more}


def vector(place: int = 0, z_dim: int = 8) -> str:
    return to_text(np.eye(z_dim, dtype=np.float32)[place])


def size_of(uri: str) -> tuple[int, int]:
    with Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))) as image:
        return image.size


def test_sliders_add_up_and_the_preview_follows(jobs, sample):
    follow, _ = answers(jobs)
    found = follow(ask(sample, moves=[[vector(0), 2], [vector(1), -1.5], [vector(0), 0.5]]))
    head, z = from_text(found["latent"], 8)
    expected = sample.z + torch.tensor([[2.5, -1.5, 0, 0, 0, 0, 0, 0]])
    assert head == "b" and torch.allclose(z, expected)
    assert size_of(found["picture"]) == (32, 32)
    still = follow(ask(sample, moves=[]))
    assert still["latent"] == latent_text(sample.z, "b") and still["picture"] != found["picture"]


BAD_MOVES = [
    None, "x", {}, [1], [[vector()]], [[vector(), "1"]], [[vector(), 3.1]], [[vector(), True]],
    [[vector(), float("nan")]], [[vector(), float("inf")]], [[vector(0, 9), 1]], [[None, 1]],
    [["§", 1]], [[vector(), 1]] * 1000, [[to_text([90.0] * 8), 3]],
]  # fmt: skip


@pytest.mark.parametrize("moves", BAD_MOVES)
def test_what_are_no_moves_is_refused(jobs, sample, moves):
    assert answers(jobs)[0](ask(sample, moves=moves)) is None
    with pytest.raises(ValueError):
        moved(sample, moves)


@pytest.mark.parametrize(
    "changes",
    [{"model": "../small"}, {"model": None}, {"latent": ""}, {"latent": 3}, {"latent": "{}"}],
)
def test_questions_about_nobody_get_no_answer(jobs, sample, changes):
    follow, draw_strips = answers(jobs)
    asked = {**ask(sample, moves=[], vectors=[]), **changes}
    assert follow(asked) is None and draw_strips(asked) is None
    assert follow(None) is None and draw_strips([]) is None


def test_a_strip_goes_from_one_end_over_the_sample_to_the_other(jobs, sample):
    (uri,) = strips(sample, [vector(2)])
    assert size_of(uri) == (7 * 32, 32)
    for wrong in (None, [vector()] * 5, [None], [vector(0, 3)]):
        with pytest.raises(ValueError):
            strips(sample, wrong)
    assert answers(jobs)[1](ask(sample, vectors=[vector()] * 5)) is None


def test_twenty_samples_are_drawn_to_be_marked_and_others_follow(jobs):
    (more,) = tile_answers(jobs)
    of = {"model": "small", "head": "b", "seed": 3, "truncation": 0.5}
    first, second = more({**of, "start": 0}), more({**of, "start": 20})
    assert len(first) == len(second) == 20 and not set(first) & set(second)
    for wrong in (
        {"start": 181}, {"start": -1}, {"start": "0"}, {"start": True}, {"start": 0, "head": "c"},
        {"start": 0, "seed": -1}, {"start": 0, "truncation": 9}, {"start": 0, "model": "x"},
    ):  # fmt: skip
        assert more({**of, **wrong}) is None
    assert more(None) is None


def test_marks_are_latents_of_the_seed():
    of = {"seed": 3, "truncation": 0.5, "with": [0, 25], "without": [1, 2, 3]}
    with_it, without = marked(of, 8)
    z = 0.5 * sampling.latents(26, 8, 3)
    assert torch.equal(with_it, z[[0, 25]]) and torch.equal(without, z[1:4])


@pytest.mark.parametrize(
    ("with_it", "without"),
    [([0], [1, 2]), ([0, 1], []), ([0, 1], [1, 2]), ([0, 0], [1, 2]), ([0, 200], [1, 2]),
     (None, [1, 2]), ([0, "1"], [2, 3]), ([0, True], [2, 3]), ([-1, 0], [2, 3])],
)  # fmt: skip
def test_marks_that_say_nothing_are_refused(with_it, without):
    with pytest.raises(ValueError):
        marked({"seed": 3, "truncation": 1, "with": with_it, "without": without}, 8)


def test_a_direction_is_learnt_from_marks_and_checked(sample):
    of = {"head": "b", "seed": 3, "truncation": 1, "with": [0, 1, 2], "without": [3, 4, 5]}
    text, words = taught(sample, of)
    assert kept.vector_of(text, 8).shape == (8,) and re.match(r"Of 6 picks, \d fall", words)
    with pytest.raises(ValueError, match="another generator"):
        taught(sample, {**of, "head": "<b>"})


def test_kept_directions_come_first_and_take_the_place_of_principal_ones():
    found = Principal(torch.eye(8)[:3], torch.tensor([0.5, 0.2, 0.01]))
    rows = rows_of([Named("hair", vector(1))], [Named("hat", vector(5))], found, is_owner=False)
    said = [(row.direction.name, row.place, row.note, row.is_theirs) for row in rows]
    assert said == [
        ("hair", "run", "of this run", False),
        ("hat", "browser", "", True),
        ("Direction 1", "", "50 % of variance", True),
        ("Direction 3", "", "1.0 % of variance", True),
    ]


def test_names_and_heads_are_no_html(sample):
    found = Principal(torch.eye(8)[:1], torch.tensor([0.5]))
    name = "\"><script>'&"
    html = panel(sample, name, rows_of([Named(name, vector(3))], [], found, is_owner=True))
    assert "<script" not in html and "&quot;&gt;&lt;script&gt;" in html
    assert 'data-pending="1"' in panel(sample, "small", None)


def test_a_browser_keeps_directions_of_what_is_not_the_visitors(jobs, shelf):
    keeping = Keeping(jobs, "small", 8, {}, {"other": "junk", "small": "junk"})
    keeping.keep("hair", vector())
    keeping.edit("browser", vector(), "beard")
    assert [each.name for each in keeping.of_browser] == ["beard"] and keeping.of_run == []
    assert "other" in keeping.local and json.dumps(keeping.local)
    for place, gone in (("browser", vector(1)), ("browser", None), (None, ""), (3, [])):
        with pytest.raises(ValueError, match="no such direction"):
            keeping.edit(place, gone)
    with pytest.raises(ValueError, match="not the id of a run"):
        keeping.edit("run", vector())
    keeping.edit("browser", vector())
    assert keeping.of_browser == []


def test_a_run_keeps_its_owners_directions_and_others_cannot_change_them(jobs):
    run_id, token = own_run(jobs)
    mine = Keeping(jobs, run_id, 8, {"tokens": {run_id: token}}, {})
    mine.keep("hair", vector())
    assert mine.local == {} and kept.of_run(jobs.run(run_id), 8) == mine.of_run != []
    other = Keeping(jobs, run_id, 8, {"tokens": {run_id: "x"}}, {})
    for name in ("mine", None):
        with pytest.raises(NotOwner):
            other.edit("run", vector(), name)
    other.keep("hat", vector(3))
    assert [each.name for each in (*other.of_run, *other.of_browser)] == ["hair", "hat"]
    assert len(kept.of_run(jobs.run(run_id), 8)) == 1


@pytest.mark.parametrize(
    "local", [None, [], "x", {"small": 3}, {"small": [1]}, {"small": {"x": "a", vector(): 1}}]
)
def test_a_browser_may_say_anything(local):
    assert local_list(local, "small", 8) == []
    assert with_local(local, "small", [Named("a", vector())])["small"]


def test_a_browser_keeps_the_newest_generators_only():
    local = {}
    for number in range(MOST_MODELS + 3):
        local = with_local(local, f"m{number}", [])
    assert len(local) == MOST_MODELS and "m0" not in local


def test_of_a_generator_that_was_just_picked_the_first_head_is_seen(jobs, sample):
    latent = latent_text(sample.z, "b")
    about = seen(jobs, "grey", "small", "b", 1, 1, latent)
    assert about.head == "ink" and not about.is_picked
    assert seen(jobs, "small", "small", "a", 1, 1, latent).is_picked
    keys = {
        key_of(each, "small", 1, 1) for each in (sample, sample, subject(jobs, "small", "a", 1, 1))
    }
    assert len(keys) == 2
