"""Gauss and Newton's steps to a latent."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from ganlab import sampling
from ganlab.gauss_newton import BATCH, gauss_newton


def drawer(z_dim: int = 24, side: int = 8):
    """Something like a generator: a layer, a kink, a layer, a bend."""
    rng = torch.Generator().manual_seed(0)
    a = torch.randn(z_dim, 64, generator=rng) / z_dim**0.5
    b = torch.randn(64, 3 * side * side, generator=rng) / 8
    return lambda z: torch.tanh((z @ a).relu() @ b).view(-1, 3, side, side)


def test_what_can_be_drawn_is_found_in_a_few_steps():
    draw, (target, start) = drawer(), sampling.latents(2, 24, 3).split(1)
    unit = (draw(target) - draw(start)).norm().item()
    way = list(gauss_newton(draw, draw(target), start, unit, 12, lambda: False))
    apart = [(draw(z) - draw(target)).norm().item() / unit for z in way]
    assert apart[-1] < 0.01 and len(way) <= 12


def test_what_cannot_be_drawn_is_come_nearer_to_and_never_further():
    draw, start = drawer(), sampling.latents(1, 24, 3)
    target = torch.full((1, 3, 8, 8), 0.9)
    unit = (draw(start) - target).norm().item()
    way = [start, *gauss_newton(draw, target, start, unit, 8, lambda: False)]

    def left(z: torch.Tensor) -> float:
        """Of pixels and of the means of squares of four, which count alike."""
        apart = (draw(z) - target) / unit
        return (apart.square().sum() + (4 * F.avg_pool2d(apart, 4)).square().sum()).item()

    costs = [left(z) for z in way]
    assert costs[-1] < 0.9 * costs[0]
    assert all(later <= earlier + 1e-2 for earlier, later in pairwise(costs))  # but for the prior


@pytest.mark.parametrize("batches", [0, 1, 3])
def test_it_stops_between_batches(batches):
    draw, start = drawer(), sampling.latents(1, 24, 3)
    asked = []

    def should_stop() -> bool:
        asked.append(True)
        return len(asked) > batches

    way = list(gauss_newton(draw, draw(start) + 0.1, start, 1.0, 9, should_stop))
    assert len(way) == batches // -(-24 // BATCH)


def test_a_latent_that_nothing_depends_on_is_no_trouble():
    start = sampling.latents(1, 24, 3)
    way = list(
        gauss_newton(
            lambda z: torch.zeros(len(z), 3, 8, 8), torch.ones(1, 3, 8, 8), start, 1.0, 3,
            lambda: False,
        )
    )  # fmt: skip
    assert all(z.isfinite().all() for z in way)
