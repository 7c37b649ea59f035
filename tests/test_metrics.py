"""Metrics against formulas in numpy, loops over pairs, and the `prdc` of Naeem et al."""

import math
from collections.abc import Callable

import numpy as np
import prdc
import pytest
import torch
from torch import Tensor

from ganlab import metrics


def normal(n: int, d: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=rng, dtype=torch.float64)


def pair(n: int, m: int, d: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Real features, and generated ones that are shifted and less varied."""
    return normal(n, d, seed), 0.8 * normal(m, d, seed + 1000) + 0.3


def distances(a: Tensor, b: Tensor) -> np.ndarray:
    """(N, M), from the differences themselves."""
    return np.sqrt(((a.numpy()[:, None] - b.numpy()[None]) ** 2).sum(2))


def lower_median(values: np.ndarray) -> float:
    return np.sort(values)[(len(values) - 1) // 2]


def nearest_others(x: Tensor) -> np.ndarray:
    own = distances(x, x)
    np.fill_diagonal(own, np.inf)
    return own.min(1)


PAIRWISE: dict[str, Callable] = {
    "kid": metrics.kid,
    "fid": metrics.fid,
    "precision_recall": metrics.precision_recall,
    "density_coverage": metrics.density_coverage,
    "diversity": metrics.diversity,
    "nearest": metrics.nearest,
    "copies": metrics.copies,
    "memorisation": lambda a, b: metrics.memorisation(a, 2 * a, b),
    "memorisation of held-out": lambda a, b: metrics.memorisation(b, a, b),
}
LEAST = {
    "kid": (4, 4),
    "fid": (2, 2),
    "precision_recall": (6, 6),
    "density_coverage": (6, 6),
    "diversity": (2, 2),
    "nearest": (1, 1),
    "copies": (2, 1),
    "memorisation of held-out": (2, 1),
}


@pytest.mark.parametrize("name", PAIRWISE)
@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (normal(30, 5), "do not fit"),
        (normal(30, 4)[:, 0], "do not fit"),
        (normal(30, 4)[0, 0], "do not fit"),
        (normal(30, 4)[None], "do not fit"),
        (torch.full((30, 4), torch.nan), "not finite"),
        (normal(30, 4).index_fill(0, torch.tensor([7]), torch.inf), "not finite"),
    ],
    ids=["wide", "vector", "number", "batch", "nan", "inf"],
)
def test_features_that_cannot_be_compared_are_refused(name, bad, complaint, swap):
    features = (normal(30, 4), bad) if swap else (bad, normal(30, 4))
    with pytest.raises(ValueError, match=complaint):
        PAIRWISE[name](*features)


@pytest.mark.parametrize("name", LEAST)
def test_too_few_pictures_are_refused_and_just_enough_are_not(name):
    n, m = LEAST[name]
    real, fake = pair(n, m, 4)
    PAIRWISE[name](real, fake)
    for few in [(real[1:], fake), (real, fake[1:])]:
        with pytest.raises(ValueError, match=r"too few: this needs at least \d|needs at least two"):
            PAIRWISE[name](*few)


@pytest.mark.parametrize("k", [1, 3])
def test_fewer_neighbours_need_fewer_pictures(k):
    for metric in (metrics.precision_recall, metrics.density_coverage):
        metric(*pair(k + 1, k + 1, 4), k=k)
        with pytest.raises(ValueError, match=f"{k} pictures are too few"):
            metric(*pair(k + 1, k, 4), k=k)


@pytest.mark.parametrize("name", PAIRWISE)
def test_sums_are_done_in_double_precision(name):
    """Of numbers like real features: all positive, so that their products cancel badly."""
    single = [(x + 5).float() for x in pair(60, 50, 32)]
    of_single, of_double = (PAIRWISE[name](*x) for x in (single, [x.double() for x in single]))
    torch.testing.assert_close(of_single, of_double, rtol=0, atol=0)


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


# Diversity


def test_diversity_is_the_mean_distance_between_all_pairs():
    real, fake = pair(9, 7, 5)

    def mean_distance(x: Tensor) -> float:
        n = len(x)
        return np.mean([float((x[i] - x[j]).norm()) for i in range(n) for j in range(i)])

    expected = mean_distance(fake) / mean_distance(real)
    assert metrics.diversity(real, fake) == pytest.approx(expected)


def test_diversity_is_one_for_the_data_and_zero_for_one_picture():
    real = normal(40, 6)
    assert metrics.diversity(real, real.flip(0) + 3) == pytest.approx(1)
    assert metrics.diversity(real, 2 * real) == pytest.approx(2)
    assert metrics.diversity(real, real[:1].repeat(30, 1)) == 0


def test_diversity_needs_real_pictures_that_differ():
    with pytest.raises(ValueError, match="real pictures are all alike"):
        metrics.diversity(torch.ones(40, 6), normal(40, 6))


# Nearest neighbours and copies


@pytest.mark.parametrize(("n", "m", "d"), [(1, 1, 3), (7, 5, 4), (60, 90, 16), (3, 200, 2)])
def test_the_nearest_is_that_of_all(n, m, d):
    queries, others = pair(n, m, d)
    across = distances(queries, others)
    distance, index = metrics.nearest(queries, others)
    assert index.tolist() == across.argmin(1).tolist()
    np.testing.assert_allclose(distance, across.min(1), rtol=1e-9)


def test_the_distance_of_a_copy_is_exactly_zero():
    """Among many large features, of which `cdist` has only the difference of their squares."""
    x = 100 * normal(80, 256) + 1000
    distance, index = metrics.nearest(x.flip(0).float(), x.float())
    assert distance.unique().tolist() == [0]
    assert index.tolist() == list(range(79, -1, -1))


def test_copies_are_nearer_than_half_of_what_is_usual():
    trained = torch.tensor([[0.0], [8.0], [18.0], [30.0], [100.0]])  # median 10
    queries = torch.tensor([[-4.9], [5.0], [24.0], [35.0], [35.1], [94.9], [105.0], [100.0]])
    expected = [True, True, False, True, False, False, True, True]
    assert metrics.copies(trained, queries).tolist() == expected


@pytest.mark.parametrize(("n", "m"), [(2, 3), (31, 40), (60, 20)])
def test_copies_are_those_of_a_brute_search(n, m):
    trained = normal(n, 2)
    queries = normal(m, 2, 1)
    threshold = 0.5 * lower_median(nearest_others(trained))
    expected = distances(queries, trained).min(1) <= threshold
    assert metrics.copies(trained, queries).tolist() == expected.tolist()
    if n > 2:
        assert 0 < expected.sum() < m


def test_noisy_copies_are_found_among_newcomers():
    trained, newcomers = normal(300, 64), normal(50, 64, 1)
    copied = trained[:40] + 0.1 * normal(40, 64, 2)
    found = metrics.copies(trained, torch.cat([copied, newcomers, copied]))
    assert found.tolist() == [True] * 40 + [False] * 50 + [True] * 40


def test_copies_are_found_where_every_training_picture_occurs_twice():
    trained = (100 * normal(60, 64) + 1000).repeat(2, 1)
    newcomers = 100 * normal(30, 64, 1) + 1000
    found = metrics.copies(trained, torch.cat([trained[:40], newcomers]))
    assert found.tolist() == [True] * 40 + [False] * 30


# Memorising


@pytest.mark.parametrize(("n", "held", "m"), [(30, 2, 5), (40, 9, 12), (5, 30, 41)])
def test_memorisation_is_the_ratio_of_two_ratios_of_medians(n, held, m):
    trained, held_out, fake = normal(n, 3), normal(held, 3, 1), normal(m, 3, 2) + 0.2
    generated, newcomers = (
        lower_median(distances(x, trained).min(1)) / lower_median(to_held_out)
        for x, to_held_out in [
            (fake, distances(fake, held_out).min(1)),
            (held_out, nearest_others(held_out)),
        ]
    )
    found = metrics.memorisation(trained, held_out, fake)
    assert found == pytest.approx(generated / newcomers)


@pytest.mark.parametrize(
    ("n", "held"), [(1800, 200), (900, 100), (500, 500), (100, 900), (360, 40)]
)
@pytest.mark.parametrize("d", [4, 16])
def test_memorisation_is_one_for_new_pictures_of_the_same_kind(n, held, d):
    """Whatever the sizes of the parts: on average over a few draws."""
    values = []
    for seed in range(8):
        pictures = normal(n + held + 400, d, seed)
        values.append(metrics.memorisation(*pictures.split([n, held, 400])))
    assert np.mean(values) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("n", "held"), [(900, 100), (200, 200)])
def test_memorisation_falls_to_zero_for_copies(n, held):
    pictures = normal(n + held, 16)
    trained, held_out = pictures.split([n, held])
    noise = normal(200, 16, 1)
    values = [
        metrics.memorisation(trained, held_out, trained[:200] + amount * noise)
        for amount in (1, 0.3, 0.1, 0)
    ]
    assert values == sorted(values, reverse=True)
    assert 0.7 < values[0] <= 1.1
    assert values[2] < 0.2
    assert values[3] == 0


def shaken(x: Tensor) -> Tensor:
    """As one picture's features differ when it is extracted in another batch."""
    return x + 1e-6 * x.norm(dim=1, keepdim=True) / x.shape[1] ** 0.5 * normal(*x.shape, seed=9)


@pytest.mark.parametrize("change", [Tensor.clone, shaken], ids=["exactly", "but for rounding"])
@pytest.mark.parametrize("case", ["of training pictures", "of each other", "of generated ones"])
def test_memorisation_is_undefined_where_held_out_pictures_are_copies(case, change):
    pictures = normal(300, 64) + 10
    trained, held_out, fake = pictures.split([200, 40, 60])
    if case == "of training pictures":
        held_out = change(trained[:40])
    elif case == "of each other":
        held_out = change(held_out[:1].repeat(40, 1))
    else:
        fake = change(held_out)
    with pytest.raises(ValueError, match="most held-out pictures are copies"):
        metrics.memorisation(trained, held_out, fake)
