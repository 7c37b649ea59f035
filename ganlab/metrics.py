"""How good are generated pictures? Pure functions over features of real and generated ones.

Features are float tensors (N, D), a row per picture, whatever network made them; all sums are done
in double precision. Every estimate that a caller sees should name the network behind it.
"""

from typing import NamedTuple

import torch
from torch import Tensor

SUBSETS = 50
NEIGHBOURS = 5
COPY_SHARE = 0.5  # nearer to a training picture than this share of what is usual: a copy
SAME = 1e-5  # relative: features of one picture differ by less from batch to batch


class Kid(NamedTuple):
    """An estimate of KID and the standard deviation of the same over subsets of half the size."""

    value: float
    std: float


class PrecisionRecall(NamedTuple):
    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    density: float
    coverage: float


class Nearest(NamedTuple):
    """For each row: the distance to the nearest other set's row, and that row's index, (N,)."""

    distance: Tensor
    index: Tensor


def kid(real: Tensor, fake: Tensor, subsets: int = SUBSETS) -> Kid:
    """Kernel inception distance (Bińkowski et al. 2018, https://arxiv.org/abs/1801.01401).

    The unbiased squared MMD of all pictures under (x·y / D + 1)³. It can be slightly negative.

    Raises:
        ValueError: fewer than four pictures on either side.
    """
    real, fake = _checked(real, fake, least=4)
    within_real, within_fake, across = _cubic(real, real), _cubic(fake, fake), _cubic(real, fake)
    every_real, every_fake = (real.new_ones(1, len(x)) for x in (real, fake))
    value = _mmd(within_real, within_fake, across, every_real, every_fake).item()
    rng = torch.Generator().manual_seed(0)
    halves_real, halves_fake = (_halves(len(x), subsets, rng) for x in (real, fake))
    values = _mmd(within_real, within_fake, across, halves_real, halves_fake)
    return Kid(value, values.std().item())


def _cubic(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _halves(n: int, subsets: int, rng: torch.Generator) -> Tensor:
    """(subsets, n), ones where a picture belongs to a random half."""
    chosen = torch.zeros(subsets, n, dtype=torch.float64)
    order = torch.rand(subsets, n, generator=rng).argsort(1)
    return chosen.scatter_(1, order[:, : n // 2], 1.0)


def _mmd(within_real: Tensor, within_fake: Tensor, across: Tensor, r: Tensor, f: Tensor) -> Tensor:
    """Unbiased squared MMD of each pair of subsets, given as rows of ones and zeros: (subsets,)."""

    def mean_of_pairs(kernel: Tensor, chosen: Tensor) -> Tensor:
        n = chosen.sum(1)
        all_pairs = (chosen @ kernel * chosen).sum(1)
        return (all_pairs - chosen @ kernel.diagonal()) / (n * (n - 1))

    cross = (r @ across * f).sum(1) / (r.sum(1) * f.sum(1))
    return mean_of_pairs(within_real, r) + mean_of_pairs(within_fake, f) - 2 * cross


def fid(real: Tensor, fake: Tensor) -> float:
    """Fréchet distance of two Gaussians fitted to the features (Heusel et al. 2017,
    https://arxiv.org/abs/1706.08500). Biased upwards for few pictures: prefer KID.

    |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½). With centred features A and B, the last trace is the sum
    of the singular values of A Bᵀ, so that no square root of a D x D matrix is needed.
    """
    real, fake = _checked(real, fake, least=2)
    means = (real.mean(0) - fake.mean(0)).square().sum()
    a, b = (_centred(x) for x in (real, fake))
    traces = a.square().sum() + b.square().sum()
    return (means + traces - 2 * torch.linalg.svdvals(a @ b.T).sum()).clamp_min(0).item()


def _centred(x: Tensor) -> Tensor:
    """A with AᵀA the unbiased covariance of the rows of x, and no more rows than columns."""
    a = (x - x.mean(0)) / (len(x) - 1) ** 0.5
    return torch.linalg.qr(a, mode="r").R if len(a) > a.shape[1] else a


def precision_recall(real: Tensor, fake: Tensor, k: int = NEIGHBOURS) -> PrecisionRecall:
    """Improved precision and recall (Kynkäänniemi et al. 2019, https://arxiv.org/abs/1904.06991).

    Precision: the share of generated pictures within reach of a real one, which reaches as far as
    its k-th nearest real neighbour. Recall: the same with the roles reversed.
    """
    real, fake = _checked(real, fake, least=k + 1)
    across = torch.cdist(real, fake)
    within_real = (across <= _reach(real, k)[:, None]).any(0)
    within_fake = (across <= _reach(fake, k)).any(1)
    return PrecisionRecall(_share(within_real), _share(within_fake))


def density_coverage(real: Tensor, fake: Tensor, k: int = NEIGHBOURS) -> DensityCoverage:
    """Density and coverage (Naeem et al. 2020, https://arxiv.org/abs/2002.09797).

    Density: how many real pictures' reaches hold a generated one, over k; 1 is usual, more is
    possible. Coverage: the share of real pictures with a generated one within reach. Unlike
    precision and recall they are not fooled by single outliers.
    """
    real, fake = _checked(real, fake, least=k + 1)
    inside = torch.cdist(real, fake) <= _reach(real, k)[:, None]
    density = inside.double().sum().item() / (k * len(fake))
    return DensityCoverage(density, _share(inside.any(1)))


def _reach(x: Tensor, k: int) -> Tensor:
    """Distance of each row to its k-th nearest other row, (N,)."""
    return torch.cdist(x, x).kthvalue(k + 1, dim=1).values  # the nearest is the row itself


def _share(hits: Tensor) -> float:
    return hits.double().mean().item()


def diversity(real: Tensor, fake: Tensor) -> float:
    """Mean distance between generated pictures over that between real ones: 1 is as varied as the
    data, 0 is one picture again and again."""
    real, fake = _checked(real, fake, least=2)
    spread = torch.pdist(real).mean().item()
    if spread == 0:
        raise ValueError("the real pictures are all alike: their diversity cannot be compared with")
    return torch.pdist(fake).mean().item() / spread


def nearest(queries: Tensor, others: Tensor) -> Nearest:
    """The nearest of `others` to each query."""
    queries, others = _checked(queries, others, least=1)
    index = torch.cdist(queries, others).argmin(1)
    distance = (queries - others[index]).norm(dim=1)  # exact: 0 for a copy, which cdist's is not
    return Nearest(distance, index)


def memorisation(trained: Tensor, held_out: Tensor, fake: Tensor) -> float:
    """How much nearer generated pictures are to those that trained than to those that did not.

    1 for pictures as new as held-out ones, towards 0 for copies.

    The median distance to the nearest training picture over that to the nearest held-out one. There
    are more of the former, so that anything is nearer to them; the ratio is therefore taken over
    the same ratio of honest newcomers, the held-out pictures themselves.

    Raises:
        ValueError: fewer than two held-out pictures, or most of them are copies themselves.
    """
    trained, held_out = _checked(trained, held_out, least=1)
    if len(held_out) < 2:
        raise ValueError("memorising needs at least two held-out pictures to compare with")

    def median_distance(a: Tensor, b: Tensor) -> Tensor:
        return nearest(a, b).distance.median()

    between = _distances_within(held_out).median()
    newcomers = median_distance(held_out, trained)
    to_held_out = median_distance(fake, held_out)
    if min(between, newcomers, to_held_out) <= SAME * held_out.norm(dim=1).median():
        raise ValueError("most held-out pictures are copies: there is nothing to compare with")
    return (median_distance(fake, trained) / to_held_out / (newcomers / between)).item()


def copy_reach(trained: Tensor) -> float:
    """How near to a training picture is a copy: half of the distance that usually (in the median)
    lies between a training picture and the one nearest to it.

    Raises:
        ValueError: fewer than two training pictures.
    """
    trained, _ = _checked(trained, trained, least=1)
    if len(trained) < 2:
        raise ValueError("finding copies needs at least two training pictures to compare with")
    return COPY_SHARE * _distances_within(trained).median().item()


def copies(trained: Tensor, queries: Tensor, reach: float | None = None) -> Tensor:
    """Which of the queries sit on a training picture, bool (N,): no further from it than `reach`,
    if that is known, else than `copy_reach`."""
    reach = copy_reach(trained) if reach is None else reach
    return nearest(queries, trained).distance <= reach


def _distances_within(x: Tensor) -> Tensor:
    """Distance of each row to the nearest other row, (N,)."""
    return torch.cdist(x, x).fill_diagonal_(torch.inf).amin(1)


def _checked(real: Tensor, fake: Tensor, *, least: int) -> tuple[Tensor, Tensor]:
    """Both in double precision, once they fit together."""
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise ValueError(
            f"features of shapes {tuple(real.shape)} and {tuple(fake.shape)} do not fit: "
            "give (N, D) and (M, D)"
        )
    for x in (real, fake):
        if len(x) < least:
            raise ValueError(f"{len(x)} pictures are too few: this needs at least {least}")
        if not x.isfinite().all():
            raise ValueError("features are not finite")
    return real.double(), fake.double()
