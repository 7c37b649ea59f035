"""Latents near one, and on the way to another."""

import pytest
import torch

from ganlab import sampling
from ganlab.neighbourhood import around, between


def test_neighbours_are_as_typical_as_any_latent():
    z = sampling.latents(1, 512, 1)
    for spread in (0.2, 0.7, 1.0):
        assert around(z, 2000, spread, 5).pow(2).mean().item() == pytest.approx(
            z.pow(2).mean().item(), rel=0.02
        )


def test_the_spread_is_how_far_they_are():
    z = sampling.latents(1, 512, 1)
    assert torch.equal(around(z, 3, 0.0, 5), z.expand(3, -1))
    distances = [(around(z, 500, s, 5) - z).norm(dim=1).mean() for s in (0.1, 0.3, 0.6, 1.0)]
    assert distances == sorted(distances)
    assert around(z, 4, 0.3, 5).equal(around(z, 4, 0.3, 5))


def test_neighbours_of_a_truncated_latent_are_truncated():
    z = 0.5 * sampling.latents(1, 512, 1)
    assert around(z, 500, 1.0, 5).pow(2).mean().item() == pytest.approx(0.25, rel=0.1)


def test_a_way_has_both_ends_and_even_steps_on_the_sphere():
    a, b = sampling.latents(2, 64, 3).split(1)
    way = between(a, b, 9)
    assert torch.allclose(way[[0, -1]], torch.cat([a, b]), atol=1e-5)
    unit = way / way.norm(dim=1, keepdim=True)
    angles = (unit[1:] * unit[:-1]).sum(1).acos()
    assert torch.allclose(angles, angles[0], rtol=1e-3)
    lengths = way.norm(dim=1)
    assert torch.allclose(lengths.diff(), (b.norm() - a.norm()) / 8, atol=1e-4)


def test_ends_that_are_alike_or_opposite_are_no_trouble():
    a = sampling.latents(1, 64, 3)
    for b in (a, 2 * a, -a, 0 * a):
        way = between(a, b, 5)
        assert way.isfinite().all() and torch.allclose(way[[0, -1]], torch.cat([a, b]), atol=1e-5)
