"""Losses against their formulas, written with log and sigmoid in doubles; penalties on slopes."""

import pytest
import torch
from torch import Tensor

from ganlab.losses import LOSSES, squared_slope


def logits(n: int = 64, spread: float = 3.0) -> tuple[Tensor, Tensor]:
    """Some for real and some for generated pictures."""
    rng = torch.Generator().manual_seed(0)
    real, fake = spread * torch.randn(2, n, generator=rng, dtype=torch.float64)
    return real + 0.5, fake - 0.5


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + (-x).exp())


def positive(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.0)


def bce(real: Tensor, fake: Tensor) -> Tensor:
    return -sigmoid(real).log().mean() - (1 - sigmoid(fake)).log().mean()


FORMULAS_D = {
    "relativistic": lambda real, fake: -sigmoid(real - fake).log().mean(),
    "non-saturating": bce,
    "minimax": bce,
    "hinge": lambda real, fake: positive(1 - real).mean() + positive(1 + fake).mean(),
    "wasserstein": lambda real, fake: -(real.mean() - fake.mean()),
}
FORMULAS_G = {
    "relativistic": lambda real, fake: -sigmoid(fake - real).log().mean(),
    "non-saturating": lambda real, fake: -sigmoid(fake).log().mean(),
    "minimax": lambda real, fake: (1 - sigmoid(fake)).log().mean(),
    "hinge": lambda real, fake: -fake.mean(),
    "wasserstein": lambda real, fake: -fake.mean(),
}


def test_every_loss_has_its_formulas_here():
    assert set(LOSSES) == set(FORMULAS_D) == set(FORMULAS_G)


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_of_d_follows_its_formula(name):
    torch.testing.assert_close(LOSSES[name].d(*logits()), FORMULAS_D[name](*logits()))


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_of_g_follows_its_formula(name):
    torch.testing.assert_close(LOSSES[name].g(*logits()), FORMULAS_G[name](*logits()))


@pytest.mark.parametrize("name", LOSSES)
def test_losses_stay_finite_for_a_d_that_is_as_sure_as_it_gets(name):
    sure, unsure = torch.full((4,), 1e4), torch.full((4,), -1e4)
    for real, fake in [(sure, unsure), (unsure, sure)]:
        assert LOSSES[name].d(real, fake).isfinite()
        assert LOSSES[name].g(real, fake).isfinite()


def slopes(loss, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """d loss / d logit, for each of them."""
    real, fake = real.clone().requires_grad_(), fake.clone().requires_grad_()
    loss(real, fake).backward()
    return tuple(torch.zeros_like(x) if x.grad is None else x.grad for x in (real, fake))


@pytest.mark.parametrize("name", LOSSES)
def test_g_lowers_its_loss_by_raising_the_score_of_each_of_its_pictures(name):
    _, of_fake = slopes(LOSSES[name].g, *logits())
    assert (of_fake < 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_d_lowers_its_loss_by_telling_real_from_generated(name):
    real, fake = logits(spread=0.1)  # within hinge's margin
    of_real, of_fake = slopes(LOSSES[name].d, real, fake)
    assert (of_real < 0).all()
    assert (of_fake > 0).all()


def test_hinge_leaves_alone_what_is_beyond_the_margin():
    real, fake = torch.tensor([0.9, 1.1]), torch.tensor([-1.1, -0.9])
    of_real, of_fake = slopes(LOSSES["hinge"].d, real, fake)
    assert of_real.tolist() == [-0.5, 0.0]
    assert of_fake.tolist() == [0.0, 0.5]


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_of_g_depends_on_real_pictures_where_it_says_so(name):
    of_real, _ = slopes(LOSSES[name].g, *logits())
    assert bool((of_real != 0).any()) == LOSSES[name].g_sees_real


@pytest.mark.parametrize("name", LOSSES)
def test_only_differences_of_logits_count_where_it_says_so(name):
    real, fake = logits()
    before, after = LOSSES[name].d(real, fake), LOSSES[name].d(real + 7, fake + 7)
    assert torch.allclose(before, after) == LOSSES[name].shift_free


def test_minimax_saturates_where_non_saturating_still_pulls():
    fake = torch.tensor([-20.0], dtype=torch.float64)  # D is sure that it is generated
    _, saturated = slopes(LOSSES["minimax"].g, fake, fake)
    _, pulling = slopes(LOSSES["non-saturating"].g, fake, fake)
    torch.testing.assert_close(saturated, -sigmoid(fake))  # 2e-9
    torch.testing.assert_close(pulling, -sigmoid(-fake))  # 1


def test_minimax_and_non_saturating_pull_alike_while_d_is_undecided():
    fake = torch.zeros(1, dtype=torch.float64)
    _, one = slopes(LOSSES["minimax"].g, fake, fake)
    _, other = slopes(LOSSES["non-saturating"].g, fake, fake)
    assert one.item() == other.item() == -0.5


def pictures() -> Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(5, 3, 4, 4, generator=rng, dtype=torch.float64).requires_grad_()


def test_the_squared_slope_of_a_plane_is_its_weights_squared_norm():
    x, w = pictures(), torch.arange(48, dtype=torch.float64).view(3, 4, 4)
    slope = squared_slope(x, (w * x).sum(dim=(1, 2, 3)))
    assert slope.shape == (5,)
    assert slope.tolist() == [float(sum(i * i for i in range(48)))] * 5


def test_the_squared_slope_of_a_quadratic_is_that_of_each_picture_alone():
    x, a = pictures(), torch.tensor(3.0, dtype=torch.float64)
    slope = squared_slope(x, (a / 2 * x**2).sum(dim=(1, 2, 3)))  # D(x) = a/2 ||x||^2
    expected = 9 * (x.detach() ** 2).sum(dim=(1, 2, 3))
    torch.testing.assert_close(slope, expected, check_dtype=False)


def test_the_squared_slope_can_be_trained_on():
    x, a = pictures(), torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    squared_slope(x, (a / 2 * x**2).sum(dim=(1, 2, 3))).sum().backward()
    # d/da of a^2 ||x||^2
    expected = 2 * 3 * (x.detach() ** 2).sum()
    torch.testing.assert_close(a.grad, expected, check_dtype=False, rtol=1e-6, atol=0)
