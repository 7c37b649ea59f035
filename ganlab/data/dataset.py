"""The Dataset: pictures in memory with one task each.

Reading one is paid once (see `reading`); drawing a batch is then an index into one tensor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

HELD_OUT = 10  # one picture in so many never trains
LEAST_HELD_OUT = 5


class _PerTask(NamedTuple):
    """Where the pictures of each task are: ``order[start : start + count]``."""

    order: Tensor  # (N,) picture indices, sorted by task
    start: Tensor  # (n_tasks,)
    count: Tensor  # (n_tasks,)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Pictures in memory.

    Attributes:
        name: what the page calls it.
        images: uint8 (N, C, H, W), square.
        task_ids: int64 (N,), the place of each picture's task in `tasks`.
        tasks: names; every task has at least one picture.
        mirrors: whether a picture's mirror image could be one of them, as of a face; not of a
            letter, nor of shoes that all point to the left.
    """

    name: str
    images: Tensor
    task_ids: Tensor
    tasks: tuple[str, ...]
    mirrors: bool = True

    def __post_init__(self) -> None:
        assert self.images.dtype == torch.uint8 and self.images.ndim == 4, "images: uint8 NCHW"
        assert self.task_ids.dtype == torch.int64, "task ids: int64"
        assert self.task_ids.shape == self.images.shape[:1], "one task id per picture"
        assert self._per_task.count.shape[0] == len(self.tasks), "task ids without a name"
        for task, count in zip(self.tasks, self._per_task.count.tolist(), strict=True):
            if count == 0:
                raise ValueError(f"Task {task!r} of {self.name!r} has no pictures.")

    def __len__(self) -> int:
        return self.images.shape[0]

    @property
    def size(self) -> int:
        """Height and width, in pixels."""
        return self.images.shape[-1]

    @property
    def channels(self) -> int:
        return self.images.shape[1]

    @cached_property
    def _per_task(self) -> _PerTask:
        count = torch.bincount(self.task_ids.cpu(), minlength=len(self.tasks))
        order = torch.argsort(self.task_ids.cpu(), stable=True)
        return _PerTask(order, count.cumsum(0) - count, count)

    def subset(self, tasks: Sequence[str]) -> Dataset:
        """Only these tasks, in this order."""
        chosen = choose_tasks(self.name, self.tasks, tasks)
        if chosen == self.tasks:
            return self
        order, start, count = self._per_task
        places = [self.tasks.index(task) for task in chosen]
        index = torch.cat([order[start[p] : start[p] + count[p]] for p in places])
        task_ids = torch.repeat_interleave(torch.arange(len(places)), count[places])
        return replace(self, images=self.images[index], task_ids=task_ids, tasks=chosen)

    def merged(self) -> Dataset:
        """All pictures as one task, for models without heads; it is named after all of them."""
        task = " + ".join(self.tasks)
        return replace(self, task_ids=torch.zeros_like(self.task_ids), tasks=(task,))

    def in_colour(self) -> Dataset:
        """With three channels, which are equal where pictures were grey."""
        if self.channels == 3:
            return self
        return replace(self, images=self.images.expand(-1, 3, -1, -1).contiguous())

    def split(self) -> tuple[Dataset, Dataset | None]:
        """The pictures that train, and a tenth of every task that never does.

        Which ones is decided by a task's number of pictures alone, so a task has the same ones
        held out in company. Of ten pictures and more at least five are, by which copying can be
        told; tasks of fewer than five spare none.

        Returns:
            the former, and the latter with those tasks that have any; None = no task has.
        """
        order, start, count = self._per_task
        held = torch.zeros(len(self), dtype=torch.bool)
        for first, n in zip(start.tolist(), count.tolist(), strict=True):
            shuffled = torch.randperm(n, generator=torch.Generator().manual_seed(n))
            tenth = (n + HELD_OUT // 2) // HELD_OUT
            held[order[first + shuffled[: max(tenth, LEAST_HELD_OUT if n >= 10 else 0)]]] = True
        return self._only(~held), self._only(held) if held.any() else None

    def _only(self, rows: Tensor) -> Dataset:
        """The pictures at which a mask (N,) is true, with the tasks that still have any."""
        present, task_ids = self.task_ids[rows].unique(return_inverse=True)
        tasks = tuple(self.tasks[i] for i in present.tolist())
        return replace(self, images=self.images[rows], task_ids=task_ids, tasks=tasks)

    def draw(
        self, batch_size: int, generator: torch.Generator, by: str = "even"
    ) -> tuple[Tensor, Tensor]:
        """A random batch: images uint8 (B, C, H, W) and task ids (B,).

        Args:
            by: "even": tasks are equally frequent whatever their sizes; when they do not divide
                the batch, the tasks of the remainder are drawn at random. Within a task, pictures
                are drawn uniformly, with replacement. Tasks alternate, so that a contiguous share
                of a batch is balanced too. "size": all pictures are equally frequent, so a task is
                drawn as often as its share of them, and a batch may lack some.
        """
        if by == "size":
            u = torch.rand(batch_size, generator=generator, dtype=torch.float64)
            index = (u * len(self)).long().to(self.images.device)
            return self.images.index_select(0, index), self.task_ids.to(index.device)[index]
        assert by == "even", by
        n_tasks = len(self.tasks)
        remainder = batch_size % n_tasks
        task_ids = torch.arange(batch_size) % n_tasks
        if remainder:
            task_ids[-remainder:] = torch.randperm(n_tasks, generator=generator)[:remainder]
        order, start, count = self._per_task
        # Doubles, so that rounding cannot reach 1 and no picture is out of reach.
        u = torch.rand(batch_size, generator=generator, dtype=torch.float64)
        index = order[start[task_ids] + (u * count[task_ids]).long()]
        device = self.images.device
        return self.images.index_select(0, index.to(device)), task_ids.to(device)

    @cached_property
    def _sha256(self) -> str:
        digest = hashlib.sha256()
        for chunk in self.images.split(1024):
            digest.update(chunk.contiguous().cpu().numpy().data)
        return digest.hexdigest()

    def manifest(self) -> dict:
        """What a run writes down about its data, ready for JSON."""
        return {
            "name": self.name,
            "pictures": len(self),
            "size": self.size,
            "channels": self.channels,
            "tasks": dict(zip(self.tasks, self._per_task.count.tolist(), strict=True)),
            "sha256": self._sha256,
        }


def choose_tasks(
    name: str, known: tuple[str, ...], wanted: Sequence[str] | None
) -> tuple[str, ...]:
    """The wanted tasks as they are known, or a ValueError that lists them; None = all."""
    if wanted is None:
        return known
    listed = ", ".join(known)
    if not wanted:
        raise ValueError(f"No task of {name!r} is chosen; choose from {listed}.")
    for task in wanted:
        if task not in known:
            raise ValueError(f"{name!r} has no task {task!r}; choose from {listed}.")
    if len(set(wanted)) < len(wanted):
        raise ValueError(f"A task of {name!r} is chosen twice: {', '.join(wanted)}.")
    return tuple(wanted)
