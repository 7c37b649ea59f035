"""Directions in latent space: the principal ones of a generator's features, and taught ones.

Principal directions follow GANSpace (Härkönen et al. 2020, https://arxiv.org/abs/2004.02546), which
takes the principal components of the first features and then regresses from them to the latents.
Here both are one step: the principal components of what can be told of the features from the
latents by a linear map. For standard normal latents these are the singular vectors of the
covariance between both. In the two steps of the paper several components of features, being no
linear functions of the latents, lead back to the same latent direction: the changes along two of
the first eight had a mean cosine of 0.32 in avatars64 and 0.27 in fashion32, and have one of 0.25
to 0.29 and of 0.24 to 0.26.
"""

import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor, nn

from ganlab import sampling, threads
from ganlab.files import forget_oldest, write_atomically
from ganlab.paths import cache_dir

log = logging.getLogger(__name__)

LATENTS, CHUNK = 10_000, 1000  # a training waits for one chunk at a time: some 60 ms
COUNT = 10
SEED = 0
KEPT_FILES = 200  # of some 6 KB
NOISE = 1.0  # variance of a visitor's picks about a linear rule, in units of what the rule explains
REST = 0.02  # of a prior: how much less likely than on average what has no principal direction is

_known: WeakKeyDictionary[nn.Module, dict[tuple[int, int, int], "Principal"]] = WeakKeyDictionary()
_fingerprints: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


@dataclass(frozen=True)
class Principal:
    """The principal directions of one head, the strongest first.

    Attributes:
        vectors: (count, z_dim) of length 1, at right angles: along one of them, standard normal
            latents have a standard deviation of 1.
        shares: (count,), of the features' variance, what each explains.
    """

    vectors: Tensor
    shares: Tensor


def principal(
    generator: nn.Module,
    head: int = 0,
    *,
    n: int = LATENTS,
    count: int = COUNT,
    on_progress: Callable[[float], None] = lambda share: None,
) -> Principal:
    """The principal directions of the first features, out of memory, the cache or anew.

    Each head has its own: the same latent space, but its first block scales and shifts by styles of
    its own. Those pooled over all heads spanned almost the same space, but mixed within it what one
    head keeps apart: all strips had more of their changes in common.

    Args:
        generator: in eval mode; its weights do not change any more.
        n: latents.
        on_progress: gets how much is done, from 0 to 1.
    """
    kept = _known.setdefault(generator, {})
    key = head, n, count
    if key not in kept:
        file = _folder() / f"{fingerprint(generator)}-{head}-{n}-{count}.safetensors"
        found = _cached(file, min(count, generator.z_dim), generator.z_dim)
        if found is None:
            found = _computed(generator, head, n, count, on_progress)
            tensors = {"vectors": found.vectors, "shares": found.shares}
            write_atomically(file, tensors_to_bytes(tensors))
            forget_oldest(file.parent, ".safetensors", KEPT_FILES)
        kept[key] = found
    return kept[key]


def is_ready(generator: nn.Module, head: int) -> bool:
    """Whether `principal` need not compute for these."""
    key = head, LATENTS, COUNT
    name = f"{fingerprint(generator)}-{head}-{LATENTS}-{COUNT}.safetensors"
    return key in _known.get(generator, {}) or (_folder() / name).exists()


def fingerprint(generator: nn.Module) -> str:
    """A hash of the weights."""
    if generator not in _fingerprints:
        digest = hashlib.sha256()
        for name, value in generator.state_dict().items():
            digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        _fingerprints[generator] = digest.hexdigest()[:32]
    return _fingerprints[generator]


def _folder() -> Path:
    return cache_dir() / "directions"


def _cached(file: Path, count: int, z_dim: int) -> Principal | None:
    try:
        tensors = tensors_from_bytes(file.read_bytes())
        vectors, shares = tensors["vectors"], tensors["shares"]
        whole = vectors.shape == (count, z_dim) and shares.shape == (count,)
        if not whole or not bool(vectors.isfinite().all() and shares.isfinite().all()):
            raise ValueError(f"{count} directions of {z_dim} numbers are not in it")
        os.utime(file)  # it was of use: others go first
        return Principal(vectors, shares)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        log.warning("%s is damaged (%s): computing it again", file, error)
        return None


def _computed(
    generator: nn.Module, head: int, n: int, count: int, on_progress: Callable[[float], None]
) -> Principal:
    z, of_features, squares, together = sampling.latents(n, generator.z_dim, SEED), 0.0, 0.0, 0.0
    place = next(generator.parameters()).device
    weights = torch.eye(generator.n_tasks, device=place)[head]
    for start in range(0, n, CHUNK):
        part = z[start : start + CHUNK]
        with threads.quick_threads(), torch.no_grad():  # between chunks, a training goes on
            features = generator.first_features(part.to(place), weights).flatten(1).float().cpu()
            of_features = of_features + features.sum(0)
            squares = squares + features.square().sum(0)
            together = together + part.T @ features  # (z_dim, features)
        on_progress(min(start + CHUNK, n) / n)
    mean = of_features / n
    variance = float((squares / n - mean.square()).clamp(min=0).sum())
    covariance = (together / n - z.mean(0)[:, None] * mean).double()
    values, vectors = torch.linalg.eigh(covariance @ covariance.T)  # smallest first
    first = vectors.flip(1)[:, :count].T
    shares = values.flip(0)[:count].clamp(min=0) / max(variance, 1e-12)
    return Principal(_signed(first).float().contiguous(), shares.float())


def _signed(vectors: Tensor) -> Tensor:
    """With the largest number of each row (k, z_dim) positive: an eigenvector's sign is chance."""
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return vectors * largest.sign()


def classified(with_it: Tensor, without: Tensor, prior: Principal | None = None) -> Tensor:
    """The direction (z_dim,) of length 1 from samples without something to samples with it.

    A linear classifier of latents, by ridge regression to 1 and -1: with f = w·z, w normal of
    covariance S and labels with noise, the most likely w is S Zᵀ (Z S Zᵀ + noise)⁻¹ y (Rasmussen
    and Williams 2006, Gaussian Processes for Machine Learning, 2.1). A few picks leave most of a
    hundred dimensions open, and a plain classifier fills them with chance. So S expects a visible
    property where the generator's features change: along its principal directions, each by its
    share. Of the brightness of parts of pictures, eight picks each gave directions that correlate
    with it in other samples at 0.24 to 0.56, and without this at 0.07 to 0.20.

    Heads share the latents, and each task draws any of them: tasks label no latents. What can be
    learnt from is what somebody sees in the pictures.

    Args:
        with_it, without: latents (N, z_dim) and (M, z_dim) of one head.
        prior: its principal directions; None = nothing is expected.

    Raises:
        ValueError: fewer than two of either.
    """
    if min(len(with_it), len(without)) < 2:
        raise ValueError("Mark at least two samples that have it and two that have not.")
    middle = (with_it.mean(0) + without.mean(0)) / 2
    z = torch.cat([with_it, without]) - middle
    y = torch.cat([torch.ones(len(with_it)), -torch.ones(len(without))])
    spread = _prior(z, prior)  # (N + M, z_dim): Z S
    kernel = spread @ z.T
    kernel.diagonal().add_(NOISE)
    direction = torch.linalg.solve(kernel, y) @ spread
    length = direction.norm()
    if not bool(length > 1e-6):
        raise ValueError("These samples are all alike: mark others.")
    return direction / length


def _prior(z: Tensor, prior: Principal | None) -> Tensor:
    """Z S for latents (N, z_dim), where f = w·z has a variance of about 1."""
    if prior is None:
        return z / z.shape[1]
    weights = prior.shares / prior.shares.sum().clamp(min=1e-12)
    rest = REST / z.shape[1]
    return (z @ prior.vectors.T * weights) @ prior.vectors + rest * z


def told_apart(with_it: Tensor, without: Tensor, prior: Principal | None = None) -> int:
    """Of the picks, how many a direction learnt from all others puts on the right side."""
    right = 0
    for rows, sign in ((with_it, 1), (without, -1)):
        for place in range(len(rows) if len(rows) > 2 else 0):
            others = torch.cat([rows[:place], rows[place + 1 :]])
            pair = (others, without) if sign > 0 else (with_it, others)
            middle = (pair[0].mean(0) + pair[1].mean(0)) / 2
            right += bool(sign * (rows[place] - middle) @ classified(*pair, prior) > 0)
    return right
