"""Runs of edited heads: what they begin with, what edits and undoing make of them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import drawings, tiny
from sources import small_source, tiny_transfer
from torch import Tensor

from ganlab import derived, kinship, sampling, transfer
from ganlab.config import TrainConfig
from ganlab.data.dataset import Dataset
from ganlab.export import open_model
from ganlab.heads import MOST_EDITS, Edit
from ganlab.opened import open_run
from ganlab.perform import perform
from ganlab.runs import Run
from ganlab.source import Source, source_of_run

HALF = Edit.adding(("a", "b"), "half", [0.5, 0.5])
Z = sampling.latents(3, 8, 5)


def make(tmp_path: Path, *edits: Edit, source: Source | None = None) -> Run:
    return derived.create(source or small_source(), edits or [HALF], runs=tmp_path / "runs")[0]


def draws(network: torch.nn.Module, task: int) -> Tensor:
    return torch.from_numpy(sampling.sample(network, Z, torch.full((3,), task)))


def test_edited_heads_are_a_finished_run_that_tells_where_it_comes_from(tmp_path: Path) -> None:
    run = make(tmp_path)
    assert run.status.state == "finished" and run.is_derived
    assert run.snapshot_steps() == run.grid_steps() == [1]
    about = run.about
    assert about["model"]["tasks"] == ["a", "b", "half"]
    assert about["lineage"] == {"checkpoint": "small"}
    assert about["edits"] == [
        {
            "kind": "add", "name": "half", "words": "new head 'half' = a 50 %, b 50 %",
            "weights": {"a": 0.5, "b": 0.5},
        }
    ]  # fmt: skip
    assert run.config.architecture == "multihead" and run.config.width == 8


def test_its_generator_draws_the_old_heads_and_the_new_one(tmp_path: Path) -> None:
    source, run = small_source(), make(tmp_path)
    network, config = open_model(str(run.path))
    assert config.tasks == ("a", "b", "half")
    for task in (0, 1):
        assert torch.equal(draws(network, task), draws(source.build(), task))
    mixed = sampling.sample(source.build(), Z, torch.tensor([0.5, 0.5]))
    assert (draws(network, 2).int() - torch.from_numpy(mixed).int()).abs().max() <= 1


def test_an_edit_changes_the_run_in_place_under_a_new_number(tmp_path: Path) -> None:
    run = make(tmp_path)
    assert [part.name for part in open_run(run).parts] == ["a", "b", "half"]
    derived.change(run, Edit("rename", "half", "mid"))
    derived.change(run, Edit("remove", "a"))
    assert (run.status.state, run.status.step, run.best_step()) == ("finished", 3, 3)
    assert [part.name for part in open_run(run).parts] == ["b", "mid"]
    assert [edit.words for edit in derived.edits_of(run)] == [
        "new head 'half' = a 50 %, b 50 %",
        "head 'half' is now called 'mid'",
        "head 'a' removed",
    ]


def test_what_reads_the_snapshot_before_still_finds_it_and_its_heads(tmp_path: Path) -> None:
    run = make(tmp_path)
    derived.change(run, Edit("remove", "a"))
    assert open_model(str(run.path), 1)[1].tasks == ("a", "b", "half")
    derived.change(run, Edit("remove", "b"))
    assert run.snapshot_steps() == run.grid_steps() == [2, 3]


def test_all_edits_can_be_undone_one_by_one(tmp_path: Path) -> None:
    source, run = small_source(), make(tmp_path)
    derived.change(run, Edit("remove", "a"))
    derived.undo(run)
    assert source_of_run(run).config.tasks == ("a", "b", "half")
    derived.undo(run)
    again = source_of_run(run)
    assert again.config == source.config and derived.edits_of(run) == []
    for name, value in source.generator.items():
        assert torch.equal(again.generator[name], value)
    for name, value in source.discriminator.items():
        assert torch.equal(again.discriminator[name], value)
    with pytest.raises(ValueError, match="Nothing is left to undo"):
        derived.undo(run)
    derived.change(run, HALF)
    assert run.best_step() == 5  # no number twice, as pictures are remembered by it
    assert source_of_run(run).config.tasks == ("a", "b", "half")


def test_an_edit_that_cannot_be_done_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no head 'z'"):
        make(tmp_path, HALF, Edit("remove", "z"))
    assert not (tmp_path / "runs").exists()
    run = make(tmp_path)
    before = run.about
    with pytest.raises(ValueError, match="already"):
        derived.change(run, HALF)
    assert run.about == before and run.snapshot_steps() == [1]


def test_a_run_that_cannot_be_written_is_removed(tmp_path: Path, monkeypatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Run, "save_grid", full)
    with pytest.raises(OSError, match="disk is full"):
        make(tmp_path)
    assert list((tmp_path / "runs").iterdir()) == []


def test_there_is_an_end_to_edits(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(derived, "MOST_EDITS", 1)
    with pytest.raises(ValueError, match="edited 1 times: undo an edit first"):
        derived.change(make(tmp_path), Edit("remove", "a"))
    assert MOST_EDITS >= 20


def test_without_a_discriminator_there_is_none_later(tmp_path: Path) -> None:
    run = make(tmp_path, source=replace(small_source(), discriminator=None))
    assert source_of_run(run).discriminator is None
    derived.change(run, Edit("remove", "a"))
    assert source_of_run(run).discriminator is None


def test_a_run_is_the_origin_by_its_best_snapshot(tmp_path: Path, dataset: Dataset) -> None:
    trained, _ = Run.create(tiny(steps=3, data="drawings"), runs=tmp_path / "runs")
    trained.move("running")
    from ganlab.training import train

    train(trained, dataset)  # and still "running"
    source = derived.origin_of_run(trained)
    assert source.config.tasks == dataset.tasks
    run = make(tmp_path, Edit("remove", "discs"), source=source)
    assert run.about["lineage"] == {"run": trained.id, "step": 3}
    assert run.about["data"] == trained.about["data"]
    assert run.config == trained.config
    assert kinship.fingerprint(trained.id) in kinship.of_run(run)


def test_a_new_head_is_edited_beside_those_of_its_source(tmp_path: Path, one_task: Dataset) -> None:
    trained, _ = transfer.create(
        tiny_transfer("head", steps=4), one_task, small_source(), runs=tmp_path / "runs"
    )
    perform(trained)
    source = derived.origin_of_run(trained)
    assert source.config.tasks == ("a", "b", "discs")
    judge = source.discriminator["logits.weight"]
    assert torch.equal(judge[:2], small_source().discriminator["logits.weight"])
    assert torch.equal(judge[2], judge[0])  # of the head that it began as
    run = make(tmp_path, Edit.adding(source.config.tasks, "mix", [0, 0.5, 0.5]), source=source)
    assert type(run.config) is TrainConfig  # its own pictures and strategy are the transfer's
    opened = open_run(run)
    assert [part.name for part in opened.parts] == ["a", "b", "discs", "mix"]
    for task in (0, 1):
        assert torch.equal(draws(opened.generator, task), draws(small_source().build(), task))
    assert "small" in kinship.of_run(run)


def test_a_grey_source_that_got_colour_keeps_a_discriminator(
    tmp_path: Path, one_task: Dataset
) -> None:
    trained, _ = transfer.create(
        tiny_transfer("head", steps=1), one_task, small_source(channels=1), path=tmp_path / "run"
    )
    perform(trained)
    assert derived.origin_of_run(trained).discriminator["downs.0.weight"].shape[1] == 3


def test_a_race_says_that_its_laps_can_be_opened(tmp_path: Path, one_task: Dataset) -> None:
    race, _ = transfer.create(
        tiny_transfer("race", steps=1), one_task, small_source(), path=tmp_path / "race"
    )
    with pytest.raises(ValueError, match="open one of its laps first"):
        derived.origin_of_run(race)


def test_edited_heads_are_a_source_of_transfers(tmp_path: Path, one_task: Dataset) -> None:
    run = make(tmp_path)
    config = tiny_transfer("freezed", heads=("half",), steps=2)
    child, _ = transfer.create(config, one_task, source_of_run(run), path=tmp_path / "child")
    perform(child)
    assert child.status.state == "finished"
    assert kinship.fingerprint(run.id) in kinship.of_run(child)


def test_what_is_not_known_of_a_source_is_made_plain(tmp_path: Path) -> None:
    story = {"lineage": {"trained_with": {"preset": "of another version"}, "data": {"name": 3}}}
    run = make(tmp_path, source=replace(small_source(), story=story))
    assert (run.config.preset, run.config.data, run.config.width) == ("quick", "small", 8)
    assert run.about["data"]["name"] == "the pictures of small"


def test_what_two_tasks_learnt_becomes_a_third(tmp_path: Path) -> None:
    both = drawings(("discs", "squares"), 12)
    trained, _ = Run.create(tiny(steps=2, data="drawings"), runs=tmp_path / "runs")
    from ganlab.training import train

    train(trained, both)
    source = derived.origin_of_run(trained)
    run = make(tmp_path, Edit.adding(both.tasks, "between", [0.5, 0.5]), source=source)
    assert run.about["model"]["tasks"] == ["discs", "squares", "between"]
