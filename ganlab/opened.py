"""A trained generator, opened to be looked at and mixed: a checkpoint's or a run's.

What was opened last stays in memory, because a slider asks for the same one again and again.
"""

import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ganlab import checkpoints, sampling, transfer
from ganlab.blending import interpolate, task_weights
from ganlab.config import ModelConfig
from ganlab.export import open_model
from ganlab.runs import NoSuchSnapshot, Run
from ganlab.strategies import STRATEGIES
from ganlab.transfer_config import TransferConfig, is_race

KEPT = 4  # in memory; a generator of 64 px has some 10 MB
TRIES = 5  # to read a snapshot of a run that is under way


@dataclass(frozen=True)
class Opened:
    """A generator in eval mode.

    Attributes:
        origin: what a transfer began as, where the whole generator has trained since.
        heads: of the source that `origin` draws with.
    """

    config: ModelConfig
    generator: nn.Module
    origin: nn.Module | None = None
    heads: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """What can be mixed, by name: its heads or, of a transfer with one, before and after."""
        tasks = self.config.tasks
        if self.origin is None or len(tasks) > 1:
            return tasks
        return (f"{self.heads[0]}, before", f"{tasks[0]}, after")

    def blend(self, z: Tensor, shares: list[float]) -> np.ndarray:
        """Pictures (N, H, W, C) uint8 of latents (N, z_dim), by a share for each of `parts`.

        Raises:
            ValueError: shares that cannot be weights.
        """
        weights = task_weights(shares)
        if self.origin is None or len(self.config.tasks) > 1:
            return sampling.sample(self.generator, z, weights)
        mixed = interpolate([self.origin, self.generator], weights)
        return sampling.sample(mixed, z, torch.ones(1))

    def draw(self, z: Tensor, tasks: Tensor) -> np.ndarray:
        """Pictures (N, H, W, C) uint8 of latents (N, z_dim) and task ids (N,)."""
        return sampling.sample(self.generator, z, tasks)


def open_shipped(name: str) -> Opened:
    """A checkpoint that came with ganlab."""
    return _open_checkpoint(checkpoints.SHIPPED / name)


def open_run(run: Run) -> Opened:
    """A run's best snapshot; of a *New head*, the source with that head beside its own.

    Raises:
        ValueError: a race, whose laps can be opened instead, or no snapshot yet.
    """
    if is_race(run.config):
        raise ValueError("a race holds several generators: open one of its laps first")
    for _ in range(TRIES - 1):
        try:
            return _open_snapshot(run.path, int(run.snapshot(run.best_step()).name))
        except (FileNotFoundError, NoSuchSnapshot):  # its training has just replaced that one
            time.sleep(0.1)
    return _open_snapshot(run.path, int(run.snapshot(run.best_step()).name))


@lru_cache(maxsize=KEPT)
def _open_checkpoint(folder: Path) -> Opened:
    generator, config = open_model(str(folder))
    return Opened(config, generator)


@lru_cache(maxsize=KEPT)
def _open_snapshot(path: Path, step: int) -> Opened:
    run = Run(path)
    if grown := transfer.with_all_heads(run, step):
        return Opened(grown.config, grown.build())
    generator, config = open_model(str(path), step)
    settings = run.config
    if not isinstance(settings, TransferConfig) or not STRATEGIES[settings.strategy].keeps:
        return Opened(config, generator)
    return Opened(config, generator, transfer.start_of(run).build(), settings.heads)
