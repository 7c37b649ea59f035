"""Trainings that tests watch: when they stop, what they leave, and how two of them differ."""

import itertools
from collections.abc import Callable

import torch
from safetensors.torch import load_file
from torch import Tensor

from ganlab import device, training
from ganlab.config import ModelConfig, TrainConfig
from ganlab.data.dataset import Dataset
from ganlab.runs import Run
from ganlab.state import State, fresh_state
from ganlab.training import Pace


def saved(run: Run, step: int | None = None) -> dict[str, Tensor]:
    """All tensors of a snapshot, but for the seconds that it took."""
    tensors = {}
    for path in sorted(run.snapshot(step).glob("*.safetensors")):
        tensors |= {f"{path.stem}:{key}": value for key, value in load_file(path).items()}
    tensors["training:counts"] = tensors["training:counts"][:2]
    return tensors


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    """Names of tensors that are not bit for bit the same."""
    assert one.keys() == other.keys()
    return [key for key in one if not torch.equal(one[key], other[key])]


def after(steps: int) -> Callable[[], bool]:
    """A `should_stop` that lets this many steps happen."""
    calls = itertools.count()
    return lambda: next(calls) >= steps


def flat(line: dict) -> dict[str, float]:
    """With the numbers of each task beside the others."""
    own = {f"{k} {task}": v for k, of in line.items() if isinstance(of, dict)
           for task, v in of.items()}  # fmt: skip
    return {k: v for k, v in line.items() if not isinstance(v, dict)} | own


def always_due(monkeypatch) -> None:
    monkeypatch.setattr(Pace, "is_due", lambda self, seconds: True)
    monkeypatch.setattr(training, "SECONDS_BETWEEN_SNAPSHOTS", 0.0)
    monkeypatch.setattr(training, "LEAST_STEPS_PER_LOG", 1)


def never_due(monkeypatch) -> None:
    monkeypatch.setattr(Pace, "is_due", lambda self, seconds: False)
    monkeypatch.setattr(training, "SECONDS_BETWEEN_SNAPSHOTS", float("inf"))


def state_of(run: Run, dataset: Dataset) -> tuple[State, TrainConfig, device.Plan]:
    config, plan = run.config, device.plan(run.config.precision)
    return fresh_state(config, ModelConfig.for_dataset(config, dataset), plan), config, plan
