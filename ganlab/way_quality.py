"""How good is what lies between two heads? Realism half-way, and how straight the way is.

`path`, `ghosting` and `metrics.kid` are pure functions of features and pixels; `measure` draws what
they need of every pair of parts, in every mode.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganlab import metrics, mixing, quality, sampling
from ganlab.blending import MODES, PIXELS, Part
from ganlab.data.dataset import Dataset
from ganlab.mixing import Recipe
from ganlab.models import features

STEPS = 8  # of a way from one head to the other; even, so that one ends half-way
FEWEST = 8  # pictures of which KID and means can be told
WALKED = 8  # latents whose whole way is drawn: it costs seven pictures where half-way costs one


class Path(NamedTuple):
    """The way from one picture to another, in the mean over latents.

    Attributes:
        length: of the way over that of the straight line; 1 is straight, more is a detour.
        largest_step: its share of the way; 1 / steps is even, 1 a single jump.
    """

    length: float
    largest_step: float


@dataclass(frozen=True)
class Way:
    """What is measured between two heads.

    Attributes:
        kid: of pictures half-way against real ones of both domains, as many of each. Lower is
            better; those of the heads themselves come down to `ends_kid`.
        precision: the share of them that are as near to a real picture of either domain as its
            neighbours are (`metrics.precision_recall`); `ends_precision` of the heads themselves.
        length, largest_step: see `Path`.
        ghosting: see `ghosting`.
    """

    mode: str
    first: str
    last: str
    kid: float
    ends_kid: float
    precision: float
    ends_precision: float
    length: float
    largest_step: float
    ghosting: float


def path(features_by_step: Tensor) -> Path:
    """How far pictures move in equal steps of the mix, in a space of features.

    The perceptual path length of StyleGAN (Karras et al. 2019, https://arxiv.org/abs/1812.04948)
    over a whole way instead of a tiny step, and over the direct distance, so that heads that are
    far apart compare with near ones.

    Args:
        features_by_step: (steps + 1, N, D), from one end to the other.

    Raises:
        ValueError: fewer than two steps, or ends that are the same.
    """
    if features_by_step.ndim != 3 or len(features_by_step) < 3:
        raise ValueError(
            f"features of shape {tuple(features_by_step.shape)} are no way: give (steps + 1, N, D) "
            "of two steps or more"
        )
    x = features_by_step.double()
    steps = (x[1:] - x[:-1]).norm(dim=2)  # (steps, N)
    direct, walked = (x[-1] - x[0]).norm(dim=1), steps.sum(0)
    if not direct.any():
        raise ValueError("both ends draw the same pictures: there is no way between them")
    moving = walked > 0
    largest = (steps.amax(0)[moving] / walked[moving]).mean()
    return Path((walked.sum() / direct.sum()).item(), largest.item())


def ghosting(middle: np.ndarray, first: np.ndarray, last: np.ndarray) -> float:
    """How much pictures half-way are double exposures: 1 = as the plain cross-fade, 0 = not at all.

    A ghost has the outlines of both ends at once, each faint, where a picture of its own has
    outlines of its own. So the edges of the middle (differences of neighbouring pixels, with sign)
    are fitted by those of the ends, with factors from 0 upwards. What counts is the share that it
    takes both ends to explain: R² of both, less R² of the better one. It is 0 of a copy of an end,
    of edges that both ends have, and of edges that neither has; what the cross-fade of the same
    ends reaches is the unit. Edges of an end that moved by a pixel are taken for new ones.

    Args:
        middle, first, last: uint8 (N, H, W, C), the same latent in each row.

    Raises:
        ValueError: other shapes, or ends with the same edges, whose cross-fade is no ghost.
    """
    if not middle.shape == first.shape == last.shape or middle.ndim != 4:
        shapes = ", ".join(str(each.shape) for each in (middle, first, last))
        raise ValueError(f"pictures of shapes {shapes} do not fit: give (N, H, W, C) three times")
    a, b, m = (_edges(each) for each in (first, last, middle))
    faded = _needs_both((a + b) / 2, a, b).mean()
    if faded < 1e-6:
        raise ValueError("both ends have the same edges: their cross-fade is no double exposure")
    return (_needs_both(m, a, b).mean() / faded).item()


def _edges(pictures: np.ndarray) -> Tensor:
    """Differences of neighbours to the right and below: (N, ...) in double precision."""
    x = torch.from_numpy(pictures).double()
    return torch.cat([x.diff(dim=1).flatten(1), x.diff(dim=2).flatten(1)], 1)


def _needs_both(m: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """R² of the fit m ≈ αa + βb with α, β ≥ 0, less that of the better one alone, for each row."""
    mm, aa, bb = ((x * x).sum(1) for x in (m, a, b))
    ma, mb, ab = (m * a).sum(1), (m * b).sum(1), (a * b).sum(1)
    tiny = torch.finfo(mm.dtype).tiny
    alone = torch.maximum(ma.clamp(min=0) ** 2 / aa.clamp(min=tiny),
                          mb.clamp(min=0) ** 2 / bb.clamp(min=tiny))  # fmt: skip
    det = aa * bb - ab * ab
    alpha, beta = ma * bb - mb * ab, mb * aa - ma * ab  # times det
    is_both = (det > 1e-9 * aa * bb) & (alpha > 0) & (beta > 0)
    both = torch.where(is_both, (alpha * ma + beta * mb) / det.clamp(min=tiny), alone)
    return ((both - alone).clamp(min=0) / mm.clamp(min=tiny)).clamp(max=1)


def measure(
    parts: Sequence[Part],
    dataset: Dataset,
    *,
    n: int = 500,
    modes: Iterable[str] = MODES,
    extract: quality.Features = features.extract,
    on_progress: Callable[[float], None] = lambda share: None,
) -> list[Way]:
    """Of every pair of parts in every mode; parts that the data set has no task of are left out.

    What a head draws, and its features, are made once for all pairs.

    Args:
        n: pictures half-way, for KID and ghosting; of `WALKED` of them the whole way is drawn.
        extract: uint8 pictures (N, C, H, W) to features (N, D).

    Raises:
        ValueError: too few pictures, or less than two parts in common.
    """
    if n < FEWEST:
        raise ValueError(f"{n} pictures are too few: measure at least {FEWEST}")
    known = [part for part in parts if set(quality.parts(part.name, dataset)) <= {*dataset.tasks}]
    if len(known) < 2:
        raise ValueError(
            f"{dataset.name} has {', '.join(dataset.tasks)}, and the model mixes "
            f"{', '.join(part.name for part in parts)}: it takes two in common"
        )
    z = sampling.latents(n, parts[0].generator.z_dim, quality.LATENT_SEED)
    heads = [_head(part, z, dataset, extract) for part in known]
    plan = [(*pair, mode) for pair in combinations(heads, 2) for mode in modes]
    ways = []
    for first, last, mode in plan:
        on_progress(len(ways) / len(plan))
        ways.append(_way(first, last, z, mode, extract))
    return ways


class _Head(NamedTuple):
    """A part with what its domain has and what it draws of the same latents as all others."""

    part: Part
    real: Tensor  # features (up to N, D)
    drawn: np.ndarray  # (N, H, W, C)
    features: Tensor  # (N, D)


def _head(part: Part, z: Tensor, dataset: Dataset, extract: quality.Features) -> _Head:
    own = dataset.subset(quality.parts(part.name, dataset))
    drawn = mixing.draw([part], z, Recipe((1.0,)))
    return _Head(part, extract(quality.choose(own, len(z))), drawn, extract(_nchw(drawn)))


def _way(first: _Head, last: _Head, z: Tensor, mode: str, extract: quality.Features) -> Way:
    n, few = len(z), min(len(z), WALKED)
    least = min(len(first.real), len(last.real))
    real = torch.cat([first.real[:least], last.real[:least]])
    middle = _between(first, last, z, 0.5, mode)
    half_way = extract(_nchw(middle))
    steps = {0: first.features[:few], STEPS // 2: half_way[:few], STEPS: last.features[:few]}
    for step in set(range(STEPS)) - set(steps):
        steps[step] = extract(_nchw(_between(first, last, z[:few], step / STEPS, mode)))
    ends = torch.cat([first.features[: n // 2], last.features[n // 2 :]])
    return Way(
        mode,
        first.part.name,
        last.part.name,
        metrics.kid(real, half_way).value,
        metrics.kid(real, ends).value,
        metrics.precision_recall(real, half_way).precision,
        metrics.precision_recall(real, ends).precision,
        *path(torch.stack([steps[step] for step in sorted(steps)])),
        ghosting(middle, first.drawn, last.drawn),
    )


def _between(first: _Head, last: _Head, z: Tensor, share: float, mode: str) -> np.ndarray:
    """Pictures (N, H, W, C) of latents (N, z_dim), so far on the way from head to head."""
    if mode == PIXELS:  # of what has been drawn already; off by one level at most
        one, other = (head.drawn[: len(z)] for head in (first, last))
        return ((1 - share) * one + share * other).round().astype(np.uint8)
    return mixing.draw([first.part, last.part], z, Recipe((1 - share, share), mode=mode))


def _nchw(pictures: np.ndarray) -> Tensor:
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()
