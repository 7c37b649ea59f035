"""Latent vectors near one, on the way to another, and on walks, frame by frame."""

import torch
from torch import Tensor

from ganlab import sampling

LEAST_ANGLE = 1e-4  # of two latents that point the same way: between them a line is as good


def around(z: Tensor, n: int, spread: float, seed: int) -> Tensor:
    """Latents (n, z_dim) near one (1, z_dim), as likely as it is itself.

    √(1 - s²) z + s ε with a normal ε is normal again, so that neighbours are neither more nor less
    typical; s, the spread, is 0 for the latent itself and 1 for any other.
    """
    noise = sampling.latents(n, z.shape[1], seed)
    scale = z.norm() / z.shape[1] ** 0.5  # of a truncated latent, its neighbours are too
    return (1 - spread**2) ** 0.5 * z + spread * scale * noise


def slerp(a: Tensor, b: Tensor, share: Tensor | float) -> Tensor:
    """So far on the way from latents a to b (…, z_dim), along the great circle.

    Latents of many dimensions all lie near one sphere, and a straight line would cut through its
    inside, of which G has seen nothing (Shoemake 1985, https://doi.org/10.1145/325334.325242; White
    2016, https://arxiv.org/abs/1609.04468). Lengths go evenly from the one's to the other's.

    Args:
        share: from 0 to 1, a number or one for each latent (…, 1).
    """
    from_length, to_length = (x.norm(dim=-1, keepdim=True) for x in (a, b))
    angle = _angle(a, b).unsqueeze(-1)
    is_line = angle < LEAST_ANGLE
    safe = torch.where(is_line, torch.ones_like(angle), angle)
    arc = torch.sin((1 - share) * safe) * a / from_length + torch.sin(share * safe) * b / to_length
    length = from_length + share * (to_length - from_length)
    return torch.where(is_line, a + share * (b - a), arc / safe.sin() * length)


def _angle(a: Tensor, b: Tensor) -> Tensor:
    """Between latents (…, z_dim), in radians. By halves of sum and difference, which unlike the
    arc cosine is exact for small angles, too."""
    a, b = (x / x.norm(dim=-1, keepdim=True) for x in (a, b))
    return 2 * torch.atan2((a - b).norm(dim=-1), (a + b).norm(dim=-1))


def loop(points: Tensor, frames: int) -> Tensor:
    """Latents (frames, z_dim) on a closed walk through points (n, z_dim) and back to the first,
    which is not there twice: the same angle from each to the next.

    Raises:
        ValueError: fewer than two points, fewer frames than points, or points that are one.
    """
    n = len(points)
    if n < 2:
        raise ValueError("a walk needs at least two points")
    if frames < n:
        raise ValueError(f"{frames} frames cannot go through {n} points: give at least {n}")
    ahead = points.roll(-1, 0)
    ends = _angle(points.double(), ahead.double()).cumsum(0)
    if ends[-1] == 0:
        raise ValueError("these points are one: there is no way between them")
    places = torch.arange(frames, dtype=torch.float64) / frames * ends[-1]
    leg = torch.searchsorted(ends, places, right=True).clamp(max=n - 1)
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    share = (places - starts[leg]) / (ends - starts)[leg]
    walked = slerp(points.double()[leg], ahead.double()[leg], share.unsqueeze(-1))
    return walked.to(points.dtype)


def round_trip(z: Tensor, n: int, seed: int, frames: int, truncation: float = 1.0) -> Tensor:
    """A loop (frames, z_dim) that begins at a latent z (1, z_dim) and goes through n - 1 others,
    which are drawn by a seed."""
    others = sampling.latents(n, z.shape[1], seed)[1:] * truncation  # the first is mostly z
    return loop(torch.cat([z, others]), frames)
