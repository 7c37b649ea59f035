"""A walk is even, stays on the sphere and comes back."""

import math

import pytest
import torch

from ganlab import sampling
from ganlab.walks import around, loop, round_trip, slerp


def angles(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=-1).clamp(-1, 1).acos()


def test_between_two_latents_lies_the_great_circle():
    x, y = torch.eye(3)[:2]
    half = math.sqrt(0.5)
    torch.testing.assert_close(slerp(x, y, 0.5), torch.tensor([half, half, 0]))
    torch.testing.assert_close(slerp(x, y, 1 / 3), torch.tensor([math.sqrt(3) / 2, 0.5, 0]))
    a, b = sampling.latents(2, 64, 1)
    torch.testing.assert_close(slerp(a, b, 0.0), a)
    torch.testing.assert_close(slerp(a, b, 1.0), b)
    torch.testing.assert_close(slerp(a, 3 * a, 0.5), 2 * a)  # they point the same way
    middle = slerp(a, b, 0.5).norm()
    torch.testing.assert_close(middle, (a.norm() + b.norm()) / 2)
    assert middle > 1.2 * ((a + b) / 2).norm()


def test_a_loop_is_even_and_closed():
    points = sampling.latents(5, 32, 3)
    walk = loop(points, 120)
    steps = angles(walk, walk.roll(-1, 0))  # the last one leads back to the first
    assert walk.shape == (120, 32) and walk.dtype == torch.float32
    torch.testing.assert_close(walk[0], points[0])
    whole = angles(points, points.roll(-1, 0)).sum()
    # Where a frame cuts a corner its step is the shorter one.
    assert (steps <= whole / 120 + 1e-5).all()
    assert (steps > 0.99 * whole / 120).sum() >= 120 - len(points)
    assert all(angles(walk, point).min() < whole / 120 for point in points)


def test_a_walk_of_two_points_goes_there_and_back():
    points = sampling.latents(2, 16, 1)
    walk = loop(points, 8)
    torch.testing.assert_close(walk[4], points[1])
    torch.testing.assert_close(walk[3], walk[5])


@pytest.mark.parametrize(
    ("points", "frames", "said"),
    [
        (torch.ones(1, 4), 8, "two points"),
        (torch.eye(4), 3, "at least 4"),
        (torch.ones(3, 4), 8, "are one"),
    ],
)
def test_what_is_no_walk_is_refused(points, frames, said):
    with pytest.raises(ValueError, match=said):
        loop(points, frames)


def test_a_round_trip_begins_where_it_is_told_and_is_the_same_again():
    z = sampling.latents(1, 8, 9)
    walk = round_trip(z, 4, 2, 24, 0.5)
    torch.testing.assert_close(walk[:1], z)
    assert torch.equal(walk, round_trip(z, 4, 2, 24, 0.5))
    assert not torch.equal(walk, round_trip(z, 4, 3, 24, 0.5))


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
