"""Pixels move to the mean of those that have nearly their colour."""

import math

import pytest
import torch
from torch import Tensor

from ganlab.models.colour import SAMPLED, shift_to_mean
from ganlab.models.generator import Generator

REACH = 0.1


def noise(*shape: int, deviation: float = 1.0) -> Tensor:
    return deviation * torch.randn(shape, generator=torch.Generator().manual_seed(3))


def two_halves(size: int = 32) -> Tensor:
    """(1, 3, size, size), one colour on the left and another on the right."""
    image = torch.empty(1, 3, size, size)
    image[..., : size // 2] = torch.tensor([-0.6, 0.1, 0.5])[:, None, None]
    image[..., size // 2 :] = torch.tensor([0.7, 0.3, -0.4])[:, None, None]
    return image


@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_one_step_of_the_mean_shift(channels):
    images = noise(2, channels, 16, 16, deviation=0.3).double()
    moved = shift_to_mean(images, REACH)
    step = 16 // SAMPLED
    for n, y, x in [(0, 0, 0), (0, 7, 11), (1, 15, 4)]:
        here = images[n, :, y, x]
        total, mass = here.clone(), 1.0
        for i in range(step // 2, 16, step):
            for j in range(step // 2, 16, step):
                other = images[n, :, i, j]
                weight = math.exp(-(here - other).square().sum().item() / (2 * REACH**2))
                total += weight * other
                mass += weight
        torch.testing.assert_close(moved[n, :, y, x], total / mass)


def test_faint_texture_goes_and_edges_stay():
    clean = two_halves()
    moved = shift_to_mean(clean + noise(1, 3, 32, 32, deviation=0.03), REACH)
    assert (moved - clean).abs().mean() < 0.01
    assert moved[..., :16].std((2, 3)).max() < 0.01
    edge = (moved[..., 16] - moved[..., 15]).mean((0, 2))
    torch.testing.assert_close(edge, torch.tensor([1.3, 0.2, -0.9]), atol=0.03, rtol=0)


def test_what_is_flat_stays_as_it_is():
    torch.testing.assert_close(shift_to_mean(two_halves(), REACH), two_halves())


def test_a_colour_of_its_own_between_the_sampled_pixels_stays():
    image = two_halves(64)
    image[0, :, 20, 41] = torch.tensor([-1.0, 1.0, 1.0])
    moved = shift_to_mean(image, REACH)
    torch.testing.assert_close(moved[0, :, 20, 41], image[0, :, 20, 41])


def test_pictures_do_not_mix():
    images = torch.cat([two_halves(), -two_halves()]) + noise(2, 3, 32, 32, deviation=0.05)
    together = shift_to_mean(images, REACH)
    apart = torch.cat([shift_to_mean(image, REACH) for image in images.split(1)])
    torch.testing.assert_close(together, apart)


def test_it_is_as_exact_under_autocast():
    images = two_halves() + noise(1, 3, 32, 32, deviation=0.05)
    with torch.autocast("cpu", torch.bfloat16):
        moved = shift_to_mean(images, REACH)
    assert torch.equal(moved, shift_to_mean(images, REACH))
    assert shift_to_mean(images.bfloat16(), REACH).dtype == torch.bfloat16


def test_gradients_are_those_of_the_function():
    images = noise(1, 2, 8, 8, deviation=0.2).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: shift_to_mean(x, REACH), images)


@pytest.mark.parametrize("palette", [0, 5])
def test_a_generator_draws_with_it(palette):
    torch.manual_seed(0)
    plain = Generator(2, 32, 3, 8, 8, palette=palette).eval()
    flat = Generator(2, 32, 3, 8, 8, palette=palette, mean_shift=13).eval()
    flat.load_state_dict(plain.state_dict())  # there is nothing to learn
    z, ids = noise(4, 8), torch.tensor([0, 1, 1, 0])
    torch.testing.assert_close(flat(z, ids), shift_to_mean(plain(z, ids), 26 / 255))
    assert not torch.allclose(flat(z, ids), plain(z, ids), atol=1e-3)
