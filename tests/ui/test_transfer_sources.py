"""What a transfer starts from, what that says of the pictures, and what may then begin."""

import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filled import ROBOTS, RUBBISH, described, filled, short
from PIL import Image
from sources import own_run, small_source

from ganlab import sampling
from ganlab.checkpoints import CheckpointError
from ganlab.data.dataset import Dataset
from ganlab.known import NotOwner, UnknownRun
from ganlab.source import nearest_heads
from ganlab.strategies import STRATEGIES, THAWS
from ganlab.ui import transfer_form as form_module
from ganlab.ui.strategy_figure import strategy_note
from ganlab.ui.transfer_form import NEAREST, describe_source, read_source, read_transfer
from ganlab.ui.upload import take_files
from ganlab.ui.uploaded import tick


@pytest.fixture
def two(tmp_path: Path) -> str:
    """The id of two uploaded pictures."""
    rng = np.random.default_rng(0)
    paths = [str(tmp_path / f"{number}.png") for number in range(2)]
    for path in paths:
        cells = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
        cells.resize((64, 64), Image.Resampling.BICUBIC).save(path)
    return take_files(paths)[0]


# Sources ----------------------------------------------------------------------------------------


def test_a_shipped_checkpoint_is_a_source_for_everybody(jobs):
    source = read_source(jobs, "small", {})
    assert (source.name, source.config.tasks) == ("small", ("a", "b"))
    assert source.discriminator is not None


def test_a_run_is_a_source_for_whom_it_belongs_to(jobs):
    run_id, token = own_run(jobs)
    source = read_source(jobs, run_id, {run_id: token})
    assert source.name == f"run {run_id[:6]}"
    assert source.story["lineage"] == {
        "run": run_id,
        "step": 7,
        "data": {"name": "drawings", "pictures": 16},
    }
    weights = small_source()
    for mine, theirs in (
        (source.generator, weights.generator),
        (source.discriminator, weights.discriminator),
    ):
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_somebody_elses_run_is_refused_without_its_token(jobs):
    run_id, _ = own_run(jobs)
    other_id, token = own_run(jobs)
    for tokens in ({}, {other_id: token}):
        with pytest.raises(ValueError, match=r"^Choose a generator from the list\.$"):
            read_source(jobs, run_id, tokens)


@pytest.mark.parametrize("wrong", ["", "x", None, 7, True, [], {}, "a" * 100_000, "\ud800"])
def test_somebody_elses_run_is_refused_with_a_wrong_token(jobs, wrong):
    run_id, token = own_run(jobs)
    with pytest.raises(NotOwner, match="Only the browser that started that run"):
        read_source(jobs, run_id, {run_id: wrong})
    _, others = own_run(jobs)
    with pytest.raises(NotOwner):
        read_source(jobs, run_id, {run_id: others})
    assert read_source(jobs, run_id, {run_id: token})


@pytest.mark.parametrize("rubbish", [*RUBBISH, "SMALL", "small/", "./small"], ids=short)
def test_what_is_no_source_is_refused_in_words(jobs, rubbish):
    with pytest.raises(ValueError, match=r"^Choose a generator from the list\.$"):
        read_source(jobs, rubbish, {})


def test_a_checkpoint_or_a_run_on_the_server_cannot_be_named_by_its_path(jobs, shelf):
    """The command line opens any folder; a visitor must not, even who claims to own it."""
    run_id, token = own_run(jobs)
    for path in (shelf / "small", jobs.folder / run_id, f"../runs/{run_id}", f"{run_id}/"):
        with pytest.raises(ValueError, match=r"^Choose a generator from the list\.$"):
            read_source(jobs, str(path), {run_id: token})
        with pytest.raises(UnknownRun):
            read_source(jobs, str(path), {str(path): token})


def test_an_own_run_that_has_learnt_nothing_yet_is_refused_in_words(jobs):
    run_id, token = own_run(jobs, snapshot=False)
    with pytest.raises(ValueError, match="no snapshot yet: let it train for a few seconds"):
        read_source(jobs, run_id, {run_id: token})


def test_an_own_run_that_is_damaged_is_refused_in_words(jobs):
    run_id, token = own_run(jobs)
    run = jobs.run(run_id)
    model = asdict(replace(small_source().config, width=16))
    run.describe(model=model)
    with pytest.raises(CheckpointError, match=r"weights and model\.json differ"):
        read_source(jobs, run_id, {run_id: token})


def test_edited_heads_are_a_source_with_each_of_their_heads(jobs: Any) -> None:
    run_id, token = jobs.save_head("small", "half", [0.5, 0.5], None)
    source = read_source(jobs, run_id, {run_id: token})
    assert source.config.tasks == ("a", "b", "half") and source.discriminator is not None


# What a source says of the pictures -------------------------------------------------------------


def drawn_by(head: int, n: int = 12) -> Dataset:
    """Pictures that a head of the small source has drawn."""
    source = small_source()
    z = sampling.latents(n, source.config.z_dim, seed=1)
    pixels = sampling.sample(source.build(), z, torch.full((n,), head))
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    return Dataset("drawn", images, torch.zeros(n, dtype=torch.long), ("drawn",))


@pytest.mark.parametrize("head", [0, 1])
def test_the_head_that_drew_the_pictures_is_named_as_the_nearest(jobs, monkeypatch, head):
    monkeypatch.setattr(form_module, "staged_pictures", lambda _id, _size: drawn_by(head))
    monkeypatch.setattr(form_module, "preview", lambda upload_id, size: f"{upload_id} at {size}")
    heads, note, shown = describe_source(jobs, {}, "small", "mine")
    near, far = "ab"[head], "ba"[head]
    assert re.search(
        rf">Nearest to your pictures: {near}, at a distance \(KID\) of -?\d+\.\d; "
        rf"furthest: {far} \(",
        note,
    )
    assert heads.choices == [(f"Nearest: {near}", NEAREST), (near, near), (far, far)]
    assert heads.value == NEAREST
    assert shown == "mine at 32"


def test_pictures_in_colour_give_colour_to_a_grey_source_which_says_so(jobs, two):
    heads, note, shown = describe_source(jobs, {}, "grey", two)
    assert "Nearest to your pictures: ink" in note
    assert "It draws in grey and is given colour; the layer of D" in note
    assert "furthest" not in note  # of one
    assert heads.choices == [("Nearest: ink", NEAREST), ("ink", "ink")]
    assert "32 × 32 pixels" in shown
    assert "grey" not in describe_source(jobs, {}, "small", two)[1]


def test_every_task_has_its_nearest_head_named(jobs, monkeypatch):
    pictures = [drawn_by(head, 6).images for head in (1, 0)]
    both = Dataset("both", torch.cat(pictures), torch.arange(2).repeat_interleave(6), ("x", "y"))
    monkeypatch.setattr(form_module, "staged_pictures", lambda _id, _size: both)
    monkeypatch.setattr(form_module, "preview", lambda _id, _size: "")
    told = [next(iter(far)) for far in nearest_heads(small_source(), both)]
    assert told == ["b", "a"]
    heads, note, _ = describe_source(jobs, {}, "small", "mine")
    assert "Nearest to your pictures: b, a." in note  # and of no task a figure that is another's
    assert heads.choices[0] == ("Nearest: b, a", NEAREST)


@pytest.mark.parametrize("upload_id", ["", "a" * 16, None, {}, "example:nonsense"])
def test_without_pictures_a_source_tells_its_heads_in_its_own_order(jobs, upload_id):
    heads, note, shown = describe_source(jobs, {}, "small", upload_id)
    nearest = ("The one nearest to your pictures", NEAREST)
    assert heads.choices == [nearest, ("a", "a"), ("b", "b")]
    assert (heads.value, note, shown) == (NEAREST, "", "")


def test_what_is_no_source_of_the_visitors_is_said_where_the_nearest_head_would_be(jobs):
    run_id, _ = own_run(jobs)
    for name, tokens, said in (
        (run_id, {run_id: "x"}, "Only the browser that started that run can use it."),
        ("/etc", {}, "Choose a generator from the list."),
        ({}, {}, "Choose a generator from the list."),
        ("\ud800", {"\ud800": "x"}, "This is not the id of a run"),
    ):
        _, note, _ = describe_source(jobs, tokens, name, ROBOTS)
        assert note == f'<p class="gl-mistake" role="alert">{said}</p>'


def test_too_few_ticked_pictures_are_said_where_the_nearest_head_would_be(jobs, two):
    tick(two, {0: False})
    _, note, _ = describe_source(jobs, {}, "small", two)
    assert note == '<p class="gl-mistake" role="alert">1 picture chosen; choose at least 2.</p>'


# What a form amounts to -------------------------------------------------------------------------


@pytest.mark.parametrize("upload_id", ["", "a" * 16, None, {}, [], 7, "../x", "example:nonsense"])
def test_without_pictures_nothing_can_start(upload_id):
    page = described(upload_id)
    assert not page["start"].interactive
    assert "Choose some pictures first" in page["estimate"]
    assert page["command"].startswith("python -m ganlab transfer avatars64 --data YOUR_PICTURES")


def test_with_pictures_it_can_start_and_tells_how_long_it_takes(two):
    for upload_id in (ROBOTS, two):
        page = described(upload_id, seconds=60)
        assert page["start"].interactive
        assert page["start"].value == "Start"
        assert "About 1 min 2 s here" in page["estimate"]
        assert not page["racers"].visible and page["strategy"].visible
        assert page["seconds"].label == "Seconds"
        assert page["note"].visible


def test_with_too_few_pictures_ticked_it_cannot_start_and_says_why(two):
    tick(two, {1: False})
    page = described(two)
    assert not page["start"].interactive
    assert "1 picture chosen; choose at least 2." in page["estimate"]
    assert "gl-mistake" in page["estimate"]
    assert page["command"] == ""


def test_a_race_is_started_as_one_and_takes_the_time_of_all_its_laps():
    page = described(ROBOTS, races=True, racers=["scratch", "ewc"], seconds=60)
    assert page["start"].interactive
    assert page["start"].value == "Start the race"
    assert page["racers"].visible and not page["strategy"].visible
    assert page["seconds"].label == "Seconds for each"
    assert not page["note"].visible  # of a single strategy
    assert "About 2 min 15 s here" in page["estimate"]
    assert "--strategy race" in page["command"] and "--racers scratch ewc" in page["command"]


def test_a_race_of_one_cannot_start_but_its_racers_stay_to_be_ticked():
    page = described(ROBOTS, races=True, racers=["ewc"])
    assert not page["start"].interactive
    assert page["racers"].visible
    assert "Tick at least two strategies for a race." in page["estimate"]


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_note_is_that_of_the_chosen_strategy(name):
    assert described(ROBOTS, strategy=name)["note"].value == strategy_note(name)


def test_the_note_shows_the_chosen_thaw():
    notes = {thaw: described(ROBOTS, strategy="thaw", thaw=thaw)["note"].value for thaw in THAWS}
    assert notes == {thaw: strategy_note("thaw", thaw) for thaw in THAWS}
    assert len(set(notes.values())) == len(THAWS)


def test_the_command_is_that_of_the_form():
    changes = {"strategy": "freezed", "head": "micah", "frozen_layers": 1, "seconds": 90}
    config = read_transfer(filled(**changes), "YOUR_PICTURES")
    for upload_id in ("", ROBOTS):
        assert described(upload_id, **changes)["command"] == config.command()
    assert "--frozen-layers 1" in config.command() and "--heads micah" in config.command()
