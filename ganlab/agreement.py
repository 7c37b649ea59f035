"""Whether tasks help each other: the cosines between their gradients on G's trunk, over time.

One batch tells little, as it has a few pictures of each task; so moments are averaged.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganlab import conflicts

MEMORY = 0.9  # of the average from one moment to the next; the first ones count alike
LEAST_SECONDS = 1.0  # between two moments
RARER = 0.005  # of the run's time so far, where that is longer
SHARE_OF_TIME = 0.03  # that the moments may take of a run


@dataclass
class Agreement:
    """The running average.

    Attributes:
        average: (n_tasks, n_tasks), symmetric, with a diagonal of 1; 0 for pairs not yet seen.
        seen: how many moments are in it of each pair, (n_tasks, n_tasks): a batch may lack a task.
        moments: how many were taken in.
    """

    average: Tensor
    seen: Tensor
    moments: int = 0

    @classmethod
    def fresh(cls, n_tasks: int) -> "Agreement":
        return cls(torch.eye(n_tasks), torch.zeros(n_tasks, n_tasks))

    @classmethod
    def of_lines(cls, lines: Sequence[dict[str, Any]], n_tasks: int) -> "Agreement":
        """As the last line of a run has it, or a fresh one."""
        if not lines:
            return cls.fresh(n_tasks)
        line = lines[-1]
        average, moments = torch.tensor(line["cosines"], dtype=torch.float32), int(line["moments"])
        if "seen" in line:
            seen = torch.tensor(line["seen"], dtype=torch.float32)
        else:  # of an older run, which did not count by pair
            seen = moments * (average != 0).float()
        return cls(average, seen, moments)

    def add(self, gradients: Tensor) -> None:
        """Takes in a moment: the tasks' gradients (n_tasks, P)."""
        now = conflicts.cosines(gradients).cpu()
        known = now.isfinite()
        self.moments += 1
        self.seen = self.seen + known
        weight = (1 / self.seen.clamp(min=1)).clamp(min=1 - MEMORY)
        self.average = torch.where(known, self.average.lerp(now, weight), self.average)

    def line(self) -> dict[str, Any]:
        """What is written down of it."""
        rows = self.average.double().tolist()
        assert all(math.isfinite(value) for row in rows for value in row)
        return {"moments": self.moments, "seen": self.seen.int().tolist(), "cosines": rows}
