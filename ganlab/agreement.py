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
        moments: how many are in it.
    """

    average: Tensor
    moments: int = 0

    @classmethod
    def fresh(cls, n_tasks: int) -> "Agreement":
        return cls(torch.eye(n_tasks))

    @classmethod
    def of_lines(cls, lines: Sequence[dict[str, Any]], n_tasks: int) -> "Agreement":
        """As the last line of a run has it, or a fresh one."""
        if not lines:
            return cls.fresh(n_tasks)
        return cls(torch.tensor(lines[-1]["cosines"]), int(lines[-1]["moments"]))

    def add(self, gradients: Tensor) -> None:
        """Takes in a moment: the tasks' gradients (n_tasks, P)."""
        now = conflicts.cosines(gradients)
        self.moments += 1
        weight = max(1 / self.moments, 1 - MEMORY)
        mixed = self.average.lerp(now, weight)
        self.average = torch.where(now.isfinite(), mixed, self.average)

    def line(self) -> dict[str, Any]:
        """What is written down of it."""
        rows = self.average.double().tolist()
        assert all(math.isfinite(value) for row in rows for value in row)
        return {"moments": self.moments, "cosines": rows}
