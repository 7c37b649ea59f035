"""Blends: the rules that any mix of heads or generators keeps."""

import math

import pytest
import torch
from sources import small_source

from ganlab import sampling
from ganlab.blending import interpolate, task_weights

Z = sampling.latents(4, 8, 1)


def test_weights_sum_to_one_whatever_the_scale() -> None:
    for scale in (1e-300, 1e-3, 1.0, 100.0, 1e300):
        weights = task_weights([3 * scale, 0.0, scale])
        assert torch.allclose(weights, torch.tensor([0.75, 0.0, 0.25]))


@pytest.mark.parametrize("shares", [[-1, 2], [math.nan, 1], [math.inf, 1]])
def test_what_cannot_be_a_share_is_refused(shares: list[float]) -> None:
    with pytest.raises(ValueError, match="from 0 upwards"):
        task_weights(shares)


@pytest.mark.parametrize("shares", [[], [0.0], [0, 0, 0]])
def test_something_has_to_be_mixed(shares: list[float]) -> None:
    with pytest.raises(ValueError, match="above zero"):
        task_weights(shares)


def test_all_of_one_generator_is_that_generator_exactly() -> None:
    first = small_source(tasks=("a",)).build()
    second = small_source(tasks=("a",)).build()
    for value in second.state_dict().values():
        value.add_(0.05)
    one = torch.ones(1)
    for weights, alone in (([1, 0], first), ([0, 1], second)):
        mixed = interpolate([first, second], task_weights(weights))
        assert (sampling.sample(mixed, Z, one) == sampling.sample(alone, Z, one)).all()
        assert all(torch.equal(a, b) for a, b in zip(
            mixed.state_dict().values(), alone.state_dict().values(), strict=True
        ))  # fmt: skip


def test_a_mix_lies_on_the_line_between_and_changes_neither_end() -> None:
    first, second = small_source(tasks=("a",)).build(), small_source(tasks=("a",)).build()
    for value in second.state_dict().values():
        value.add_(1.0)
    before = [value.clone() for value in first.state_dict().values()]
    mixed = interpolate([first, second], task_weights([1, 3]))
    for old, now in zip(before, mixed.state_dict().values(), strict=True):
        assert torch.allclose(now, old + 0.75, atol=1e-5)
    assert all(map(torch.equal, before, first.state_dict().values()))
    assert not mixed.training


def test_the_average_of_equal_generators_is_that_generator() -> None:
    alone = small_source(tasks=("a",)).build()
    mixed = interpolate([alone, small_source(tasks=("a",)).build()], task_weights([2, 1]))
    for a, b in zip(alone.state_dict().values(), mixed.state_dict().values(), strict=True):
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-7)
