"""The strategies' race: equal laps, each a run of its own; what they reached; who won."""

import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import drawings
from safetensors.torch import load_file
from sources import small_source, tiny_transfer

from ganlab import contest, transfer
from ganlab import source as sources
from ganlab.contest import (
    LapBegan,
    LapEnded,
    LapEvent,
    lap_run,
    measure,
    progress_of,
    results_of,
    seconds_of,
    take,
    winner,
)
from ganlab.data import saved
from ganlab.data.dataset import Dataset
from ganlab.export import export
from ganlab.perform import Happening, perform
from ganlab.portable import fingerprint, open_run
from ganlab.runs import Run
from ganlab.training import Logged

Make = Callable[..., Run]
STEPS = 4  # of a lap


@pytest.fixture(autouse=True)
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contest, "SAMPLES", 32)


@pytest.fixture
def begun(tmp_path: Path, one_task: Dataset) -> Make:
    """Makes a queued race of sixteen discs: `begun("finetune", "scratch")` has two laps."""

    def make(*racers: str, dataset: Dataset = one_task, **changes) -> Run:
        config = tiny_transfer("race", racers=racers, **{"steps": STEPS, **changes})
        run, _ = transfer.create(config, dataset, small_source(), runs=tmp_path / "runs")
        return run

    return make


class Watcher:
    """Notes what happens in a race. May ask for a stop once a lap has logged its first step, or
    break off there."""

    def __init__(self, stop_in: str = "", break_in: str = ""):
        self.seen: list[Happening] = []
        self.stop_in, self.break_in, self.stops = stop_in, break_in, False

    def __call__(self, event: Happening) -> None:
        self.seen.append(event)
        if isinstance(event, LapEvent) and isinstance(event.event, Logged):
            self.stops |= event.strategy == self.stop_in
            if event.strategy == self.break_in:
                raise OSError(28, "No space left on device")

    @property
    def began(self) -> list[str]:
        return [event.strategy for event in self.seen if isinstance(event, LapBegan)]

    @property
    def ended(self) -> dict[str, dict[str, float]]:
        return {event.strategy: event.result for event in self.seen if isinstance(event, LapEnded)}


def raced(race: Run, **watching: str) -> Watcher:
    watcher = Watcher(**watching)
    perform(race, on_event=watcher, should_stop=lambda: watcher.stops)
    return watcher


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    """What every file holds, and when it was written."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def networks(lap: Run) -> dict[str, torch.Tensor]:
    state = load_file(lap.snapshot() / "training.safetensors")
    del state["counts"]  # it holds the seconds
    return state


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


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


# Who won --------------------------------------------------------------------------------------


def reached(kid: float, kid_std: float = 0.0) -> dict[str, float]:
    return {"kid": kid, "kid_std": kid_std, "diversity": 0.5}


def test_a_clear_winner_is_named_with_its_margin() -> None:
    words = winner({"scratch": reached(8.0, 0.3), "head": reached(2.0, 0.2), "ewc": reached(4.0)})
    assert words == (
        "New head wins: KID 2.00 against 4.00 for Anchored (EWC), 50 % less. "
        "Another seed may differ."
    )


@pytest.mark.parametrize(("copied", "usual", "told"), [(0.8, 0.0, True), (0.8, 0.75, False)])
def test_a_winner_that_copies_is_called_so(copied: float, usual: float, told: bool) -> None:
    best = {**reached(2.0), "copied": copied, "usually_copied": usual}
    words = winner({"finetune": best, "freezed": reached(4.0)})
    assert words.startswith("Fine-tune all wins: ")
    assert ("80 % of its samples are nearly copies of your pictures" in words) == told


@pytest.mark.parametrize(("varied", "told"), [(0.29, True), (0.31, False)])
@pytest.mark.parametrize("second", [2.0, 4.0])
def test_a_race_of_which_nothing_but_one_picture_came_is_called_so(
    varied: float, told: bool, second: float
) -> None:
    rows = {"finetune": reached(2.0), "freezed": reached(second)}
    words = winner({name: {**row, "diversity": varied} for name, row in rows.items()})
    assert words.startswith("Fine-tune all wins" if second > 2 else "No clear winner")
    assert ("nearly all alike: 29 % as varied as your pictures" in words) == told


@pytest.mark.parametrize(("std", "wins"), [(0.3, True), (0.4, False)])
def test_nobody_wins_by_less_than_two_deviations_of_both(std: float, wins: bool) -> None:
    words = winner({"finetune": reached(2.0, std), "freezed": reached(3.0, std)})  # 0.85 and 1.13
    assert words.startswith("Fine-tune all wins: ") == wins
    assert wins or words == (
        "No clear winner: Fine-tune all and FreezeD are within the noise of each other "
        "(KID 2.00 against 3.00)."
    )


@pytest.mark.parametrize(("second", "wins"), [(1.09, False), (1.11, True)])
def test_nobody_wins_by_less_than_a_tenth_however_sure_it_is(second: float, wins: bool) -> None:
    words = winner({"finetune": reached(second), "freezed": reached(1.0)})
    assert words.startswith("FreezeD wins: ") == wins
    assert words.startswith("No clear winner: FreezeD and Fine-tune all are ") != wins


def test_all_that_are_alike_are_listed_and_no_others() -> None:
    found = {"thaw": reached(1.05), "scratch": reached(9.0), "ewc": reached(1.08)}
    words = winner({**found, "head": reached(1.0)})
    names = "New head, Frozen G, then thaw and Anchored (EWC)"
    assert words.startswith(f"No clear winner: {names} are within the noise of each other")


@pytest.mark.parametrize("results", [{}, {"ewc": {}}, {"ewc": reached(1.0), "thaw": {}}])
def test_fewer_than_two_measured_laps_have_no_winner(results: contest.Results) -> None:
    assert winner(results) == ""
    assert contest.leaders(results) == []


def test_a_lap_that_failed_does_not_count_among_the_others() -> None:
    words = winner({"ewc": {}, "freezed": reached(1.0), "head": reached(2.0)})
    assert words.startswith("FreezeD wins: KID 1.00 against 2.00 for New head")


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
