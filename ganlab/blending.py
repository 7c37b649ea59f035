"""Mixing what generators know: a blend is a weighted sum of parameters.

The heads of one generator are mixed by task weights, as `Generator.forward` takes them. A generator
and what it grew from differ in all their parameters, and `interpolate` mixes those.
"""

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


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


def interpolate(generators: Sequence[nn.Module], weights: Tensor) -> nn.Module:
    """A generator with the weighted sum of all parameters and running statistics.

    It draws believable pictures where one has been trained from the other, or all from a third:
    deep network interpolation (Wang et al. 2019, https://arxiv.org/abs/1811.10515).

    Args:
        generators: of the same shapes.
        weights: (len(generators),), summing to 1; a one-hot row gives that generator exactly.
    """
    states = [generator.state_dict() for generator in generators]
    mixed = copy.deepcopy(generators[0])
    mixed.load_state_dict(
        {
            name: sum(w * state[name] for w, state in zip(weights, states, strict=True))
            for name in states[0]
        }
    )
    return mixed
