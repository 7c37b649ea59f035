"""KID, FID, precision and recall against formulas in numpy, loops over pairs, and `prdc`."""

import math

import numpy as np
import prdc
import pytest
import torch
from clouds import normal, pair
from torch import Tensor

from ganlab import metrics

# KID


def kid_in_loops(real: Tensor, fake: Tensor) -> float:
    x, y = real.numpy(), fake.numpy()

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return (sum(p * q for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3

    def within(x: np.ndarray) -> float:
        n = len(x)
        pairs = [kernel(x[i], x[j]) for i in range(n) for j in range(n) if i != j]
        return sum(pairs) / len(pairs)

    across = [kernel(a, b) for a in x for b in y]
    return within(x) + within(y) - 2 * sum(across) / len(across)


@pytest.mark.parametrize(("n", "m", "d"), [(4, 4, 1), (7, 5, 3), (6, 9, 12), (5, 30, 2)])
def test_kid_is_what_loops_over_all_pairs_give(n, m, d):
    real, fake = pair(n, m, d)
    assert metrics.kid(real, fake).value == pytest.approx(kid_in_loops(real, fake), rel=1e-9)


@pytest.mark.parametrize("d", [1, 16])
def test_kid_of_two_points(d):
    """All real pictures at 0, all generated ones at c: 1 + (c² + 1)³ - 2, in any dimension."""
    value, std = metrics.kid(torch.zeros(6, d), torch.full((9, d), 2.0))
    assert value == pytest.approx(1 + 5**3 - 2)
    assert std == pytest.approx(0, abs=1e-9)


def test_kid_of_one_distribution_is_zero_on_average_and_sometimes_negative():
    values = np.array(
        [metrics.kid(normal(8, 4, i), normal(12, 4, 500 + i), 2)[0] for i in range(400)]
    )
    assert abs(values.mean()) < 4 * values.std() / math.sqrt(len(values))
    assert 100 < (values < 0).sum() < 300


def test_kid_estimates_the_distance_of_two_gaussians_however_few_the_pictures():
    """N(0, 1) and N(1, 1): E(xx' + 1)³ is 4 and 32 within them and 7 across, which makes 22."""
    for n in (6, 40):
        draws = 4000 // n
        values = np.array(
            [metrics.kid(normal(n, 1, i), normal(n, 1, 9000 + i) + 1, 2)[0] for i in range(draws)]
        )
        error = values.std() / math.sqrt(draws)
        assert error < 4
        assert abs(values.mean() - 22) < 4 * error


def test_kid_does_not_depend_on_order_or_roles():
    real, fake = pair(40, 30, 8)
    value = metrics.kid(real, fake).value
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    assert metrics.kid(real[order], fake.flip(0)).value == pytest.approx(value, rel=1e-9)
    assert metrics.kid(fake, real).value == pytest.approx(value, rel=1e-9)


def test_the_std_of_kid_is_that_over_random_halves():
    real, fake = pair(24, 31, 6)
    rng = np.random.default_rng(0)

    def half(x: Tensor) -> Tensor:
        return x[rng.permutation(len(x))[: len(x) // 2]]

    values = [metrics.kid(half(real), half(fake), 2).value for _ in range(1500)]
    assert metrics.kid(real, fake, 1500).std == pytest.approx(np.std(values), rel=0.1)


def test_the_std_of_kid_is_the_same_every_time_and_leaves_the_global_seed_alone():
    torch.manual_seed(1)
    first, state = metrics.kid(*pair(30, 30, 6)), torch.get_rng_state()
    torch.manual_seed(2)
    assert metrics.kid(*pair(30, 30, 6)) == first
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_std_of_kid_shrinks_with_more_pictures():
    stds = [metrics.kid(*pair(n, n, 6)).std for n in (20, 200, 2000)]
    assert stds[0] > 2 * stds[1] > 4 * stds[2] > 0


# FID


def fitted(n: int, mean: np.ndarray, root: np.ndarray, seed: int = 0) -> Tensor:
    """n rows with exactly this sample mean, and root rootᵀ as their sample covariance."""
    x = normal(n, root.shape[1], seed).numpy()
    white = np.linalg.qr(x - x.mean(0))[0] * np.sqrt(n - 1)
    rows = white @ root.T + mean
    np.testing.assert_allclose(rows.mean(0), mean, atol=1e-9)
    np.testing.assert_allclose(np.cov(rows.T), root @ root.T, atol=1e-9)
    return torch.from_numpy(rows)


def rotation(d: int) -> np.ndarray:
    return np.linalg.qr(normal(d, d, 7).numpy())[0]


MEANS = np.array([1.0, 0.0, -2.0, 0.5, 3.0]), np.array([0.0, 1.0, -2.0, 1.0, 1.0])
STDS = np.array([1.0, 2.0, 3.0, 0.5, 0.0]), np.array([2.0, 0.0, 1.0, 0.5, 4.0])


@pytest.mark.parametrize(("n", "m"), [(50, 50), (6, 80), (80, 6)])
@pytest.mark.parametrize("axes", [np.eye(5), rotation(5)], ids=["along the axes", "turned"])
def test_fid_of_gaussians_with_common_axes(n, m, axes):
    """|μ₁ - μ₂|² + Σ(σ₁ - σ₂)²."""
    real = fitted(n, MEANS[0], axes * STDS[0])
    fake = fitted(m, MEANS[1], axes * STDS[1], seed=1)
    expected = ((MEANS[0] - MEANS[1]) ** 2).sum() + ((STDS[0] - STDS[1]) ** 2).sum()
    assert metrics.fid(real, fake) == pytest.approx(expected, rel=1e-6)


def test_fid_of_few_pictures_in_many_dimensions():
    """Where the two vary in directions that have nothing in common, their variances add up."""
    axes = rotation(40)
    real = fitted(4, axes[0], axes[:, :3] * [1, 2, 3])
    fake = fitted(6, axes[1], axes[:, 3:8] * [1, 1, 2, 2, 1], seed=1)
    assert metrics.fid(real, fake) == pytest.approx(2 + 14 + 11, rel=1e-6)


@pytest.mark.parametrize(
    ("n", "m", "d"), [(40, 60, 8), (9, 8, 8), (8, 9, 8), (10, 14, 30), (10, 90, 30), (90, 10, 30)]
)
def test_fid_of_any_pictures(n, m, d):
    """Against the definition, with the D x D square roots that the metric does without."""
    mix = normal(d, d, 3)
    real, fake = normal(n, d) @ mix, normal(m, d, 1) @ mix.flip(0) + 0.5

    def root(matrix: np.ndarray) -> np.ndarray:
        values, vectors = np.linalg.eigh(matrix)
        return vectors * np.sqrt(values.clip(0)) @ vectors.T

    means = real.numpy().mean(0) - fake.numpy().mean(0)
    a, b = np.cov(real.numpy().T), np.cov(fake.numpy().T)
    common = root(root(a) @ b @ root(a))
    expected = means @ means + np.trace(a + b - 2 * common)
    assert metrics.fid(real, fake) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("n", "d"), [(2, 3), (20, 50), (50, 50), (200, 10)])
def test_fid_of_a_set_with_itself_is_zero_and_of_a_shifted_one_the_shift(n, d):
    for seed in range(8):  # rounding errs to both sides, and a distance is never negative
        real = normal(n, d, seed)
        assert 0 <= metrics.fid(real, real.flip(0)) < 1e-9
        assert metrics.fid(real, real + 2) == pytest.approx(4 * d)


def test_fid_is_biased_upwards_for_few_pictures():
    values = [metrics.fid(normal(n, 8), normal(n, 8, 1)) for n in (20, 200, 2000)]
    assert values[0] > 4 * values[1] > 16 * values[2] > 0


# Precision, recall, density and coverage


def reference(real: Tensor, fake: Tensor, k: int) -> list[float]:
    found = prdc.compute_prdc(real.numpy(), fake.numpy(), k)
    return [float(found[name]) for name in ("precision", "recall", "density", "coverage")]


def ours(real: Tensor, fake: Tensor, k: int) -> list[float]:
    precision, recall = metrics.precision_recall(real, fake, k)
    density, coverage = metrics.density_coverage(real, fake, k)
    return [precision, recall, density, coverage]


@pytest.mark.parametrize("k", [1, 3, 5, 10])
@pytest.mark.parametrize(("n", "m", "d"), [(40, 40, 2), (60, 20, 3), (20, 90, 3), (50, 70, 64)])
def test_precision_recall_density_and_coverage_are_those_of_prdc(n, m, d, k):
    real, fake = pair(n, m, d)
    expected = reference(real, fake, k)
    assert any(0 < value < 1 for value in expected)
    assert ours(real, fake, k) == pytest.approx(expected)


@pytest.mark.parametrize("k", [2, 5])
def test_pictures_that_occur_twice_count_twice(k):
    real, fake = pair(30, 25, 3)
    real, fake = torch.cat([real, real[:20]]), torch.cat([fake, fake[:5], fake[:5]])
    assert ours(real, fake, k) == pytest.approx(reference(real, fake, k))


def test_five_neighbours_are_usual():
    real, fake = pair(50, 60, 4)
    assert metrics.precision_recall(real, fake) == metrics.precision_recall(real, fake, 5)
    assert metrics.density_coverage(real, fake) == metrics.density_coverage(real, fake, 5)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_border_of_a_reach_belongs_to_it(k):
    """On a grid many pictures lie there, and many on one another: in loops, and with ≤."""
    rng = torch.Generator().manual_seed(0)
    real, fake = (torch.randint(0, 6, (n, 3), generator=rng).double() for n in (40, 30))
    real_reach, fake_reach = (
        [sorted(float((a - b).norm()) for b in x)[k] for a in x] for x in (real, fake)
    )
    hits = [[float((a - b).norm()) for b in fake] for a in real]
    n, m = range(40), range(30)
    in_real = [[hits[i][j] <= real_reach[i] for j in m] for i in n]
    in_fake = [[hits[i][j] <= fake_reach[j] for j in m] for i in n]
    expected = [
        sum(any(in_real[i][j] for i in n) for j in m) / 30,
        sum(any(in_fake[i][j] for j in m) for i in n) / 40,
        sum(map(sum, in_real)) / (k * 30),
        sum(any(in_real[i]) for i in n) / 40,
    ]
    assert ours(real, fake, k) == pytest.approx(expected)


def test_a_generator_of_one_picture_is_precise_but_covers_nothing():
    real = normal(200, 4)
    fake = real[:1].repeat(100, 1) + 0.01
    precision, recall, _, coverage = ours(real, fake, 5)
    assert precision == 1
    assert recall == 0
    assert coverage < 0.1
