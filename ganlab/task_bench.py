"""The task bench: what deep heads and ways to deal with conflicts are worth, head by head.

Each cell of the table is a training from nothing. The clock stands still while pictures are
measured, which is done once, at the end. With one thread it is the processor's clock, which stands
still, too, while other programs have the core: cells stay comparable on a busy machine.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ganlab import device, metrics, quality
from ganlab.config import HEAD_DEPTHS, ModelConfig, TrainConfig
from ganlab.conflicts import CONFLICTS
from ganlab.data.dataset import Dataset
from ganlab.models import features
from ganlab.state import fresh_state, set_learning_rate
from ganlab.step import train_step

SAMPLES = 500  # of each head


@dataclass(frozen=True)
class Cell:
    """A depth of the heads with a way to deal with conflicts: means over the seeds.

    `spread` is the standard deviation of `mean` over the seeds; 0 of a single one.
    """

    head_depth: int
    conflicts: str
    images_per_second: float
    kid: dict[str, float]  # by task
    mean: float
    spread: float


@dataclass(frozen=True)
class Lap:
    """One training: with one seed."""

    images_per_second: float
    kid: dict[str, float]

    @property
    def mean(self) -> float:
        return statistics.mean(self.kid.values())


def compare(
    dataset: Dataset,
    *,
    seconds: float,
    seeds: int,
    depths: Sequence[int],
    conflicts: Sequence[str],
    precision: str = "auto",
    on_lap: Callable[[int, str, int, Lap], None] = lambda depth, conflict, seed, lap: None,
) -> list[Cell]:
    """Trains each depth with each way to deal with conflicts, and with each seed.

    Raises:
        ValueError: an unknown depth or way, a single task, no seed, no time.
    """
    if len(dataset.tasks) < 2:
        raise ValueError(f"{dataset.name} has one task here: give two or more to compare")
    if unknown := [depth for depth in depths if depth not in HEAD_DEPTHS]:
        known = ", ".join(map(str, HEAD_DEPTHS))
        raise ValueError(f"head depth is {unknown[0]}: choose from {known}")
    if unknown := [name for name in conflicts if name not in CONFLICTS]:
        raise ValueError(f"conflicts is {unknown[0]!r}: choose from {', '.join(CONFLICTS)}")
    if seeds < 1 or seconds <= 0 or not depths or not conflicts:
        raise ValueError("the bench needs a depth, a way, at least one seed and some time")
    trained, _ = dataset.split()
    real = [
        features.extract(quality.choose(dataset.subset([task]), SAMPLES)) for task in dataset.tasks
    ]
    cells = list(itertools.product(dict.fromkeys(depths), dict.fromkeys(conflicts)))
    laps: dict[tuple[int, str], list[Lap]] = {cell: [] for cell in cells}
    for seed in range(seeds):  # all cells in turn: what the machine does meets them alike
        for depth, conflict in cells:
            config = TrainConfig.from_preset(
                "quick", seed=seed, seconds=seconds, head_depth=depth, conflicts=conflict,
                precision=precision,
            )  # fmt: skip
            lap = _lap(config.fitted(len(trained.tasks)), trained, real)
            laps[depth, conflict].append(lap)
            on_lap(depth, conflict, seed, lap)
    return [_cell(*cell, own) for cell, own in laps.items()]


def _lap(config: TrainConfig, trained: Dataset, real: list[Tensor]) -> Lap:
    plan = device.plan(config.precision)
    plan.apply_threads()
    state = fresh_state(config, ModelConfig.for_dataset(config, trained), plan)
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    began = clock()
    while state.seconds < config.seconds:
        set_learning_rate(state, config, state.seconds / config.seconds)
        train_step(state, config, plan, trained, measure=False)
        state.seconds = clock() - began
    kid = {}
    for place, task in enumerate(trained.tasks):
        images = quality.draw(state.ema, torch.full((SAMPLES,), place))
        kid[task] = metrics.kid(real[place], features.extract(images)).value
    return Lap(state.images / state.seconds, kid)


def _cell(depth: int, conflict: str, laps: list[Lap]) -> Cell:
    means = [lap.mean for lap in laps]
    return Cell(
        depth,
        conflict,
        statistics.mean(lap.images_per_second for lap in laps),
        {task: statistics.mean(lap.kid[task] for lap in laps) for task in laps[0].kid},
        statistics.mean(means),
        statistics.stdev(means) if len(means) > 1 else 0.0,
    )


def table(cells: Sequence[Cell]) -> str:
    """As markdown."""
    tasks = list(cells[0].kid)
    heads = ["head depth", "conflicts", "images/s", *tasks, "mean"]
    lines = ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
    for cell in cells:
        spread = f" ± {cell.spread:.2f}" if cell.spread else ""
        kids = [f"{cell.kid[task]:.2f}" for task in tasks]
        row = [str(cell.head_depth), cell.conflicts, f"{cell.images_per_second:.0f}", *kids]
        lines.append("| " + " | ".join([*row, f"{cell.mean:.2f}{spread}"]) + " |")
    return "\n".join(lines)
