"""Seeds, batches, pixels and grids."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, JpegImagePlugin

from ganlab import sampling
from ganlab.models.generator import Generator


@pytest.fixture
def generator() -> Generator:
    """Two heads that differ, in eval mode."""
    torch.manual_seed(0)
    generator = Generator(2, 32, 3, 8, 8).eval()
    for norm in generator.norms:
        torch.nn.init.normal_(norm.scale, 1, 0.3)
    return generator


# Seeds --------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_latents_and_another_seed_others():
    one = sampling.latents(4, 8, seed=1)
    assert one.shape == (4, 8)
    assert torch.equal(one, sampling.latents(4, 8, seed=1))
    assert not torch.equal(one, sampling.latents(4, 8, seed=2))


def test_latents_are_standard_normal():
    z = sampling.latents(200, 50, seed=3).double()
    assert z.mean().abs() < 4 / 100
    assert (z.std() - 1).abs() < 4 / (2 * 10_000) ** 0.5


def test_latents_leave_the_dice_of_everyone_else_alone():
    before = torch.random.get_rng_state()
    sampling.latents(4, 8, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_tasks_are_taken_in_turn():
    assert sampling.spread_tasks(7, 3).tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert sampling.spread_tasks(2, 5).tolist() == [0, 1]


# Samples ------------------------------------------------------------------------------------


def test_a_frozen_seed_gives_equal_samples(generator):
    first, again, other = (
        sampling.sample(generator, sampling.latents(5, 8, seed), torch.arange(5) % 2)
        for seed in (1, 1, 2)
    )
    assert first.shape == (5, 32, 32, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_samples_do_not_depend_on_the_batch_size(generator, batch_size):
    z, tasks = sampling.latents(7, 8, 1), torch.arange(7) % 2
    whole = sampling.sample(generator, z, tasks, batch_size=7).astype(int)
    parts = sampling.sample(generator, z, tasks, batch_size=batch_size).astype(int)
    assert abs(whole - parts).max() <= 1  # of 255: sums may be taken in another order


def test_samples_are_the_pictures_of_the_generator_in_order(generator):
    z, tasks = sampling.latents(5, 8, 1), torch.tensor([1, 0, 0, 1, 1])
    pixels = sampling.sample(generator, z, tasks, batch_size=2)
    with torch.no_grad():
        for i in range(5):
            picture = generator(z[i : i + 1], tasks[i : i + 1])[0]
            expected = ((picture.permute(1, 2, 0).double() + 1) * 127.5).numpy()
            assert abs(pixels[i] - expected).max() <= 0.501


@pytest.mark.parametrize("shape", [(2,), (3, 2)])
def test_task_weights_count_for_all_samples_in_every_batch(generator, shape):
    z, weights = sampling.latents(5, 8, 1), torch.zeros(shape)
    weights[..., 1] = 1
    by_weights = sampling.sample(generator, z, weights, batch_size=2).astype(int)
    by_ids = sampling.sample(generator, z, torch.ones(5, dtype=torch.long)).astype(int)
    assert abs(by_weights - by_ids).max() <= 1


def test_sampling_changes_nothing_about_the_generator_or_the_dice(generator):
    before = {key: value.clone() for key, value in generator.state_dict().items()}
    dice = torch.random.get_rng_state()
    sampling.sample(generator, sampling.latents(5, 8, 1), torch.arange(5) % 2)
    assert all(torch.equal(value, before[key]) for key, value in generator.state_dict().items())
    assert all(parameter.requires_grad for parameter in generator.parameters())
    assert not generator.training
    assert torch.equal(torch.random.get_rng_state(), dice)


def test_a_generator_in_training_mode_is_not_sampled(generator):
    with pytest.raises(AssertionError):
        sampling.sample(generator.train(), sampling.latents(2, 8, 1), torch.arange(2))


def test_lower_precision_draws_nearly_the_same_pictures(generator):
    z, tasks = sampling.latents(5, 8, 1), torch.arange(5) % 2
    exact = sampling.sample(generator, z, tasks).astype(int)
    rough = sampling.sample(
        generator, z, tasks, autocast=lambda: torch.autocast("cpu", torch.bfloat16)
    ).astype(int)
    assert 0 < abs(exact - rough).mean() < 3


# Pixels -------------------------------------------------------------------------------------


def test_all_256_values_survive_the_way_to_floats_and_back():
    values = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    floats = sampling.from_uint8(values)
    assert (floats.min(), floats.max()) == (-1, 1)
    assert torch.equal(sampling.to_uint8(floats), values)


def test_floats_are_rounded_and_those_out_of_range_are_clipped():
    floats = torch.tensor([-9.0, -1.0, -1 + 0.6 / 127.5, 0.999, 1.0, 9.0])
    assert sampling.to_uint8(floats).tolist() == [0, 0, 1, 255, 255, 255]


def test_turning_pixels_into_floats_leaves_the_pixels_alone():
    values = torch.arange(12, dtype=torch.uint8).view(1, 3, 2, 2)
    assert sampling.from_uint8(values).is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(values, torch.arange(12, dtype=torch.uint8).view(1, 3, 2, 2))


# Grids and files ----------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("n", "columns"), [(1, 1), (6, 3), (7, 3), (2, 4)])
def test_a_grid_is_filled_row_by_row_and_ends_black(n, columns, channels):
    h, w = 2, 3
    rng = np.random.default_rng(0)
    pictures = rng.integers(1, 256, (n, h, w, channels), np.uint8)
    grid = sampling.grid(pictures, columns)
    rows = (n + columns - 1) // columns
    assert grid.shape == (rows * h, columns * w, channels)
    for y in range(rows * h):
        for x in range(columns * w):
            i = (y // h) * columns + x // w
            expected = pictures[i, y % h, x % w] if i < n else np.zeros(channels)
            assert (grid[y, x] == expected).all()


def smooth(channels: int) -> np.ndarray:
    y, x = np.mgrid[0:64, 0:96]
    planes = [2 * y, 2 * x, 255 - x - y][:channels]
    return np.stack(planes, axis=2).astype(np.uint8)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_jpeg_can_be_read_again(channels, mode):
    picture = Image.open(io.BytesIO(sampling.to_jpeg(smooth(channels))))
    assert (picture.format, picture.mode, picture.size) == ("JPEG", mode, (96, 64))
    pixels = np.asarray(picture).reshape(64, 96, channels).astype(int)
    assert abs(pixels - smooth(channels)).mean() < 2


def test_a_jpeg_keeps_the_colours_of_single_pixels():
    picture = Image.open(io.BytesIO(sampling.to_jpeg(smooth(3))))
    assert JpegImagePlugin.get_sampling(picture) == 0  # 4:4:4


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_an_image_has_exactly_the_pixels_it_was_made_of(channels, mode):
    image = sampling.to_image(smooth(channels))
    assert image.mode == mode
    assert np.array_equal(np.asarray(image).reshape(64, 96, channels), smooth(channels))


@pytest.mark.parametrize("z_dim", [1, 7, 100, 128])
def test_the_latents_of_fewer_are_the_first_of_more(z_dim):
    many = sampling.latents(50, z_dim, seed=3)
    for n in (1, 2, 3, 17, 49):
        assert torch.equal(sampling.latents(n, z_dim, seed=3), many[:n])
