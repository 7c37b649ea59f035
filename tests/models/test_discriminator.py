"""The Discriminator: one logit per task, and how steep spectral norm lets it be."""

import pytest
import torch
from torch import Tensor

from ganlab.models.discriminator import Discriminator


def pictures(n: int = 6, channels: int = 3, size: int = 32) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return 2 * torch.rand(n, channels, size, size, generator=rng) - 1


def make(**changes) -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(**{"n_tasks": 3, "size": 32, "width": 8, **changes})


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [32, 64])
def test_it_gives_one_logit_per_picture_neither_huge_nor_all_equal(size, channels):
    discriminator = make(size=size, channels=channels)
    logits = discriminator(pictures(32, channels, size), torch.arange(32) % 3)
    assert logits.shape == (32,)
    assert logits.abs().max() < 10
    assert logits.std() > 0.01


def test_each_picture_is_judged_by_the_logit_of_its_task():
    discriminator = make()
    with torch.no_grad():
        discriminator.logits.weight.zero_()
        discriminator.logits.bias.copy_(torch.tensor([10.0, 20.0, 30.0]))
    tasks = torch.tensor([2, 0, 1, 1, 0, 2])
    assert discriminator(pictures(), tasks).tolist() == [30, 10, 20, 20, 10, 30]


def test_a_batch_of_mixed_tasks_is_judged_like_each_task_alone():
    discriminator = make().double()
    x, tasks = pictures().double(), torch.tensor([2, 0, 1, 1, 0, 2])
    together = discriminator(x, tasks)
    for task in range(3):
        rows = tasks == task
        alone = discriminator(x[rows], tasks[rows])
        torch.testing.assert_close(together[rows], alone, rtol=0, atol=1e-13)


def test_gradients_reach_only_the_logits_that_the_batch_uses():
    discriminator = make()
    discriminator(pictures(), torch.tensor([0, 2, 0, 2, 2, 0])).sum().backward()
    used = discriminator.logits.weight.grad.abs().sum(1) > 0
    assert used.tolist() == [True, False, True]
    assert all(down.weight.grad.abs().sum() > 0 for down in discriminator.downs)


def norms(discriminator: Discriminator) -> list[float]:
    """The largest singular value of each layer's matrix (out, all that goes in)."""
    layers = [*discriminator.downs, discriminator.logits]
    return [torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() for layer in layers]


def test_spectral_norm_brings_every_layer_to_a_largest_singular_value_of_one():
    discriminator = make(spectral_norm=True)
    with torch.no_grad():  # as if training had made the layers steep, in new directions
        for layer in [*discriminator.downs, discriminator.logits]:
            layer.parametrizations.weight.original.normal_(0, 1)
        for _ in range(30):
            discriminator(pictures(), torch.zeros(6, dtype=torch.long))
    discriminator.eval()  # else looking at a weight would be one more step of the estimate
    originals = [
        torch.linalg.matrix_norm(layer.parametrizations.weight.original.flatten(1), 2).item()
        for layer in [*discriminator.downs, discriminator.logits]
    ]
    assert min(originals) > 5
    assert norms(discriminator) == pytest.approx([1.0] * len(originals), abs=0.05)


def test_without_spectral_norm_layers_are_as_steep_as_they_are():
    assert min(norms(make())[:-1]) > 1.05


@pytest.mark.parametrize("spectral_norm", [False, True])
def test_the_slope_can_be_penalised(spectral_norm):
    discriminator = make(spectral_norm=spectral_norm)
    x = pictures().requires_grad_()
    logits = discriminator(x, torch.zeros(6, dtype=torch.long))
    (slope,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    slope.square().sum().backward()
    for name, parameter in discriminator.named_parameters():
        if "bias" not in name:  # a shift has no slope
            assert parameter.grad.isfinite().all()
            assert parameter.grad.abs().sum() > 0


@pytest.mark.parametrize(("size", "factors"), [(32, [1, 2, 4]), (64, [1, 2, 4, 4])])
def test_its_channels_mirror_those_of_the_generator(size, factors):
    discriminator = make(size=size)
    assert [down.out_channels for down in discriminator.downs] == [8 * f for f in factors]
    assert discriminator.logits.in_features == 8 * factors[-1] * 16
