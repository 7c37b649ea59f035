"""Generators opened to be looked at: what of them can be mixed, and what the mix draws."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import drawings
from crowd import count_at_once
from sources import own_run, small_source, tiny_transfer, write_small_checkpoint

from ganlab import checkpoints, mixing, sampling, transfer
from ganlab import opened as opened_module
from ganlab.blending import Part
from ganlab.checkpoints import restore_generator
from ganlab.config import ModelConfig
from ganlab.data.dataset import Dataset
from ganlab.export import export
from ganlab.jobs import Jobs
from ganlab.opened import (
    KEPT_TEXT,
    KEPT_VIEWS,
    Opened,
    open_checkpoint,
    open_named,
    open_run,
    open_shipped,
    together,
)
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


def alone(opened: Opened, place: int) -> np.ndarray:
    recipe = mixing.Recipe(mixing.alone(place, len(opened.parts)))
    return mixing.draw(opened.parts, Z, recipe)


def names(parts: tuple[Part, ...]) -> list[str]:
    return [part.name for part in parts]


def test_the_parts_of_a_checkpoint_are_its_heads(shelf: None) -> None:
    opened = open_shipped("small")
    assert (opened.name, names(opened.parts)) == ("small", ["a", "b"])
    assert all(part.generator is opened.generator for part in opened.parts)
    for place in range(2):
        ids = torch.full((len(Z),), place)
        assert (alone(opened, place) == opened.draw(Z, ids)).all()
    assert (alone(opened, 0) != alone(opened, 1)).any()


def test_a_transfer_is_mixed_with_what_it_began_as(tmp_path: Path, one_task: Dataset) -> None:
    run = trained(tmp_path, one_task, "finetune")
    opened = open_run(run)
    assert names(opened.parts) == ["a, before", f"{one_task.tasks[0]}, after"]
    ids = torch.zeros(len(Z), dtype=torch.long)
    assert (alone(opened, 0) == sampling.sample(small_source().build(), Z, ids)).all()
    snapshot = run.snapshot(run.best_step())
    child = restore_generator(ModelConfig.from_dict(run.about["model"]), snapshot)
    assert (alone(opened, 1) == sampling.sample(child, Z, ids)).all()
    assert (opened.draw(Z, ids) == alone(opened, 1)).all()
    half = mixing.draw(opened.parts, Z, mixing.Recipe((1, 1)))
    assert (half != alone(opened, 1)).any() and (half != alone(opened, 0)).any()


def test_a_new_head_stands_beside_those_of_its_source(tmp_path: Path, one_task: Dataset) -> None:
    opened = open_run(trained(tmp_path, one_task, "head"))
    assert names(opened.parts) == ["a", "b", one_task.tasks[0]]
    source = small_source().build()
    for place in range(2):  # the old heads as they were
        ids = torch.full((len(Z),), place)
        assert (opened.draw(Z, ids) == sampling.sample(source, Z, ids)).all()


def test_of_several_tasks_the_heads_are_mixed(tmp_path: Path) -> None:
    two = drawings(("discs", "squares"), 12)
    opened = open_run(trained(tmp_path, two, "finetune"))
    assert names(opened.parts) == ["discs", "squares"]


def test_what_began_as_noise_has_no_before(tmp_path: Path, one_task: Dataset) -> None:
    opened = open_run(trained(tmp_path, one_task, "scratch"))
    assert names(opened.parts) == list(one_task.tasks)


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


def test_a_snapshot_that_is_replaced_in_mid_read_is_read_anew(
    tmp_path: Path, one_task: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(tmp_path, one_task, "scratch")
    old, read, seen = run.snapshot(), checkpoints.restore_generator, []

    def replaced_first(config: ModelConfig, folder: Path):
        if not seen:
            old.rename(old.with_name(f"{int(old.name) + 1:06d}"))
        seen.append(folder)
        return read(config, folder)

    monkeypatch.setattr(checkpoints, "restore_generator", replaced_first)
    assert names(open_run(run).parts) == list(one_task.tasks)
    assert seen == [old, run.snapshot()]


def test_a_snapshot_without_a_generator_is_refused_in_the_end(
    tmp_path: Path, one_task: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganlab.opened.time.sleep", lambda seconds: None)
    run = trained(tmp_path, one_task, "scratch")
    (run.snapshot() / "generator.safetensors").unlink()
    with pytest.raises(checkpoints.CheckpointError, match=r"holds no generator\.safetensors"):
        open_run(run)


# Two together -----------------------------------------------------------------------------------


def test_a_view_is_made_once_until_others_have_taken_its_place(shelf: None) -> None:
    opened, made = open_shipped("small"), []

    def make() -> int:
        made.append(len(made))
        return made[-1]

    assert [opened.once("first", make) for _ in range(3)] == [0, 0, 0]
    for other in range(KEPT_VIEWS - 1):
        opened.once(other, make)
    assert opened.once("first", make) == 0  # which makes it the newest again
    opened.once("another", make)
    assert opened.once("first", make) == 0
    assert opened.once(0, make) == KEPT_VIEWS + 1
    assert len(opened._views) == KEPT_VIEWS


def test_of_large_generators_fewer_are_kept(tmp_path: Path, monkeypatch) -> None:
    jobs = Jobs(tmp_path / "runs", workers=0)
    runs = [jobs.run(own_run(jobs)[0]) for _ in range(4)]
    jobs.close()
    size = open_run(runs[0]).size
    assert size == sum(4 * value.numel() for value in small_source().generator.values())
    monkeypatch.setattr(opened_module, "KEPT_BYTES", 2 * size)
    first, second, third = (open_run(run) for run in runs[1:])
    assert open_run(runs[3]) is third and open_run(runs[2]) is second
    assert open_run(runs[1]) is not first
    monkeypatch.setattr(opened_module, "KEPT_BYTES", size - 1)
    alone = open_run(runs[0])
    assert open_run(runs[0]) is alone


def test_who_asks_at_once_gets_one_generator_and_no_two_are_opened_at_a_time(
    tmp_path: Path, monkeypatch
) -> None:
    jobs = Jobs(tmp_path / "runs", workers=0)
    runs = [jobs.run(own_run(jobs)[0]) for _ in range(2)]
    jobs.close()
    seen = count_at_once(monkeypatch, opened_module, "generator_at")
    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(open_run, runs * 4)]
    assert seen == [1, 1] and len({id(each) for each in found}) == 2


def test_of_large_views_fewer_are_kept(shelf: None) -> None:
    opened, third = open_shipped("small"), KEPT_TEXT // 3 - 100
    for name in "abcd":
        opened.once(name, lambda: ["x" * third])
    assert list(opened._views) == ["b", "c", "d"]
    opened.once("a number", lambda: 7)
    opened.once("e", lambda: "x" * 2 * third)
    assert list(opened._views) == ["d", "a number", "e"]
    opened.once("f", lambda: "\N{GRINNING FACE}" + "x" * third)  # each takes four bytes
    assert list(opened._views) == []


def test_who_comes_while_a_view_is_made_waits_for_it_and_a_failure_is_not_kept(shelf: None) -> None:
    opened, go_on, made = open_shipped("small"), threading.Event(), []

    def make() -> str:
        assert go_on.wait(60)
        made.append("view")
        return made[-1]

    with pytest.raises(ValueError):
        opened.once("view", lambda: int("none"))
    with ThreadPoolExecutor(4) as pool:
        seen = [pool.submit(opened.once, "view", make) for _ in range(4)]
        assert opened.once("another", lambda: "at once") == "at once"
        assert not made
        go_on.set()
        assert [each.result(60) for each in seen] == ["view"] * 4
    assert made == ["view"]


def test_parts_of_two_relatives_are_mixed_together(
    shelf: None, tmp_path: Path, one_task: Dataset
) -> None:
    run = trained(tmp_path, one_task, "finetune")
    first, second = open_shipped("small"), open_run(run)
    both = together(first, second)
    assert names(both) == ["a", "b", "a, before", "discs, after"]
    for place, (opened, own) in enumerate(((first, 0), (first, 1), (second, 0), (second, 1))):
        drawn = mixing.draw(both, Z, mixing.Recipe(mixing.alone(place, 4)))
        assert (drawn == alone(opened, own)).all()
    mix = mixing.draw(both, Z, mixing.Recipe((0, 1, 0, 1)))
    assert all((mix != alone(*each)).any() for each in ((first, 1), (second, 1)))


def test_a_generator_with_itself_has_its_own_parts_once(shelf: None) -> None:
    opened = open_shipped("small")
    assert together(opened, opened) == opened.parts


def test_parts_of_one_name_are_told_apart_by_whose_they_are(
    shelf: None, tmp_path: Path, one_task: Dataset
) -> None:
    run = trained(tmp_path, one_task, "finetune")
    packed = export(run, tmp_path / "here")
    copy = shutil.copytree(tmp_path / "here", tmp_path / "there") / packed.name
    one, other = open_checkpoint(packed), open_checkpoint(copy)
    name = f"discs · {packed.stem}"
    assert names(together(one, other)) == [name, f"{name} 2"]
    tasks = {"tasks": ("a", "discs")}
    write_small_checkpoint(tmp_path / "mine", **tasks)
    mine = open_checkpoint(tmp_path / "mine")
    assert names(together(mine, one)) == ["a", "discs · mine", f"discs · {packed.stem}"]


def test_each_kind_of_place_is_opened_by_its_text(
    shelf: None, tmp_path: Path, one_task: Dataset, home: Path
) -> None:
    run = trained(tmp_path, one_task, "finetune")
    shutil.copytree(run.path, home / "runs" / run.id)
    packed = export(run, tmp_path)
    for text, parts in (
        ("small", ["a", "b"]),
        (str(tmp_path / "shelf" / "small"), ["a", "b"]),
        (run.id, ["a, before", "discs, after"]),
        (str(run.path), ["a, before", "discs, after"]),
        (str(packed), ["discs"]),
    ):
        assert names(open_named(text).parts) == parts
    with pytest.raises(ValueError, match="nowhere is neither small"):
        open_named("nowhere")
