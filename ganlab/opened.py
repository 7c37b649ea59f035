"""A trained generator, opened to be looked at and mixed: a checkpoint's or a run's.

What was opened last stays in memory, because a slider asks for the same one again and again.
"""

import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ganlab import checkpoints, kinship, sampling, transfer
from ganlab.blending import Part
from ganlab.checkpoints import MissingPart
from ganlab.config import ModelConfig
from ganlab.models import HAS_HEADS
from ganlab.runs import NoSuchSnapshot, Run
from ganlab.source import find_source, free_names
from ganlab.strategies import STRATEGIES
from ganlab.threads import side_by_side
from ganlab.transfer_config import TransferConfig, is_race

KEPT = 6  # in memory; a generator of 64 px has some 10 MB
KEPT_BYTES = 150_000_000  # of visitors' generators together, unless the newest alone has more
KEPT_VIEWS = 24  # of each, some 60 kB
KEPT_TEXT = 4_000_000  # bytes of all of these: of many heads, one has millions
TRIES = 5  # to read a snapshot of a run that is under way
OF_TASKS = {"tasks": (), "head_depth": 0}  # what relatives may differ in

T = TypeVar("T")
_keeping = threading.Lock()


@dataclass(frozen=True)
class Opened:
    """A generator in eval mode.

    Attributes:
        kin: itself and its ancestors.
        parts: what can be mixed: its heads or, of a transfer with one, before and after; nothing of
            a classic without heads.
        step: of the snapshot of a run that trains; None = of anything else.
    """

    name: str
    config: ModelConfig
    generator: nn.Module
    kin: frozenset[str]
    parts: tuple[Part, ...] = ()
    step: int | None = None
    _views: OrderedDict[Hashable, Future] = field(
        default_factory=OrderedDict, compare=False, repr=False
    )

    @property
    def size(self) -> int:
        """Bytes of its weights."""
        every = {id(each): each for each in (self.generator, *(p.generator for p in self.parts))}
        weights = (value for each in every.values() for value in each.state_dict().values())
        return sum(value.numel() * value.element_size() for value in weights)

    def once(self, view: Hashable, make: Callable[[], T]) -> T:
        """What `make` makes of it for a view, or has made lately: all who come see the same first.

        Args:
            view: what is shown, and how.
        """
        with _keeping:
            is_new = view not in self._views
            kept = self._views.setdefault(view, Future())
            self._views.move_to_end(view)
            while len(self._views) > KEPT_VIEWS:
                self._views.popitem(last=False)
        if is_new:
            try:
                kept.set_result(make())
            except BaseException as error:
                kept.set_exception(error)
                with _keeping:
                    self._views.pop(view, None)
            else:
                self._forget_large()
        return kept.result()  # who comes while it is made waits for that

    def _forget_large(self) -> None:
        """The oldest go first; one that is larger than all may be is not kept at all."""
        with _keeping:
            made = [view for view, each in self._views.items() if each.done()]
            sizes = {view: _weight(self._views[view]) for view in made}
            total = sum(sizes.values())
            for view in made:
                if total <= KEPT_TEXT:
                    return
                del self._views[view]
                total -= sizes[view]

    def draw(self, z: Tensor, tasks: Tensor) -> np.ndarray:
        """Pictures (N, H, W, C) uint8 of latents (N, z_dim) and task ids (N,)."""
        return sampling.sample(self.generator, z, tasks)

    def draw_now(self, z: Tensor, tasks: Tensor) -> np.ndarray:
        """The same for somebody who waits: a part of them on each core."""
        rows = torch.arange(len(z))  # what is split
        return side_by_side(lambda part: self.draw(z[part], tasks[part]), rows)


def _weight(made: Future) -> int:
    """Bytes in memory of a view, one text or several: with one rare letter, each takes four."""
    view = None if made.exception() else made.result()
    texts = view if isinstance(view, list) else [view]
    return sum(sys.getsizeof(text) for text in texts if isinstance(text, str))


def together(first: Opened, second: Opened) -> tuple[Part, ...]:
    """The parts of both, to be mixed with each other.

    Raises:
        ValueError: they have no ancestor in common, or not the same shape.
    """
    if not first.kin & second.kin:
        raise ValueError(
            f"no common ancestor: {first.name} and {second.name} learnt apart, so the same weight "
            "means something else in each, and a mix of both draws nothing. Choose two of which "
            "one was transferred from the other, or both from a third."
        )
    if asdict(first.config) | OF_TASKS != asdict(second.config) | OF_TASKS:
        raise ValueError(
            f"no longer the same shape: {first.name} and {second.name} have an ancestor in common, "
            "but one has changed since (as when it learnt colour). Choose another."
        )
    both = {(id(part.generator), part.task): part for part in (*first.parts, *second.parts)}
    names = [part.name for part in both.values()]
    told_apart = tuple(
        f"{part.name} · {_owner(part, first, second)}" if names.count(part.name) > 1 else part.name
        for part in both.values()
    )
    unique = free_names(told_apart, ())  # files in two folders may have the same name
    return tuple(part._replace(name=n) for part, n in zip(both.values(), unique, strict=True))


def _owner(part: Part, first: Opened, second: Opened) -> str:
    return first.name if part in first.parts else second.name


def open_named(text: str) -> Opened:
    """A shipped checkpoint by its name, a run by its id or folder, a checkpoint's folder or zip.

    Raises:
        ValueError: nothing there, a race, a run without a snapshot, or not a model.
    """
    path = find_source(text)
    if (path / "run.json").exists():
        return open_run(Run(path))
    return open_checkpoint(path.resolve())


def open_shipped(name: str) -> Opened:
    """A checkpoint that came with ganlab."""
    return open_checkpoint(checkpoints.SHIPPED / name)


def open_run(run: Run) -> Opened:
    """The snapshot of a run's `step_to_take`; of a *New head*, the source with that head, too.

    Raises:
        ValueError: a race, whose laps can be opened instead, or no snapshot yet.
    """
    if is_race(run.config):
        raise ValueError("a race holds several generators: open one of its laps first")
    for _ in range(TRIES - 1):
        try:
            return _open_snapshot(run.path, int(run.snapshot(run.step_to_take()).name))
        except (FileNotFoundError, MissingPart, NoSuchSnapshot):
            time.sleep(0.1)  # its training has just replaced that one
    return _open_snapshot(run.path, int(run.snapshot(run.step_to_take()).name))


@lru_cache(maxsize=KEPT)
def open_checkpoint(path: Path) -> Opened:
    """A checkpoint's folder or zip.

    Raises:
        CheckpointError: not a ganlab model, or a damaged one.
    """
    generator, config, about = checkpoints.load_generator(path)
    kin = kinship.of_checkpoint(about.get("name", path.stem), about)
    return _opened(path.stem, config, generator, kin)


class _Recent:
    """What was opened last, and is not opened anew. One is opened after another, since that takes
    four times the memory that it then has."""

    def __init__(self, make: Callable[..., Opened]):
        self._make, self._opening, self._lock = make, threading.Lock(), threading.Lock()
        self._kept: OrderedDict[tuple, Opened] = OrderedDict()

    def __call__(self, *key: Hashable) -> Opened:
        if opened := self._find(key):
            return opened
        with self._opening:
            if opened := self._find(key):  # by who came before
                return opened
            opened = self._make(*key)
            with self._lock:
                self._kept[key] = opened
                while len(self._kept) > KEPT or (len(self._kept) > 1 and self.size > KEPT_BYTES):
                    self._kept.popitem(last=False)
        return opened

    def _find(self, key: tuple) -> Opened | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    @property
    def size(self) -> int:
        """Bytes of all weights."""
        return sum(each.size for each in self._kept.values())


@_Recent
def _open_snapshot(path: Path, step: int) -> Opened:
    run = Run(path)
    name, kin = f"run {run.id[:6]}", kinship.of_run(run)
    config, generator = generator_at(run, step)
    settings, shown = run.config, None if run.is_derived else step
    alone = len(config.tasks) == 1
    if not alone or not isinstance(settings, TransferConfig) or not _keeps(settings):
        return _opened(name, config, generator, kin, shown)
    start = transfer.start_of(run)
    before = Part(f"{settings.heads[0]}, before", start.config, start.build())
    after = Part(f"{config.tasks[0]}, after", config, generator)
    return Opened(name, config, generator, frozenset(kin), (before, after), shown)


def generator_at(run: Run, step: int) -> tuple[ModelConfig, nn.Module]:
    """A snapshot's generator in eval mode; of a *New head*, the source with that head.

    Raises:
        NoSuchSnapshot, FileNotFoundError, MissingPart: its training has just replaced it.
    """
    if grown := transfer.with_all_heads(run, step):
        return grown.config, grown.build()
    config = run.model_at(step)
    return config, checkpoints.restore_generator(config, run.snapshot(step))


def _keeps(settings: TransferConfig) -> bool:
    return STRATEGIES[settings.strategy].keeps


def _opened(
    name: str,
    config: ModelConfig,
    generator: nn.Module,
    kin: list[str],
    step: int | None = None,
) -> Opened:
    parts = ()
    if HAS_HEADS[config.architecture]:
        heads = enumerate(config.tasks)
        parts = tuple(Part(task, config, generator, place) for place, task in heads)
    return Opened(name, config, generator, frozenset(kin), parts, step)
