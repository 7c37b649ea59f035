"""Metrics: what they refuse; diversity, copies and memorising against formulas and loops."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from clouds import normal, pair
from torch import Tensor

from ganlab import metrics


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
