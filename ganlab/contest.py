"""The strategies' race: several transfers of the same pictures, latents and time, in turn.

Each lap is a run of its own inside the race's folder, so that it can be looked at, taken home and
gone on with like any other. What it reached is measured as soon as it ends.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ganlab import quality, source, transfer
from ganlab.checkpoints import restore_generator
from ganlab.config import ModelConfig
from ganlab.data import saved
from ganlab.events import Event
from ganlab.files import folder_written_atomically
from ganlab.health import COPIED
from ganlab.runs import Run
from ganlab.strategies import STRATEGIES
from ganlab.training import Diverged, train
from ganlab.transfer_config import TransferConfig

LAPS = "laps"
SAMPLES = 500  # by which a lap is judged, of all its tasks
LEAST_SAMPLES = 32  # of each
LEAST_VARIED = 0.3  # diversity, over that of the pictures, below which a lap has learnt one picture
CLEARLY = 2.0  # deviations between two KIDs, from which on one is better than the other
WORTH_NAMING = 0.1  # of the better KID: another seed moves it by about as much

Results = Mapping[str, Mapping[str, float]]  # by strategy


@dataclass(frozen=True)
class LapEvent:
    """Something that happened in a lap."""

    strategy: str
    event: Event


@dataclass(frozen=True)
class LapBegan:
    strategy: str


@dataclass(frozen=True)
class LapEnded:
    """A lap is over and measured."""

    strategy: str
    result: Mapping[str, float]


def lap_run(race: Run, strategy: str) -> Run:
    """The run of a lap, which may not have been made yet."""
    return Run(race.path / LAPS / strategy)


def run_race(
    race: Run,
    *,
    on_event: Callable[[LapBegan | LapEvent | LapEnded], None] = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> str:
    """Takes the laps in turn; those that are over already, in an earlier try, stay as they are.

    Returns:
        "finished" or "stopped".
    """
    config = race.config
    assert isinstance(config, TransferConfig) and config.laps
    dataset = saved.read_saved(race.path / saved.FOLDER)
    for strategy in config.laps:
        if strategy in results_of(race):
            continue
        if should_stop():
            return "stopped"
        on_event(LapBegan(strategy))
        lap = _make_lap(race, config.lap(strategy))
        lap.move("running")
        try:
            outcome = train(
                lap,
                dataset,
                on_event=lambda event, strategy=strategy: on_event(LapEvent(strategy, event)),
                should_stop=should_stop,
            )
        except Diverged as error:  # the others can still win
            lap.describe(exploded=True)
            lap.move("failed", f"The training exploded: {error}.")
            outcome = "failed"
        except BaseException:
            lap.move("failed", "The race broke off in this lap.")
            raise
        else:
            if should_stop():  # perhaps before it was measured: it is when the race goes on
                outcome = "stopped"
            lap.move(outcome, transfer.why_early(lap) if outcome == "finished" else "")
        if outcome == "stopped":
            return outcome
        result = measure(lap) if lap.snapshot_steps() else {}
        race.describe(results={**results_of(race), strategy: result})
        on_event(LapEnded(strategy, result))
    return "finished"


def progress_of(race: Run) -> float:
    """The share of all laps' time that is used up, as the folders tell."""
    config, over = race.config, results_of(race)
    assert isinstance(config, TransferConfig)
    done = float(len(over))
    for strategy in config.laps:
        lap = lap_run(race, strategy)
        if strategy not in over and (lap.path / "status.json").exists():
            done += lap.config.progress_at(lap.status.step, lap.status.seconds)
    return min(done / len(config.laps), 1.0)


def marks_of(race: Run) -> int:
    """How many grids, looks and ends of laps there are to show."""
    config = race.config
    assert isinstance(config, TransferConfig)
    laps = [lap_run(race, strategy) for strategy in config.laps]
    shown = sum(len(lap.grid_steps()) + len(lap.quality()) for lap in laps)
    return shown + len(results_of(race))


def seconds_of(race: Run, without: str = "") -> float:
    """That all laps have trained, or all but one."""
    config = race.config
    assert isinstance(config, TransferConfig)
    laps = [lap_run(race, strategy) for strategy in config.laps if strategy != without]
    return sum(lap.status.seconds for lap in laps if (lap.path / "status.json").exists())


def results_of(race: Run) -> dict[str, dict[str, float]]:
    """What the laps that are over have reached, by strategy; {} of one that failed."""
    return race.about.get("results", {})


def laps_of(race: Run) -> dict[str, int]:
    """How many laps are over, and how many of these have learnt something, as a view has them."""
    results = results_of(race)
    return {"laps_over": len(results), "laps_measured": sum(map(bool, results.values()))}


def broken_off(race: Run) -> str:
    """The lap that has begun and is not over; "" = none."""
    config, results = race.config, results_of(race)
    assert isinstance(config, TransferConfig)
    for strategy in config.laps:
        if strategy not in results and (lap_run(race, strategy).path / "status.json").exists():
            return strategy
    return ""


def _make_lap(race: Run, config: TransferConfig) -> Run:
    """A lap's run, queued: a new one, or the one that was broken off."""
    lap = lap_run(race, config.strategy)
    if (lap.path / "status.json").exists():
        if lap.status.state in ("running", "stopping"):
            lap.move("interrupted")
        if lap.status.state != "queued":
            lap.move("queued")
        return lap
    with folder_written_atomically(lap.path) as scratch:
        Run.create(config, path=scratch)
        (scratch / "owner.json").unlink()  # it belongs to whoever owns the race
        for folder in (saved.FOLDER, source.FOLDER):
            shutil.copytree(race.path / folder, scratch / folder, copy_function=_link)
    return lap


def _link(old: str, new: str) -> None:
    """A second name for the same file, where the disk can do that: they never change."""
    try:
        os.link(old, new)
    except OSError:
        shutil.copy(old, new)


def measure(lap: Run) -> dict[str, float]:
    """What a lap reached, by its best snapshot; the mean over the tasks."""
    config, dataset = lap.config, saved.read_saved(lap.path / saved.FOLDER)
    model = ModelConfig.from_dict(lap.about["model"])
    best = lap.best_step()
    generator = restore_generator(model, lap.snapshot(best))
    n = max(SAMPLES // len(model.tasks), LEAST_SAMPLES)
    rows = quality.evaluate(generator, model.tasks, dataset, n=n).values()
    names = ("kid", "kid_std", "coverage", "diversity", "memorisation", "copied", "usually_copied")
    means = {
        name: sum(row[name] for row in rows) / len(rows)
        for name in names
        if all(name in row for row in rows)
    }
    seconds = {line["step"]: line["seconds"] for line in lap.quality()}
    means["step"], means["seconds"] = best, seconds.get(best, lap.status.seconds)
    assert config.strategy in STRATEGIES
    return means


def leaders(results: Results) -> list[str]:
    """The best lap by KID and those that are not clearly behind it: if it is alone, it has won.
    Of fewer than two, nobody leads."""
    measured = {name: row for name, row in results.items() if "kid" in row}
    ranked = sorted(measured, key=lambda name: measured[name]["kid"])
    if len(ranked) < 2:
        return []
    first, second = (measured[name] for name in ranked[:2])
    noise = (first["kid_std"] ** 2 + second["kid_std"] ** 2) ** 0.5
    enough = max(CLEARLY * noise, WORTH_NAMING * first["kid"])
    behind = [name for name in ranked[1:] if measured[name]["kid"] - first["kid"] < enough]
    return [ranked[0], *behind]


def winner(results: Results) -> str:
    """Who won and by how much, in words; or that nobody did."""
    measured = {name: row for name, row in results.items() if "kid" in row}
    ranked = sorted(measured, key=lambda name: measured[name]["kid"])
    if len(ranked) < 2:
        return ""
    first, second = (measured[name] for name in ranked[:2])
    titles = [STRATEGIES[name].title for name in ranked]
    gap = second["kid"] - first["kid"]
    figures = f"KID {first['kid']:.2f} against {second['kid']:.2f}"
    alike = [STRATEGIES[name].title for name in leaders(results)]
    if len(alike) > 1:
        listed = f"{', '.join(alike[:-1])} and {alike[-1]}"
        words = f"No clear winner: {listed} are within the noise of each other ({figures})."
        return words + _collapse(measured.values())
    share = f"{100 * gap / second['kid']:.0f} %"
    words = f"{titles[0]} wins: {figures} for {titles[1]}, {share} less. Another seed may differ."
    words += _collapse([first])
    copied = first.get("copied", 0.0)
    if copied - first.get("usually_copied", 0.0) >= COPIED:
        words += f" But {100 * copied:.0f} % of its samples are nearly copies of your pictures."
    return words


def _collapse(rows: Iterable[Mapping[str, float]]) -> str:
    """What KID alone does not tell: that the samples are all alike."""
    most = max(row.get("diversity", 1.0) for row in rows)
    if most >= LEAST_VARIED:
        return ""
    return f" But the samples are nearly all alike: {100 * most:.0f} % as varied as your pictures."


def take(race: Run, strategy: str, runs: Path) -> tuple[Run, str]:
    """A lap as a run of its own, with its owner's token.

    Raises:
        ValueError: the race has no such lap yet.
    """
    if strategy not in STRATEGIES:
        raise ValueError("choose one of the laps first")
    lap = lap_run(race, strategy)
    if not (lap.path / "status.json").exists():
        raise ValueError("this lap has not begun yet")
    if strategy not in results_of(race):
        raise ValueError("this lap is still under way: wait until it is measured")
    with Run.being_made(lap.config, runs=runs) as (taken, token):
        shutil.copytree(lap.path, taken.path, dirs_exist_ok=True)
        taken.describe(lineage={"run": race.id, "lap": strategy})
    return taken, token
