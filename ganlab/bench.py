"""Measures on this machine what the README says: how fast each preset trains."""

import statistics
import time
from dataclasses import dataclass

from ganlab import device
from ganlab.config import PRESETS, ModelConfig, TrainConfig
from ganlab.data.dataset import Dataset
from ganlab.models import HAS_HEADS
from ganlab.state import State, fresh_state
from ganlab.step import train_step

ROUNDS = 5
BASELINE = "dcgan"


@dataclass
class _Contender:
    name: str
    config: TrainConfig
    dataset: Dataset
    state: State
    speeds: list[float]


def speeds(dataset: Dataset, *, seconds: float, precision: str = "auto") -> list[dict]:
    """Images per second of every preset's training step, on one data set.

    The presets take turns for several rounds, so that whatever else the machine does meets all of
    them alike; each one's figure is the median of its rounds.

    Args:
        seconds: for each preset, over all rounds.
    """
    plan = device.plan(precision)
    plan.apply_threads()
    contenders = []
    for name in PRESETS:
        config = TrainConfig.from_preset(name)
        data = dataset if HAS_HEADS[config.architecture] else dataset.merged()
        config = config.fitted(len(data.tasks))
        state = fresh_state(config, ModelConfig.for_dataset(config, data), plan)
        contender = _Contender(name, config, data, state, [])
        _advance(contender, plan, 0)
        contenders.append(contender)
    for _ in range(ROUNDS):
        for contender in contenders:
            contender.speeds.append(_advance(contender, plan, seconds / ROUNDS))
    median = {c.name: statistics.median(c.speeds) for c in contenders}
    return [
        {
            "preset": c.name,
            "images_per_second": round(median[c.name], 1),
            "times_dcgan": round(median[c.name] / median[BASELINE], 2),
            "slowest_round": round(min(c.speeds), 1),
            "fastest_round": round(max(c.speeds), 1),
            "precision": plan.precision,
        }
        for c in contenders
    ]


def _advance(contender: _Contender, plan: device.Plan, seconds: float) -> float:
    """Trains for a while, at least one full cycle of the penalty; gives images per second."""
    start, steps = time.perf_counter(), 0
    while steps < contender.config.penalty_every or time.perf_counter() - start < seconds:
        train_step(contender.state, contender.config, plan, contender.dataset, measure=False)
        steps += 1
    return steps * contender.config.batch_size / (time.perf_counter() - start)
