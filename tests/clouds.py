"""Features drawn at random, as metrics are given them."""

import torch
from torch import Tensor


def normal(n: int, d: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=rng, dtype=torch.float64)


def pair(n: int, m: int, d: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Real features, and generated ones that are shifted and less varied."""
    return normal(n, d, seed), 0.8 * normal(m, d, seed + 1000) + 0.3
