"""A race's laps: equal, each a run of its own, and what they reached."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import drawings
from sources import small_source, tiny_transfer

from contest.racing import STEPS, Make, networks, raced, same
from ganlab import source as sources
from ganlab import transfer
from ganlab.contest import (
    LapBegan,
    LapEnded,
    LapEvent,
    lap_run,
    measure,
    progress_of,
    results_of,
    seconds_of,
    winner,
)
from ganlab.data import saved
from ganlab.data.dataset import Dataset
from ganlab.perform import perform
from ganlab.runs import Run

# Laps -----------------------------------------------------------------------------------------


def test_every_lap_is_a_run_of_its_own_with_the_races_pictures_source_seed_and_time(
    begun: Make, one_task: Dataset
) -> None:
    race = begun("freezed", "finetune", seed=7, seconds=500.0, steps=STEPS)
    raced(race)
    assert race.status.state == "finished"
    assert {lap.name for lap in (race.path / "laps").iterdir()} == {"freezed", "finetune"}
    for strategy in ("freezed", "finetune"):
        lap = Run(race.path / "laps" / strategy)
        assert lap.config == replace(race.config, strategy=strategy, racers=())
        assert (lap.config.seed, lap.config.steps, lap.config.seconds) == (7, STEPS, 500.0)
        assert (lap.status.state, lap.status.step) == ("finished", STEPS)
        assert lap.snapshot_steps() == [STEPS]
        pictures = saved.read_saved(lap.path / saved.FOLDER)
        assert torch.equal(pictures.images, one_task.images) and pictures.tasks == ("discs",)
        start, given = sources.read_source(lap.path / sources.FOLDER), small_source()
        assert start.config == given.config
        assert same(start.generator, given.generator)
        assert same(start.discriminator, given.discriminator)
        assert not (lap.path / "owner.json").exists()  # it belongs to whoever owns the race


def test_a_lap_learns_what_the_strategy_alone_would(begun: Make, tmp_path: Path) -> None:
    race = begun("finetune", "thaw")
    raced(race)
    config = replace(race.config, strategy="thaw", racers=())
    pictures = saved.read_saved(race.path / saved.FOLDER)
    alone, _ = transfer.create(config, pictures, small_source(), path=tmp_path / "alone")
    perform(alone)
    assert same(networks(lap_run(race, "thaw")), networks(alone))
    assert not same(networks(lap_run(race, "finetune")), networks(alone))


def test_laps_that_keep_the_source_begin_with_the_same_grid_bit_for_bit(begun: Make) -> None:
    race = begun("finetune", "freezed", "scratch", steps=2)
    raced(race)
    first, second, anew = (lap_run(race, name) for name in ("finetune", "freezed", "scratch"))
    assert first.grid_steps()[0] == second.grid_steps()[0] == anew.grid_steps()[0] == 0
    assert first.grid(0) == second.grid(0)
    assert first.grid(0) != anew.grid(0)


def test_what_each_lap_reached_is_told_and_kept(begun: Make) -> None:
    race = begun("scratch", "finetune")
    watcher = raced(race)
    assert watcher.began == ["scratch", "finetune"]
    assert watcher.ended == results_of(race) == results_of(Run(race.path))
    for strategy, row in results_of(race).items():
        assert row == measure(lap_run(race, strategy))  # the same latents every time
        assert {"kid", "kid_std", "coverage", "diversity", "copied", "memorisation"} < set(row)
        assert row["kid"] > 0 and row["kid_std"] > 0 and row["diversity"] > 0
        assert row["step"] == STEPS
        assert row["seconds"] == lap_run(race, strategy).status.seconds
    one, other = results_of(race).values()
    assert one["kid"] != other["kid"]
    assert race.status.message == winner(results_of(race)) != ""


def test_events_of_a_lap_come_between_its_beginning_and_its_end(begun: Make) -> None:
    seen = raced(begun("freezed", "finetune", steps=2)).seen
    half = len(seen) // 2
    for strategy, (first, *inner, last) in (("freezed", seen[:half]), ("finetune", seen[half:])):
        assert first == LapBegan(strategy)
        assert inner and all(isinstance(event, LapEvent) for event in inner)
        assert {event.strategy for event in inner} == {strategy}
        assert isinstance(last, LapEnded) and last.strategy == strategy


# A lap that explodes --------------------------------------------------------------------------


def test_a_lap_that_explodes_has_failed_and_the_others_still_race(
    begun: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "EWC_STRENGTH", float("inf"))
    race = begun("ewc", "finetune")
    watcher = raced(race)
    lap = lap_run(race, "ewc")
    assert lap.status.state == "failed" and lap.exploded
    assert lap.status.message.startswith("The training exploded: ")
    assert watcher.began == ["ewc", "finetune"]
    assert watcher.ended == results_of(race)
    assert results_of(race)["ewc"] == {}
    assert results_of(race)["finetune"]["step"] == STEPS
    assert lap_run(race, "finetune").status.state == race.status.state == "finished"
    assert not race.exploded
    assert race.status.message == ""  # nobody won against nobody
    assert progress_of(race) == 1


# How far it is --------------------------------------------------------------------------------


def test_progress_and_seconds_are_of_all_laps(begun: Make) -> None:
    race = begun("freezed", "finetune")
    assert (progress_of(race), seconds_of(race)) == (0, 0)
    raced(race, stop_in="finetune")
    assert progress_of(race) == (1 + 1 / STEPS) / 2
    seconds = [lap_run(race, name).status.seconds for name in ("freezed", "finetune")]
    assert min(seconds) > 0
    assert seconds_of(race) == pytest.approx(sum(seconds))
    assert seconds_of(race, without="finetune") == pytest.approx(seconds[0])
    race.move("queued")
    raced(race)
    assert progress_of(race) == 1


def test_a_first_lap_counts_as_far_as_it_has_come(begun: Make) -> None:
    race = begun("freezed", "finetune")
    raced(race, stop_in="freezed")
    assert progress_of(race) == 1 / STEPS / 2


# What a lap reached ---------------------------------------------------------------------------


def test_a_lap_is_judged_by_its_best_snapshot(begun: Make) -> None:
    race = begun("finetune", "freezed", steps=STEPS)
    raced(race, stop_in="freezed")
    lap = lap_run(race, "finetune")
    early = results_of(race)["finetune"]
    lap.describe(config=lap.config.with_more_budget().to_dict())
    lap.move("queued")
    perform(lap)
    assert lap.snapshot_steps() == [STEPS, STEPS + STEPS // 2]
    newest = measure(lap)
    assert newest["step"] == STEPS + STEPS // 2
    assert newest["kid"] != early["kid"]
    for step, kid in ((STEPS, 1.0), (STEPS + STEPS // 2, 2.0)):
        lap.log_quality({"step": step, "seconds": step / 8, "kid": kid})
    assert measure(lap) == {**early, "seconds": STEPS / 8}


def test_of_several_tasks_the_mean_is_taken(tmp_path: Path, dataset: Dataset) -> None:
    config = tiny_transfer("finetune", steps=2, heads=("a", "b"))
    run, _ = transfer.create(config, dataset, small_source(), path=tmp_path / "both")
    perform(run)
    both = measure(run)["kid"]
    kids = []
    for task in dataset.tasks:
        saved.save_pictures(dataset.subset([task]), run.path / saved.FOLDER)
        kids.append(measure(run)["kid"])
    assert kids[0] != kids[1]
    assert both == pytest.approx(sum(kids) / 2)


@pytest.mark.parametrize("per_task", [2, 5])
def test_too_few_pictures_to_be_judged_by_are_refused_before_a_race_begins(
    begun: Make, tmp_path: Path, per_task: int
) -> None:
    few = drawings(("discs", "squares"), per_task)
    with pytest.raises(ValueError, match=f"6 pictures of each task, and discs has {per_task}"):
        begun("finetune", "freezed", dataset=few)
    assert not (tmp_path / "runs").exists()


def test_six_pictures_are_enough(begun: Make) -> None:
    race = begun("finetune", "freezed", dataset=drawings(("discs",), 6), steps=2)
    raced(race)
    assert all("kid" in row for row in results_of(race).values())
