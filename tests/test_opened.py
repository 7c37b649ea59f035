"""Generators opened to be looked at: what of them can be mixed, and what the mix draws."""

import shutil
from pathlib import Path

import pytest
import torch
from conftest import drawings
from sources import small_source, tiny_transfer, write_small_checkpoint

from ganlab import checkpoints, sampling, transfer
from ganlab.checkpoints import restore_generator
from ganlab.config import ModelConfig
from ganlab.data.dataset import Dataset
from ganlab.opened import open_run, open_shipped
from ganlab.perform import perform
from ganlab.runs import Run

Z = sampling.latents(3, 8, 1)


def trained(tmp_path: Path, dataset: Dataset, strategy: str, **changes) -> Run:
    config = tiny_transfer(strategy, **changes)
    run, _ = transfer.create(config, dataset, small_source(), runs=tmp_path / "runs")
    perform(run)
    return run


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path / "shelf")
    write_small_checkpoint(tmp_path / "shelf" / "small")


def test_all_of_one_head_draws_that_heads_pictures_exactly(shelf: None) -> None:
    opened = open_shipped("small")
    assert opened.parts == ("a", "b")
    for place in range(2):
        alone = [0.0, 0.0]
        alone[place] = 7.0
        ids = torch.full((len(Z),), place)
        assert (opened.blend(Z, alone) == opened.draw(Z, ids)).all()


def test_a_blend_follows_the_shares_and_not_their_scale(shelf: None) -> None:
    opened = open_shipped("small")
    first, middle = opened.blend(Z, [1, 0]).astype(int), opened.blend(Z, [1, 1]).astype(int)
    assert abs(first - middle).max() > 8
    assert (opened.blend(Z, [50, 50]) == middle).all()
    steps = [abs(first - opened.blend(Z, [1, far]).astype(int)).mean() for far in (1e-6, 0.1, 1)]
    assert steps == sorted(steps) and steps[0] < 0.5 < steps[-1]  # continuous


def test_a_transfer_is_mixed_with_what_it_began_as(tmp_path: Path, one_task: Dataset) -> None:
    run = trained(tmp_path, one_task, "finetune")
    opened = open_run(run)
    assert opened.parts == ("a, before", f"{one_task.tasks[0]}, after")
    ids = torch.zeros(len(Z), dtype=torch.long)
    source = small_source().build()
    assert (opened.blend(Z, [1, 0]) == sampling.sample(source, Z, ids)).all()
    snapshot = run.snapshot(run.best_step())
    child = restore_generator(ModelConfig.from_dict(run.about["model"]), snapshot)
    assert (opened.blend(Z, [0, 1]) == sampling.sample(child, Z, ids)).all()
    assert (opened.draw(Z, ids) == opened.blend(Z, [0, 1])).all()
    assert (opened.blend(Z, [1, 1]) != opened.blend(Z, [0, 1])).any()


def test_a_new_head_stands_beside_those_of_its_source(tmp_path: Path, one_task: Dataset) -> None:
    opened = open_run(trained(tmp_path, one_task, "head"))
    assert opened.parts == ("a", "b", one_task.tasks[0])
    source = small_source().build()
    for place in range(2):  # the old heads as they were
        ids = torch.full((len(Z),), place)
        assert (opened.draw(Z, ids) == sampling.sample(source, Z, ids)).all()


def test_of_several_tasks_the_heads_are_mixed(tmp_path: Path) -> None:
    two = drawings(("discs", "squares"), 12)
    assert open_run(trained(tmp_path, two, "finetune")).parts == ("discs", "squares")


def test_what_began_as_noise_has_no_before(tmp_path: Path, one_task: Dataset) -> None:
    assert open_run(trained(tmp_path, one_task, "scratch")).parts == one_task.tasks


def test_a_race_and_a_run_without_a_snapshot_say_why_they_cannot_be_opened(
    tmp_path: Path, one_task: Dataset
) -> None:
    race = tiny_transfer("race", racers=("scratch", "finetune"))
    run, _ = transfer.create(race, one_task, small_source(), runs=tmp_path / "runs")
    with pytest.raises(ValueError, match="open one of its laps"):
        open_run(run)
    run, _ = transfer.create(tiny_transfer(), one_task, small_source(), runs=tmp_path / "runs")
    with pytest.raises(ValueError, match="no snapshot yet"):
        open_run(run)


def test_what_trains_on_is_opened_anew(tmp_path: Path, one_task: Dataset) -> None:
    run = trained(tmp_path, one_task, "finetune", steps=4)
    before = open_run(run)
    assert open_run(run) is before  # kept in memory
    newest = run.snapshot()
    shutil.copytree(newest, newest.with_name(f"{int(newest.name) + 1:06d}"))
    assert open_run(run) is not before or run.best_step() == int(newest.name)
