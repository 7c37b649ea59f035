"""The recipe race: trains recipes in turn, from nothing, and watches how good they get how fast.

The clock stands still while pictures are measured. A recipe is a preset or the default with one
thing changed, so that the table tells what each choice is worth.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganlab import device, metrics, quality
from ganlab.config import ModelConfig, TrainConfig
from ganlab.data.dataset import Dataset
from ganlab.models import HAS_HEADS, features
from ganlab.state import fresh_state, set_learning_rate
from ganlab.step import train_step

BASELINE = "classic DCGAN"
RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    BASELINE: ("dcgan", {}),
    "default": ("quick", {}),
    "latent only at the start": ("quick", {"z_in_blocks": False}),
    "no mapping": ("quick", {"mapping_layers": 0}),
    "shared styles": ("quick", {"own_styles": False}),
    "batch of 48": ("quick", {"batch_size": 48}),
    "no block at full size": ("quick", {"full_size_width": 0}),
    "8 channels at full size": ("quick", {"full_size_width": 8}),
    "residual convolutions": ("quick", {"residual": True}),
    "every pixel free": ("quick", {"palette": 0}),
    "8 colours per picture": ("quick", {"palette": 8}),
    "learning rate 1e-3": ("quick", {"learning_rate": 1e-3}),
    "decaying learning rate": ("quick", {"lr_decay": True}),
    "two steps of D": ("quick", {"d_steps": 2}),
    "alternating steps": ("quick", {"simultaneous": False}),
    "γ 0.3": ("quick", {"r1": 0.3, "r2": 0.3}),
}
MARKS = (1 / 4, 1 / 2, 1)  # of the time: the columns of the table
LOOKS = (1 / 30, 1 / 15, 1 / 10, 2 / 15, 1 / 6, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 5 / 6, 1)
SAMPLES = 1000


@dataclass(frozen=True)
class Lap:
    """One recipe with one seed."""

    images_per_second: float
    kid: dict[float, float]  # by share of the time


@dataclass(frozen=True)
class Row:
    """One recipe over all seeds: means and standard deviations.

    `to_baseline` is the time in which the recipe reached the KID that the baseline had at the end
    (mean over the seeds); None = not every seed did.
    """

    recipe: str
    images_per_second: float
    kid: dict[float, tuple[float, float]]  # by seconds
    to_baseline: float | None


def race(
    dataset: Dataset,
    *,
    seconds: float,
    seeds: int,
    recipes: list[str] | None = None,
    on_lap: Callable[[str, int, Lap], None] = lambda recipe, seed, lap: None,
) -> list[Row]:
    """Trains each recipe (None = all) with each seed.

    Raises:
        ValueError: an unknown recipe, no seed, no time.
    """
    names = list(RECIPES) if recipes is None else recipes
    if unknown := [name for name in names if name not in RECIPES]:
        raise ValueError(f"unknown recipes: {', '.join(unknown)}; choose from {', '.join(RECIPES)}")
    if seeds < 1 or seconds <= 0:
        raise ValueError("the race needs at least one seed and some time")
    real = _references(dataset)
    laps: dict[str, list[Lap]] = {name: [] for name in names}
    for seed in range(seeds):  # all recipes in turn: what the machine does meets them alike
        for name in names:
            preset, changes = RECIPES[name]
            config = TrainConfig.from_preset(preset, seed=seed, seconds=seconds, **changes)
            laps[name].append(_lap(config, dataset, real))
            on_lap(name, seed, laps[name][-1])
    return [_row(name, own, laps.get(BASELINE, []), seconds) for name, own in laps.items()]


def _references(dataset: Dataset) -> Tensor:
    """Features of real pictures, of all tasks in equal parts."""
    each = -(-SAMPLES // len(dataset.tasks))
    pictures = [quality.choose(dataset.subset([task]), each) for task in dataset.tasks]
    return features.extract(torch.cat(pictures))


def _lap(config: TrainConfig, dataset: Dataset, real: Tensor) -> Lap:
    plan = device.plan(config.precision)
    plan.apply_threads()
    trained, _ = dataset.split()
    trained = trained if HAS_HEADS[config.architecture] else trained.merged()
    config = config.fitted(len(trained.tasks))
    state = fresh_state(config, ModelConfig.for_dataset(config, trained), plan)
    tasks = torch.arange(SAMPLES) % len(trained.tasks)
    kid: dict[float, float] = {}
    began, standing = time.perf_counter(), 0.0
    while len(kid) < len(LOOKS):
        state.seconds = time.perf_counter() - began - standing
        share = min(state.seconds / config.seconds, 1.0)
        if share >= LOOKS[len(kid)]:
            stood = time.perf_counter()
            fake = features.extract(quality.draw(state.ema, tasks))
            kid[LOOKS[len(kid)]] = metrics.kid(real, fake).value
            standing += time.perf_counter() - stood
            continue
        set_learning_rate(state, config, share)
        train_step(state, config, plan, trained, measure=False)
    return Lap(state.images / state.seconds, kid)


def _row(name: str, laps: list[Lap], baseline: list[Lap], seconds: float) -> Row:
    kid = {}
    for mark in MARKS:
        values = [lap.kid[mark] for lap in laps]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        kid[mark * seconds] = (statistics.mean(values), spread)
    times = None
    if baseline:
        target = statistics.mean(lap.kid[1] for lap in baseline)
        reached = [_time_to(target, lap.kid) for lap in laps]
        if None not in reached:
            times = statistics.mean(reached) * seconds
    return Row(name, statistics.mean(lap.images_per_second for lap in laps), kid, times)


def _time_to(target: float, kid: dict[float, float]) -> float | None:
    """The share of the time at which KID fell to the target, between two looks on a line."""
    share, value = 0.0, None
    for next_share, next_value in kid.items():
        if next_value <= target:
            if value is None or value == next_value:
                return next_share
            return share + (next_share - share) * (value - target) / (value - next_value)
        share, value = next_share, next_value
    return None
