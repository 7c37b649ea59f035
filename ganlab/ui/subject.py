"""What Browse looks at: a generator, one of its heads, and one latent vector that was picked."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganlab import sampling, vectors
from ganlab.jobs import Jobs
from ganlab.opened import Opened
from ganlab.ui.picker import open_picked
from ganlab.ui.viewer import as_seed

ALL = ""  # of the heads: a row each
MOST_ROWS = 40  # of that: a page of 200 would be sent 25 MB
LEAST_TRUNCATION = 0.2
LONGEST_TEXT = 50_000  # characters of a latent: thousands of numbers
LARGEST = 100.0  # of a latent's numbers: a normal one has none above 6


@dataclass(frozen=True)
class Subject:
    """One latent of one head of a generator.

    Attributes:
        z: (1, z_dim), truncation included.
        is_picked: whether somebody chose it; else it is the first of the seed.
    """

    opened: Opened
    head: str
    z: Tensor
    is_picked: bool

    @property
    def ids(self) -> Tensor:
        """The head as a task id (1,)."""
        return torch.tensor([self.opened.config.tasks.index(self.head)])


def subject(
    jobs: Jobs, name: Any, head: Any, seed: Any, truncation: Any, latent: Any = ""
) -> Subject:
    """What the page has chosen: by the inputs `Browse.subject`, in their order.

    Raises:
        ValueError: no generator, or values that are none.
    """
    opened = open_picked(jobs, name)
    tasks, z_dim = opened.config.tasks, opened.config.z_dim
    chosen = head if head in tasks else tasks[0]
    if not latent:
        z = sampling.latents(1, z_dim, as_seed(seed)) * as_truncation(truncation)
        return Subject(opened, chosen, z, is_picked=False)
    picked, z = from_text(latent, z_dim)
    return Subject(opened, picked if picked in tasks else chosen, z, is_picked=True)


def head_choices(opened: Opened) -> list[tuple[str, str]]:
    """What can be looked at: all heads at once, if there are several, and each of them."""
    tasks = opened.config.tasks
    all_heads = "All heads" if len(tasks) <= MOST_ROWS else f"The first {MOST_ROWS} heads"
    several = [(f"{all_heads}, a row each", ALL)] if len(tasks) > 1 else []
    return several + [(task, task) for task in tasks]


def samples_of(
    opened: Opened, head: Any, seed: Any, truncation: Any, *, n: int, across: int
) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """The samples of a seed: n of one head or, of all heads, as many for each as are in a row; of
    more than `MOST_ROWS` heads, the first.

    Returns:
        latents (N, z_dim), their heads as task ids (N,), and what the rows are; () = one head's.

    Raises:
        ValueError: a seed or a truncation that is none.
    """
    tasks = opened.config.tasks
    rows = () if head in tasks or len(tasks) == 1 else tasks[:MOST_ROWS]
    shown = rows or [head if head in tasks else tasks[0]]
    n = across if rows else n
    z = sampling.latents(n, opened.config.z_dim, as_seed(seed)) * as_truncation(truncation)
    ids = torch.tensor([tasks.index(each) for each in shown])
    return z.repeat(len(ids), 1), ids.repeat_interleave(n), rows


def as_truncation(value: Any) -> float:
    """A truncation from whatever the page sends, or ValueError."""
    if type(value) not in (int, float) or not LEAST_TRUNCATION <= value <= 1:
        raise ValueError(f"The truncation is a number from {LEAST_TRUNCATION} to 1.")
    return float(value)


def to_text(z: Tensor, head: str) -> str:
    """A latent (z_dim,) or (1, z_dim) of a head, as the page keeps it."""
    return json.dumps({"head": head, "z": vectors.to_text(z)}, ensure_ascii=False)


def from_text(text: Any, z_dim: int) -> tuple[str, Tensor]:
    """Head and latent (1, z_dim) of a text that may come from anywhere.

    Raises:
        ValueError: it is no latent, or another generator's.
    """
    try:
        if not isinstance(text, str) or len(text) > LONGEST_TEXT:
            raise TypeError("no text of a sane length")
        found = json.loads(text)
        head, values = str(found["head"]), vectors.from_text(found["z"])
    except (TypeError, ValueError, KeyError, RecursionError):
        raise ValueError("This is no latent vector: pick a sample again.") from None
    return head, checked_latent(values, z_dim)


def checked_latent(values: Any, z_dim: int) -> Tensor:
    """Numbers as a latent (1, z_dim).

    Raises:
        ValueError: not so many, not finite or beyond all that G has seen.
    """
    try:
        z = torch.from_numpy(np.array(values, dtype=np.float32, ndmin=2))
    except (TypeError, ValueError, OverflowError):
        raise ValueError("This is no latent vector: pick a sample again.") from None
    if z.shape != (1, z_dim):
        raise ValueError(
            f"This latent vector has {z.numel()} numbers, and this generator takes {z_dim}: it "
            "belongs to another generator."
        )
    if not bool((z.abs() <= LARGEST).all()):
        raise ValueError("This latent vector holds numbers that no sample has.")
    return z
