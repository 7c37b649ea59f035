"""A latent is found again by its sample."""

import numpy as np
import pytest
import torch
from sources import small_source

from ganlab import projection, sampling
from ganlab.config import ModelConfig
from ganlab.models import features
from ganlab.projection import Found, Step, project


@pytest.fixture(scope="module")
def small() -> tuple[torch.nn.Module, ModelConfig]:
    source = small_source()
    return source.build(), source.config


@pytest.fixture(autouse=True)
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "SAMPLES", 32)
    monkeypatch.setattr(projection, "LEAST_SAMPLES", 16)
    monkeypatch.setattr(projection, "STARTS", 2)


def sample_of(small: tuple, head: int, seed: int = 99) -> np.ndarray:
    generator, config = small
    z = sampling.latents(1, config.z_dim, seed)
    return sampling.sample(generator, z, torch.tensor([head]))[0]


def test_a_sample_of_its_own_comes_back_with_its_head(small):
    generator, config = small
    picture = sample_of(small, 1)
    steps: list[Step] = []
    found = project(generator, config, picture, steps=40, on_step=steps.append)
    assert found.head == config.tasks[1]
    nearest = next(step.best for step in steps if step.best)
    assert found.distance < 0.5 * nearest.distance and found.in_pixels < 0.3
    again = sampling.sample(generator, found.z, torch.tensor([1]))[0]
    assert np.abs(again.astype(int) - found.pixels).max() <= 1
    shares = [step.done for step in steps]
    assert shares == sorted(shares) and shares[-1] == 1


def test_a_chosen_head_draws_it_though_another_could_do_better(small):
    found = project(*small, sample_of(small, 1), head="a", steps=2)
    assert found.head == "a"


def test_a_seed_gives_the_same_latent_again_and_the_generator_stays_as_it_is(small):
    generator, config = small
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    found = [project(generator, config, sample_of(small, 0), steps=5, seed=s) for s in (1, 1, 2)]
    assert torch.allclose(found[0].z, found[1].z, atol=0.05)  # BLAS rounds by where memory lies
    assert not torch.allclose(found[0].z, found[2].z, atol=0.05)
    for name, value in generator.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.grad is None for parameter in generator.parameters())


def test_it_stops_when_asked_with_what_it_has(small):
    picture = sample_of(small, 0)
    assert project(*small, picture, should_stop=lambda: True) is None
    seen: list[Step] = []
    found = project(
        *small,
        picture,
        on_step=seen.append,
        should_stop=lambda: bool(seen) and seen[-1].best is not None,
    )
    assert isinstance(found, Found)
    assert sum(step.best is not None for step in seen) == 1


@pytest.mark.parametrize("value", [0, 255])
def test_a_picture_of_one_colour_has_a_nearest_sample_too(small, value):
    found = project(*small, np.full((32, 32, 3), value, np.uint8), steps=3)
    assert np.isfinite(found.distance) and found.z.isfinite().all()


def test_a_grey_generator_takes_grey_pictures():
    source = small_source(tasks=("ink",), channels=1)
    found = project(source.build(), source.config, np.zeros((32, 32, 1), np.uint8), steps=3)
    assert found.pixels.shape == (32, 32, 1)


def test_pictures_and_heads_that_do_not_fit_are_refused(small):
    for shape, kind in (((32, 32, 1), np.uint8), ((16, 16, 3), np.uint8), ((32, 32, 3), float)):
        with pytest.raises(ValueError, match="this generator draws"):
            project(*small, np.zeros(shape, kind))
    with pytest.raises(ValueError, match="no head 'c': choose from a, b"):
        project(*small, sample_of(small, 0), head="c")


def test_gradients_flow_through_flat_colours_and_features():
    source = small_source(palette=4, mean_shift=30)
    generator = source.build()
    z = sampling.latents(2, 8, 0).requires_grad_()
    seen, maps = features.with_maps(generator(z, torch.tensor([0, 1])), (2,))
    (gradient,) = torch.autograd.grad(seen.square().sum() + maps[0].square().sum(), z)
    assert gradient.isfinite().all() and (gradient.abs().sum(1) > 0).all()
    step = 1e-2 * gradient / gradient.norm(dim=1, keepdim=True)
    with torch.no_grad():
        moved = features.with_maps(generator(z + step, torch.tensor([0, 1])), (2,))
    assert moved[0].square().sum() + moved[1][0].square().sum() > (
        seen.square().sum() + maps[0].square().sum()
    )


def test_features_with_maps_are_those_that_are_extracted():
    images = torch.randint(0, 256, (3, 1, 32, 32), dtype=torch.uint8)
    seen, maps = features.with_maps(sampling.from_uint8(images), (0, 4))
    assert torch.allclose(seen, features.extract(images), atol=1e-3)
    assert [tuple(each.shape) for each in maps] == [(3, 16, 32, 32), (3, 40, 8, 8)]
