"""The classics have the layers of the literature."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from ganlab.models.classic import (
    DcganDiscriminator,
    DcganGenerator,
    MlpDiscriminator,
    MlpGenerator,
)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_dcgan_at_64_pixels_has_the_parameters_of_the_well_known_example():
    assert count(DcganGenerator(64, 3)) == 3_576_704
    assert count(DcganDiscriminator(64, 3)) == 2_765_568


@pytest.mark.parametrize("width", [8, 64])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [32, 64])
def test_dcgan_has_4x4_kernels_and_doubles_its_channels_at_each_halving(size, channels, width):
    factors = [1, 2, 4] if size == 32 else [1, 2, 4, 8]
    widths = [factor * width for factor in factors]
    inner = sum(16 * a * b for a, b in pairwise(widths))
    norms = sum(2 * w for w in widths)
    of_g = 16 * 100 * widths[-1] + inner + 16 * width * channels + norms
    of_d = 16 * channels * width + inner + 16 * widths[-1] + norms - 2 * width
    assert count(DcganGenerator(size, channels, 100, width)) == of_g
    assert count(DcganDiscriminator(size, channels, width)) == of_d


def test_dcgan_starts_from_the_published_distributions():
    torch.manual_seed(0)
    for network in (DcganGenerator(64, 3), DcganDiscriminator(64, 3)):
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                n = module.weight.numel()
                assert module.weight.std().item() == pytest.approx(0.02, rel=4 / (2 * n) ** 0.5)
                assert module.weight.mean().abs() < 4 * 0.02 / n**0.5
            elif isinstance(module, nn.BatchNorm2d):
                assert module.weight.mean().item() == pytest.approx(1, abs=0.01)
                assert 0.01 < module.weight.std() < 0.03
                assert (module.bias == 0).all()


def test_dcgan_has_no_norm_in_the_first_block_of_d():
    first, second, third, fourth, *_ = DcganDiscriminator(64, 3).layers
    assert [type(first), type(second)] == [nn.Conv2d, nn.LeakyReLU]
    assert [type(third), type(fourth)] == [nn.Conv2d, nn.BatchNorm2d]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [32, 64])
def test_the_mlp_gan_has_the_layers_that_courses_teach(size, channels):
    pixels = channels * size * size

    def linear(a: int, b: int) -> int:
        return a * b + b

    of_g = linear(100, 128) + linear(128, 256) + linear(256, 512) + linear(512, 1024)
    of_g += 2 * (256 + 512 + 1024) + linear(1024, pixels)  # norms in all layers but the first
    of_d = linear(pixels, 512) + linear(512, 256) + linear(256, 1)
    assert count(MlpGenerator(size, channels)) == of_g
    assert count(MlpDiscriminator(size, channels)) == of_d


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("kind", ["dcgan", "mlp"])
def test_they_draw_and_judge_pictures_whatever_the_task_ids(kind, size, channels):
    torch.manual_seed(0)
    if kind == "dcgan":
        generator = DcganGenerator(size, channels, 10, 8)
        discriminator = DcganDiscriminator(size, channels, 8)
    else:
        generator = MlpGenerator(size, channels, 10)
        discriminator = MlpDiscriminator(size, channels)
    generator.eval(), discriminator.eval()
    z, tasks = torch.randn(5, 10), torch.arange(5)
    pictures = generator(z, tasks)
    assert pictures.shape == (5, channels, size, size)
    assert pictures.abs().max() <= 1
    assert torch.equal(pictures, generator(z, tasks.flip(0)))
    logits = discriminator(pictures, tasks)
    assert logits.shape == (5,)
    assert torch.equal(logits, discriminator(pictures, tasks.flip(0)))


def test_an_mlp_picture_is_laid_out_channel_by_channel_and_row_by_row():
    generator = MlpGenerator(32, 3, 10).eval()
    *_, last, _ = generator.layers
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.arange(3 * 32 * 32) / 3072)
    picture = generator(torch.randn(1, 10))[0]
    y, x = 5, 7
    for channel in range(3):
        place = channel * 1024 + y * 32 + x
        assert picture[channel, y, x].item() == pytest.approx(torch.tanh(last.bias[place]).item())
