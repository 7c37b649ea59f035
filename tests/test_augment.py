"""Augmentations against brute force, and what all of them keep."""

import pytest
import torch
from torch import Tensor

from ganlab import augment

CHANGES = {
    change.__name__: change
    for change in (
        augment.random_flips,
        augment.brightness,
        augment.saturation,
        augment.contrast,
        augment.translation,
        augment.cutout,
        augment.diffaugment,
    )
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int = 8, channels: int = 3, size: int = 16, dtype=torch.float32) -> Tensor:
    x = torch.rand(n, channels, size, size, generator=seeded(99), dtype=torch.float64)
    return (2 * x - 1).to(dtype)


# All of them --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_and_dtype_are_kept(name, channels, dtype):
    x = pictures(channels=channels, dtype=dtype)
    y = CHANGES[name](x, seeded())
    assert y.shape == x.shape
    assert y.dtype == dtype


@pytest.mark.parametrize("name", CHANGES)
def test_the_given_pictures_are_left_as_they_were(name):
    x = pictures()
    CHANGES[name](x, seeded())
    assert torch.equal(x, pictures())


@pytest.mark.parametrize("name", CHANGES)
def test_chance_comes_from_the_generator_alone(name):
    before = torch.random.get_rng_state()
    one, same, other = (CHANGES[name](pictures(), seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("name", CHANGES)
def test_gradients_flow_through_as_they_should(name):
    x = pictures(n=2, size=8, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: CHANGES[name](x, seeded(3)), x)


@pytest.mark.parametrize("name", CHANGES)
def test_the_pictures_of_a_batch_are_changed_differently(name):
    y = CHANGES[name](pictures(1).repeat(64, 1, 1, 1), seeded())
    assert len(y.flatten(1).unique(dim=0)) >= 2


# Flips --------------------------------------------------------------------------------------


def test_flips_mirror_half_of_the_pictures_and_leave_the_others():
    n = 2000
    x = pictures(n, channels=1, size=4)
    y = augment.random_flips(x, seeded())
    kept = (y == x).flatten(1).all(1)
    mirrored = (y == x[:, :, :, [3, 2, 1, 0]]).flatten(1).all(1)
    assert (kept ^ mirrored).all()
    assert abs(mirrored.double().mean() - 0.5) < 4 * 0.5 / n**0.5


# Colours ------------------------------------------------------------------------------------


def spread_evenly(values: Tensor, low: float, high: float) -> bool:
    """Whether they are within the bounds and look like draws from all between them."""
    n, width = len(values), high - low
    middle, margin = (low + high) / 2, 4 * width / (12 * n) ** 0.5
    return (
        bool(((values >= low - 1e-5) & (values <= high + 1e-5)).all())
        and abs(values.mean() - middle) < margin
        and values.max() - values.min() > 0.97 * width
    )


def test_brightness_adds_one_number_to_all_of_a_picture():
    x = pictures(500, dtype=torch.float64)
    added = (augment.brightness(x, seeded()) - x).flatten(1)
    torch.testing.assert_close(added, added[:, :1].expand_as(added))
    assert spread_evenly(added[:, 0], -0.5, 0.5)


def test_saturation_scales_the_distance_to_grey():
    x = pictures(500, dtype=torch.float64)
    y = augment.saturation(x, seeded())
    torch.testing.assert_close(y.mean(1), x.mean(1))
    factor = (y[:, 0] - y[:, 1]) / (x[:, 0] - x[:, 1])
    torch.testing.assert_close(factor, factor[:, :1, :1].expand_as(factor))
    assert spread_evenly(factor[:, 0, 0], 0, 2)


def test_saturation_leaves_grey_pictures_as_they_are():
    grey = pictures(channels=1)
    assert torch.equal(augment.saturation(grey, seeded()), grey)
    in_colour = grey.repeat(1, 3, 1, 1)
    torch.testing.assert_close(augment.saturation(in_colour, seeded()), in_colour)


def test_contrast_scales_the_distance_to_the_mean():
    x = pictures(500, dtype=torch.float64)
    y = augment.contrast(x, seeded())
    torch.testing.assert_close(y.mean((1, 2, 3)), x.mean((1, 2, 3)))
    factor = y.flatten(1).std(1) / x.flatten(1).std(1)
    expected = x.mean((1, 2, 3), keepdim=True)
    expected = expected + (x - expected) * factor[:, None, None, None]
    torch.testing.assert_close(y, expected)
    assert spread_evenly(factor, 0.5, 1.5)


# Places -------------------------------------------------------------------------------------


def moved(picture: Tensor, dy: int, dx: int) -> Tensor:
    """Each pixel by hand; what comes in is 0."""
    h, w = picture.shape[1:]
    out = torch.zeros_like(picture)
    for y in range(h):
        for x in range(w):
            if 0 <= y + dy < h and 0 <= x + dx < w:
                out[:, y, x] = picture[:, y + dy, x + dx]
    return out


def test_translation_moves_by_any_whole_number_of_pixels_up_to_an_eighth():
    picture = pictures(1)[0]  # 16 px: up to 2 in each direction
    by_hand = {(dy, dx): moved(picture, dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)}
    seen = set()
    for y in augment.translation(picture.expand(400, -1, -1, -1), seeded()):
        matching = [offset for offset, other in by_hand.items() if torch.equal(y, other)]
        assert len(matching) == 1
        seen.update(matching)
    assert seen == set(by_hand)


def test_cutout_hides_a_square_of_half_the_side_or_what_of_it_is_inside():
    size, half = 16, 8
    x = pictures(600, size=size) + 2  # nowhere 0
    y = augment.cutout(x, seeded())
    hidden = (y == 0).all(1)
    assert torch.equal(y, torch.where(hidden[:, None], 0.0, x))
    whole = 0
    for mask in hidden:
        rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
        top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        assert mask[top:bottom, left:right].all()
        for low, high in ((top, bottom), (left, right)):
            inside = low > 0 and high < size
            assert high - low == half if inside else half // 2 <= high - low <= half
        whole += int(mask.sum() == half * half)
    assert whole > 100


def test_cutout_hides_every_place_sometimes():
    y = augment.cutout(torch.ones(600, 1, 16, 16), seeded())
    share = (y == 0).double().mean(0)
    assert share.min() > 0.05  # 5 of 17 places in each direction: 0.087


# DiffAugment as a whole ---------------------------------------------------------------------


def test_with_p_some_pictures_stay_as_they_are_and_the_others_change_in_every_way():
    x = torch.full((400, 3, 16, 16), 0.25)
    y = augment.diffaugment(x, seeded(), p=0.3)
    stayed = [torch.equal(before, after) for before, after in zip(x, y, strict=True)]
    assert sum(stayed) == pytest.approx(280, abs=4 * (400 * 0.3 * 0.7) ** 0.5)  # 4 sigmas
    for changed in (picture for picture, same in zip(y, stayed, strict=True) if not same):
        colours = changed.unique().tolist()
        assert len(colours) == 2 and 0.0 in colours  # of a flat picture: one, and what is hidden
        assert 0.25 not in colours


def test_p_of_one_is_the_published_augmentation():
    x = torch.rand(8, 3, 16, 16, generator=seeded()) * 2 - 1
    by_hand, rng = x, seeded()
    for change in augment.CHANGES:
        by_hand = change(by_hand, rng)
    assert torch.equal(augment.diffaugment(x, seeded(), p=1.0), by_hand)
    assert not any(map(torch.equal, by_hand, x))
