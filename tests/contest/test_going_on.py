"""Races that were broken off go on, and so do laps that were taken out of them."""

import shutil
import zipfile
from pathlib import Path

import pytest

from contest.racing import STEPS, Make, files, networks, raced, same
from ganlab import contest
from ganlab.contest import LapEnded, lap_run, results_of, take
from ganlab.export import export
from ganlab.perform import Happening, perform
from ganlab.portable import fingerprint, open_run

# Going on -------------------------------------------------------------------------------------


def test_a_race_stopped_in_the_middle_goes_on_at_the_lap_that_was_broken_off(begun: Make) -> None:
    straight, halting = begun("freezed", "finetune"), begun("freezed", "finetune")
    raced(straight)
    raced(halting, stop_in="finetune")
    lap = lap_run(halting, "finetune")
    assert halting.status.state == lap.status.state == "stopped"
    assert lap.snapshot_steps() == [1]
    assert list(results_of(halting)) == ["freezed"]
    before, result = files(lap_run(halting, "freezed").path), results_of(halting)["freezed"]
    line = lap.metrics()

    halting.move("queued")
    watcher = raced(halting)
    assert watcher.began == list(watcher.ended) == ["finetune"]
    assert halting.status.state == "finished"
    assert files(lap_run(halting, "freezed").path) == before
    assert results_of(halting)["freezed"] == result
    assert lap.metrics()[: len(line)] == line  # it did not start anew
    assert same(networks(lap), networks(lap_run(straight, "finetune")))


def test_a_stop_between_two_laps_leaves_the_next_one_for_later(begun: Make) -> None:
    race = begun("freezed", "finetune", steps=2)
    asked: list[LapEnded] = []

    def on_event(event: Happening) -> None:
        if isinstance(event, LapEnded):
            asked.append(event)

    assert perform(race, on_event=on_event, should_stop=lambda: bool(asked)) == "stopped"
    assert list(results_of(race)) == ["freezed"]
    assert not lap_run(race, "finetune").path.exists()
    race.move("queued")
    assert raced(race).began == ["finetune"]


def test_a_lap_whose_process_died_goes_on(begun: Make) -> None:
    race = begun("freezed", "finetune")
    raced(race, stop_in="freezed")
    lap = lap_run(race, "freezed")
    for run in (race, lap):  # as a killed process leaves them
        run.move("queued")
        run.move("running")
    race.move("interrupted")
    race.move("queued")
    watcher = raced(race)
    assert watcher.began == ["freezed", "finetune"]
    assert lap.status.state == "finished"
    assert lap.snapshot_steps() == [1, STEPS]


def test_an_error_in_a_lap_fails_the_race_which_goes_on_there_once_it_is_mended(
    begun: Make,
) -> None:
    race = begun("freezed", "finetune")
    with pytest.raises(OSError):
        raced(race, break_in="finetune")
    lap = lap_run(race, "finetune")
    assert race.status.state == lap.status.state == "failed"
    assert race.status.message.startswith("The disk refused to read or write")
    assert lap.status.message == "The race broke off in this lap."
    assert list(results_of(race)) == ["freezed"]
    race.move("queued")
    assert raced(race).began == ["finetune"]
    assert (race.status.state, lap.status.state) == ("finished", "finished")


def test_a_lap_that_was_broken_off_while_it_was_made_is_made_anew(
    begun: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    race = begun("freezed", "finetune", steps=2)

    def full(old: str, new: str) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk, pytest.raises(OSError):
        disk.setattr(contest, "_link", full)
        raced(race)
    race.move("queued")
    raced(race)
    assert race.status.state == "finished"
    assert lap_run(race, "freezed").status.state == "finished"


# A lap to take --------------------------------------------------------------------------------


def test_a_lap_that_is_taken_is_a_run_with_an_owner_of_its_own_that_goes_on(
    begun: Make, tmp_path: Path
) -> None:
    race = begun("freezed", "finetune")
    raced(race)
    lap = lap_run(race, "finetune")
    before = files(lap.path)
    taken, token = take(race, "finetune", tmp_path / "runs")
    other, its_token = take(race, "finetune", tmp_path / "runs")
    assert taken.path.parent == tmp_path / "runs"
    assert len({taken.id, other.id, race.id}) == 3
    assert taken.is_owned_by(token) and other.is_owned_by(its_token)
    assert not taken.is_owned_by(its_token)
    assert taken.about["lineage"] == {"run": race.id, "lap": "finetune"}
    assert (taken.config, taken.status) == (lap.config, lap.status)
    assert taken.metrics() == lap.metrics()
    assert taken.grid(STEPS) == lap.grid(STEPS)

    shutil.rmtree(other.path)
    taken.describe(config=taken.config.with_more_budget().to_dict())
    taken.move("queued")
    assert perform(taken) == "finished"
    assert taken.snapshot_steps() == [STEPS, STEPS + STEPS // 2]
    assert files(lap.path) == before  # the race keeps what it has


def test_a_lap_that_was_taken_travels_as_a_zip(begun: Make, tmp_path: Path) -> None:
    race = begun("freezed", "finetune", steps=2)
    raced(race)
    taken, _ = take(race, "freezed", tmp_path / "runs")
    path = export(taken, tmp_path / "exports")
    with zipfile.ZipFile(path) as archive:
        card = archive.read("README.md").decode()
    assert f"Goes on from: run {fingerprint(race.id)}, its lap freezed" in card
    opened, _ = open_run(path, runs=tmp_path / "there")
    assert opened.config == taken.config
    assert same(networks(opened), networks(lap_run(race, "freezed")))


def test_only_laps_that_are_over_can_be_taken(begun: Make, tmp_path: Path) -> None:
    race, there = begun("freezed", "finetune", "thaw"), tmp_path / "there"
    with pytest.raises(ValueError, match="this lap has not begun yet"):
        take(race, "freezed", there)
    raced(race, stop_in="finetune")
    with pytest.raises(ValueError, match="this lap is still under way: wait until it is measured"):
        take(race, "finetune", there)
    for strategy in ("thaw", "scratch"):
        with pytest.raises(ValueError, match="this lap has not begun yet"):
            take(race, strategy, there)
    for rubbish in ("magic", "", "None", ".", "../laps/freezed"):
        with pytest.raises(ValueError, match="choose one of the laps first"):
            take(race, rubbish, there)
    assert not there.exists()
    take(race, "freezed", there)
    assert len(list(there.iterdir())) == 1
