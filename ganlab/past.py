"""A run's past: the moments at which its generator was kept, from what it began as to now.

The same latents are drawn at each. A moment never changes, so what was drawn of it stays in memory
for a while; but a training may drop one at any time to keep another (see `Run.save_snapshot`).
"""

import hashlib
import io
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ganlab import sampling, transfer
from ganlab.checkpoints import MissingPart
from ganlab.config import ModelConfig
from ganlab.opened import generator_at
from ganlab.runs import NoSuchSnapshot, Run
from ganlab.state import first_generator
from ganlab.strategies import STRATEGIES
from ganlab.threads import side_by_side
from ganlab.training import GRID_COLUMNS, grid_layout
from ganlab.transfer_config import TransferConfig, is_race

MOST_BYTES = 64_000_000  # of drawn pictures in memory
# Levels of 255 between a beginning that is drawn again and the grid of it that the training saved,
# in bf16 and as JPEG: 3 to 6 of the same noise, 57 to 64 of another seed's.
ALIKE = 12.0


@dataclass(frozen=True)
class Moment:
    """A step of a run at which its generator can be looked at.

    Attributes:
        seconds: of training until then.
        kid: as it was measured then; None = it was not.
        began_as: of the beginning: "" if it was noise, else the name of a transfer's source. None =
            this is a snapshot.
    """

    step: int
    seconds: float
    kid: float | None
    is_best: bool
    began_as: str | None = None


def moments(run: Run) -> list[Moment]:
    """What it began as, if that is known, and the snapshots that it keeps, oldest first.

    Raises:
        ValueError: a race or edited heads, which have no past of this kind, or no snapshot yet.
    """
    if is_race(run.config):
        raise ValueError("A race holds several generators: open one of its laps first.")
    if run.is_derived:
        raise ValueError(
            "The heads of this generator were edited rather than trained, so there is no past to "
            "see. Look at the run that they come from, or train one in Train."
        )
    steps = run.snapshot_steps()
    if not steps:
        raise ValueError("This run has no snapshot yet: let it train for a few seconds.")
    kid = {line["step"]: line["kid"] for line in run.quality()}
    best, status = run.best_step(), run.status
    known = [(0, 0.0), *((line["step"], line["seconds"]) for line in run.metrics())]
    known.append((max(status.step, known[-1][0]), max(status.seconds, known[-1][1])))
    seconds = np.interp(steps, *zip(*known, strict=True))
    kept = [
        Moment(step, float(at), kid.get(step), is_best=step == best)
        for step, at in zip(steps, seconds, strict=True)
    ]
    if not _has_beginning(run):
        return kept
    first = Moment(0, 0.0, None, is_best=best == 0, began_as=_source_of(run))
    return [first, *(moment for moment in kept if moment.step > 0)]


def draw_moment(run: Run, step: int, z: Tensor, ids: Tensor) -> np.ndarray:
    """Pictures (N, H, W, C) uint8 of latents (N, z_dim) and task ids (N,), as `Opened.draw` takes
    them, by the generator of one of the run's moments.

    Raises:
        NoSuchSnapshot: it is none, or not any more.
    """
    digest = hashlib.sha256(z.numpy().tobytes() + ids.numpy().tobytes()).digest()
    key = (str(run.path), step, digest)
    if (drawn := _drawn.get(key)) is not None:
        return drawn
    with _drawing:
        if (drawn := _drawn.get(key)) is not None:  # by who came before
            return drawn
        generator = _generator(run, step)

        def draw(rows: Tensor) -> np.ndarray:
            return sampling.sample(generator, z[rows], ids[rows])

        drawn = side_by_side(draw, torch.arange(len(ids)))
        drawn.setflags(write=False)  # others get the same
        _drawn.put(key, drawn)
    return drawn


def _generator(run: Run, step: int) -> nn.Module:
    if step == 0 and _has_beginning(run) and (beginning := _beginning(run)):
        return beginning
    try:
        return generator_at(run, step)[1]
    except (FileNotFoundError, MissingPart, NoSuchSnapshot):
        raise NoSuchSnapshot(
            f"there is no snapshot at step {step} any more: this run keeps others by now"
        ) from None


def _source_of(run: Run) -> str:
    """The name of what a transfer began as; "" of what began as noise."""
    config = run.config
    if not isinstance(config, TransferConfig) or not STRATEGIES[config.strategy].keeps:
        return ""
    return config.source or "the source"


def _has_beginning(run: Run) -> bool:
    """Whether it is known what the generator was before the first step; not, as of a run that went
    on from another one with another seed."""
    grid = run.path / "samples" / f"{0:06d}.jpg"
    try:
        written = grid.stat().st_mtime_ns
    except FileNotFoundError:  # nothing to hold it against
        return False
    with _drawing:
        return _is_known(run.path, written)


@lru_cache(maxsize=256)
def _is_known(path: Path, _written: int) -> bool:
    return _beginning(Run(path)) is not None


def _beginning(run: Run) -> nn.Module | None:
    """The generator before the first step, as its seed or its source makes it. It has to draw what
    the training drew at step 0, else it is None: PyTorch may have changed its random numbers since,
    or ganlab its networks."""
    if _source_of(run):
        start = transfer.start_of(run)
        model, own = start.config, start.build()
    else:
        model = ModelConfig.from_dict(run.about["model"])
        own = first_generator(run.config, model)
    if not _draws(own, model, run.grid(0)):
        return None
    grown = transfer.with_all_heads(run, None)
    return grown.build() if grown else own


def _draws(generator: nn.Module, model: ModelConfig, jpeg: bytes) -> bool:
    """Whether a grid is this generator's, by its first row."""
    z, tasks = grid_layout(model)
    pixels = sampling.sample(generator, z[:GRID_COLUMNS], tasks[:GRID_COLUMNS])
    row = sampling.to_image(sampling.grid(pixels, GRID_COLUMNS))
    with Image.open(io.BytesIO(jpeg)) as saved:
        if saved.size != (row.width, row.height * len(z) // GRID_COLUMNS):
            return False
        both = (row, saved.crop((0, 0, *row.size)))
        drawn, seen = (np.asarray(each.convert("RGB"), dtype=np.float32) for each in both)
    return float(np.abs(drawn - seen).mean()) < ALIKE


class _Drawn:
    """Pictures by what they show, of which the oldest go when there are too many."""

    def __init__(self, most_bytes: int):
        self._most, self._bytes = most_bytes, 0
        self._kept: OrderedDict[tuple, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple) -> np.ndarray | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: tuple, pictures: np.ndarray) -> None:
        with self._lock:
            if key in self._kept:  # two have asked at once
                return
            self._kept[key] = pictures
            self._bytes += pictures.nbytes
            while self._bytes > self._most:
                _, gone = self._kept.popitem(last=False)
                self._bytes -= gone.nbytes


_drawn = _Drawn(MOST_BYTES)
_drawing = threading.RLock()  # a moment's network is read for it: one at a time, on all cores
