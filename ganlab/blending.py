"""Mixing what generators know: four ways to draw between heads or between relatives.

What is mixed are *parts*: heads of one generator, or of several that grew from a common ancestor.
`parameters` mixes weights: of one generator's heads by task weights, of relatives by interpolating
all they have, in each block by shares of its own. `features` runs the parts apart and mixes what
the last layer gets, `pixels` mixes what it gives. A one-hot row is that part's picture exactly.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganlab.config import ModelConfig
from ganlab.models import belongs_to_task, build_generator, with_deeper_heads
from ganlab.models.generator import Generator

STEP = 1e-6  # of a block: what is softer than that is divided by, and less would overflow
PARAMETERS, FEATURES, PIXELS = "parameters", "features", "pixels"
MODES = {PARAMETERS: "Parameters", FEATURES: "Features", PIXELS: "Pixels"}


class Part(NamedTuple):
    """One thing to mix: a head of a generator in eval mode.

    Attributes:
        config: of the generator, of which the parts of a mix may differ in their tasks and in how
            deep heads go.
    """

    name: str
    config: ModelConfig
    generator: Generator
    task: int = 0


def task_weights(shares: Sequence[float]) -> Tensor:
    """Shares of any scale to weights (n,) that sum to 1.

    Raises:
        ValueError: a share is negative or not finite, or none is above zero.
    """
    if not all(math.isfinite(share) and share >= 0 for share in shares):
        raise ValueError("every share is a number from 0 upwards")
    if not any(shares):
        raise ValueError("give at least one a share above zero")
    largest = max(shares)  # divided by first, so that no sum overflows or rounds to nothing
    scaled = torch.tensor([share / largest for share in shares], dtype=torch.float64)
    return (scaled / scaled.sum()).float()


def by_block(
    structure: Tensor,
    texture: Tensor,
    n_blocks: int,
    at: float | None = None,
    softness: float = 1.0,
) -> Tensor:
    """Weights (..., n) of shapes and of drawing to weights (n_blocks, ..., n), coarse blocks first.

    Layer swapping (Pinkney and Adler 2020, https://arxiv.org/abs/2010.05334): coarse blocks follow
    `structure`, fine ones `texture`.

    Args:
        at: how many blocks are coarse, 0 to n_blocks; None = half of them.
        softness: over how many blocks the change extends; below `STEP` it is a step. With 1 a block
            in the middle lies between.
    """
    place = torch.arange(n_blocks) + 0.5 - (n_blocks / 2 if at is None else at)
    fine = (place / softness + 0.5).clamp(0, 1) if softness >= STEP else (place > 0).float()
    return torch.lerp(structure, texture, fine.view(-1, *[1] * structure.ndim))


def block_of(name: str, n_blocks: int) -> int:
    """The block whose weights a parameter or buffer of `Generator` follows, by its name."""
    kind, *rest = name.split(".")
    if kind in ("mapping", "start"):
        return 0
    if kind in ("norms", "styles"):
        return int(rest[0])
    if kind in ("ups", "residuals"):
        return int(rest[0]) + 1
    return n_blocks - 1  # the last layer and the colours


def of_one_generator(parts: Sequence[Part]) -> bool:
    """Whether all are heads of the same network, so that they mix by task weights."""
    return all(part.generator is parts[0].generator for part in parts)


def mixed(parts: Sequence[Part], weights: Tensor) -> tuple[Generator, Tensor]:
    """A generator and the task weights (n_blocks, n_tasks) with which it draws the mix.

    Relatives are interpolated, which draws believable pictures where one has been trained from the
    other, or all from a third: deep network interpolation (Wang et al. 2019,
    https://arxiv.org/abs/1811.10515).

    Args:
        parts: heads of one generator, or of generators of the same shape.
        weights: (n_blocks, len(parts)), rows summing to 1.
    """
    first = parts[0].generator
    if of_one_generator(parts):
        of_tasks = weights.new_zeros(first.n_blocks, first.n_tasks)
        places = torch.tensor([part.task for part in parts])
        return first, of_tasks.index_add(1, places, weights)
    used = [(part, column) for part, column in zip(parts, weights.T, strict=True) if column.any()]
    if len(used) == 1:  # and so nothing is rounded
        part = used[0][0]
        return part.generator, one_hot(part)
    depth = max(part.config.head_depth for part, _ in used)
    states = [_alone(part, depth) for part, _ in used]
    columns = [column for _, column in used]
    state = {
        name: sum(
            column[block_of(name, first.n_blocks)] * each[name]
            for column, each in zip(columns, states, strict=True)
        )
        for name in states[0]
    }
    with torch.device("meta"):  # without memory: what was mixed becomes the parameters
        shape = replace(parts[0].config, tasks=("mix",), head_depth=depth)
        network = build_generator(shape)
    network.load_state_dict(state, assign=True)
    network.to(memory_format=torch.channels_last)
    return network.eval().requires_grad_(False), weights.new_ones(first.n_blocks, 1)


def _alone(part: Part, depth: int) -> dict[str, Tensor]:
    """The parameters and running statistics that one head draws with, as one of that depth."""
    config, row = part.config, slice(part.task, part.task + 1)
    own = {
        name: value[row] if belongs_to_task(name, config) else value
        for name, value in part.generator.state_dict().items()
    }
    return with_deeper_heads(own, replace(config, tasks=config.tasks[row]), depth)


def one_hot(part: Part) -> Tensor:
    """Task weights (n_blocks, n_tasks) of one part alone."""
    row = F.one_hot(torch.tensor(part.task), part.generator.n_tasks).float()
    return row.expand(part.generator.n_blocks, -1)


def drawn_between(
    tasks: Tensor, generator: Generator, share: float, rng: torch.Generator
) -> Tensor:
    """Task weights (n_blocks, B, n_tasks) by which a share of a batch is drawn between heads.

    Half of the blends are of two tasks, the others of a random number, all of the batch's: the
    picture's own and others. Weights are Dirichlet with a 2 at each, because half-way is where
    pictures are worst. In a quarter of them structure and texture follow different weights.

    Args:
        tasks: of the real picture that each is compared with, (B,).
    """
    batch, n = len(tasks), generator.n_tasks
    corners = F.one_hot(tasks.cpu(), n).float()
    is_present = corners.any(0)
    others = int(is_present.sum()) - 1

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=rng)

    def weights() -> Tensor:
        partners = torch.where(uniform(batch) < 0.5, 1, 1 + (uniform(batch) * others).long())
        order = uniform(batch, n) - corners + ~is_present  # own first, then others, then absent
        is_chosen = order.argsort(1).argsort(1) <= partners.clamp(max=others).unsqueeze(1)
        gamma = -((1 - uniform(batch, n)) * (1 - uniform(batch, n))).log() * is_chosen
        return gamma / gamma.sum(1, keepdim=True)

    structure = weights()
    texture = torch.where(uniform(batch, 1) < 0.25, weights(), structure)
    mixed = uniform(batch, 1) < share
    of_blocks = by_block(
        torch.where(mixed, structure, corners),
        torch.where(mixed, texture, corners),
        generator.n_blocks,
    )
    return of_blocks.to(tasks.device)


def mixture_logits(scores: Tensor, weights: Tensor) -> Tensor:
    """What D says of blends, (B,): its logits for the mixture of their tasks.

    The best D's logit for a task is log p_k(x) / q(x), of its pictures and the generated ones
    (Goodfellow et al. 2014, prop. 1), so that of the mixture sum w_k p_k is log sum w_k exp D_k(x):
    a blend is as good as what it is nearest to, unlike under a mean of logits, where it has to
    please all at once and ends up pale between them. Of losses whose logits are no such logarithms
    (hinge, Wasserstein) it is a soft maximum.

    Args:
        scores: D's logits for each task, (B, n_tasks).
        weights: (B, n_tasks), rows summing to 1. A one-hot row gives that task's logit exactly.
    """
    return (weights.log() + scores).logsumexp(1)


class Mix(nn.Module):
    """A mix as a network of its own, in eval mode."""

    def __init__(self, parts: Sequence[Part], weights: Tensor, mode: str = PARAMETERS):
        """Blends parameters at once, so that drawing again costs nothing more.

        Args:
            weights: (n_blocks, len(parts)), rows summing to 1. Features and pixels have no blocks:
                they are mixed by the last row.
            mode: one of `MODES`.
        """
        super().__init__()
        self.mode, self.z_dim = mode, parts[0].generator.z_dim
        if mode == PIXELS:  # each part draws for itself, so that no network is mixed for it
            self.generator, self.tasks = parts[0].generator, one_hot(parts[0])
        else:
            self.generator, self.tasks = mixed(parts, weights)
        shares = weights[-1].tolist()
        self.used = [(part, share) for part, share in zip(parts, shares, strict=True) if share]
        self.eval()

    def forward(self, z: Tensor, tasks: Tensor | None = None) -> Tensor:
        """z (B, z_dim) to images (B, C, size, size) in [-1, 1], whatever `tasks` are."""
        if self.mode == PARAMETERS:
            return self.generator(z, self.tasks)
        if self.mode == PIXELS:
            return sum(share * part.generator(z, one_hot(part)) for part, share in self.used)
        features = sum(
            share * part.generator.features(part.generator.mapping(z), list(one_hot(part)))
            for part, share in self.used
        )
        return self.generator.to_images(features, self.generator.mapping(z), self.tasks[-1])
