"""A race of strategies in the shell: what it prints, and how it goes on."""

import json

import pytest
from commands import TEN_STEPS, ganlab

from ganlab import contest
from ganlab.runs import Run


@pytest.fixture
def race(checkpoint, picture_folder, monkeypatch) -> list[object]:
    """The words of a race of two."""
    monkeypatch.setattr(contest, "SAMPLES", 32)
    words = ["transfer", checkpoint, "--data", picture_folder, "--heads", "a", *TEN_STEPS]
    return [*words, "--strategy", "race", "--racers", "finetune", "freezed"]


def test_a_race_prints_what_each_strategy_reached(race, tmp_path, capfd):
    out = tmp_path / "race"
    assert ganlab(*race, "--out", out, "--json") == 0
    printed, progress = capfd.readouterr()
    assert printed.count("\n") == 1
    told, run = json.loads(printed), Run(out)
    assert (told["state"], told["run"]) == ("finished", str(out))
    assert list(told["results"]) == ["finetune", "freezed"]
    assert told["results"] == contest.results_of(run)
    for row in told["results"].values():
        assert row["kid"] > 0 and row["step"] == 10
    assert "Fine-tune all" in progress and "FreezeD" in progress
    assert "100%" in progress
    assert run.status.message == contest.winner(told["results"]) != ""


def test_without_json_a_race_prints_a_table_and_who_won(race, tmp_path, capfd):
    out = tmp_path / "race"
    assert ganlab(*race, "--out", out) == 0
    first, heads, *rows, words, last = capfd.readouterr().out.splitlines()
    assert first == "small (a) learns pictures: 16 pictures"
    assert heads.split() == [
        "strategy", "kid", "coverage", "diversity", "memorisation", "seconds",
    ]  # fmt: skip
    results = contest.results_of(Run(out))
    for row, title, found in zip(rows, ("Fine-tune all", "FreezeD"), results.values(), strict=True):
        assert row.startswith(title) and len(row) == len(heads)
        cells = row.removeprefix(title).split()
        assert float(cells[0]) == pytest.approx(found["kid"], rel=0.01)
        assert float(cells[2]) == pytest.approx(found["diversity"], rel=0.01)
    assert words == contest.winner(results) != ""
    assert last == f"finished: {out}"


def test_a_race_that_is_over_is_not_resumed_but_a_lap_of_it_is(race, tmp_path, capfd):
    ganlab(*race, "--out", tmp_path / "race")
    config = Run(tmp_path / "race").config
    capfd.readouterr()
    assert ganlab("resume", tmp_path / "race") == 2
    complaint = capfd.readouterr().err
    laps = tmp_path / "race" / "laps"
    assert complaint == f"ganlab: this race is over: go on with one of its laps in {laps}\n"
    race_after = Run(tmp_path / "race")
    assert (race_after.config, race_after.status.state) == (config, "finished")
    assert ganlab("resume", laps / "freezed", "--json") == 0
    assert json.loads(capfd.readouterr().out)["steps"] == 15


def test_a_race_that_failed_keeps_its_laps_when_it_is_started_again(race, tmp_path, capfd):
    out = tmp_path / "race"

    def full(lap: Run) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as disk:
        disk.setattr(contest, "measure", full)
        assert ganlab(*race, "--out", out) == 2
    assert Run(out).status.state == "failed"
    assert Run(out / "laps" / "finetune").snapshot_steps() == [10]
    assert ganlab(*race, "--out", out) == 2
    assert "is not empty: choose a new folder for the run" in capfd.readouterr().err
    assert Run(out / "laps" / "finetune").snapshot_steps() == [10]
    assert ganlab("resume", out, "--json") == 0
    assert list(json.loads(capfd.readouterr().out)["results"]) == ["finetune", "freezed"]
