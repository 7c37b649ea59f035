"""Building networks from a ModelConfig."""

from dataclasses import replace

import pytest
import torch

from ganlab.config import ModelConfig, TrainConfig
from ganlab.models import HAS_HEADS, build_discriminator, build_generator


def config(architecture: str, tasks: tuple[str, ...], **changes) -> ModelConfig:
    settings = {"size": 32, "channels": 1, "z_dim": 12, "width": 8, **changes}
    return ModelConfig(architecture=architecture, tasks=tasks, **settings)


def test_every_architecture_that_can_be_chosen_is_known_to_have_heads_or_not():
    fields = TrainConfig.__dataclass_fields__
    assert set(HAS_HEADS) == set(fields["architecture"].metadata["choices"])


@pytest.mark.parametrize("architecture", HAS_HEADS)
def test_generator_and_discriminator_fit_together(architecture):
    tasks = ("a", "b", "c") if HAS_HEADS[architecture] else ("a",)
    model = config(architecture, tasks)
    generator, discriminator = build_generator(model), build_discriminator(model)
    ids = torch.arange(6) % len(tasks)
    assert generator.n_tasks == len(tasks)
    assert generator.z_dim == 12
    assert discriminator(generator(torch.randn(6, 12), ids), ids).shape == (6,)


def test_the_settings_of_the_config_reach_the_networks():
    model = config("multihead", ("a", "b"), head_depth=1, spectral_norm=True)
    model = replace(model, z_in_blocks=True, full_size_width=6)
    generator = build_generator(model)
    assert len(generator.last.weight) == 2
    assert len(generator.styles) == generator.n_blocks == 4
    assert generator.norms[-1].scale.shape == (2, 6)
    assert hasattr(build_discriminator(model).downs[0], "parametrizations")
    plain = config("multihead", ("a", "b"))
    assert len(build_generator(plain).last.weight) == 1
    assert build_generator(plain).styles is None
    assert build_generator(plain).n_blocks == 3
    assert not hasattr(build_discriminator(plain).downs[0], "parametrizations")


def test_the_classics_are_built_in_the_width_that_was_asked_for():
    model = config("dcgan", ("a",), width=16)
    assert build_generator(model).layers[0].weight.shape == (12, 64, 4, 4)
    assert build_discriminator(model).layers[0].weight.shape == (16, 1, 4, 4)
