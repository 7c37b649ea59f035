"""Latent vectors near one, and on the way from one to another."""

import torch
from torch import Tensor

from ganlab import sampling


def around(z: Tensor, n: int, spread: float, seed: int) -> Tensor:
    """Latents (n, z_dim) near one (1, z_dim), as likely as it is itself.

    √(1 - s²) z + s ε with a normal ε is normal again, so that neighbours are neither more nor less
    typical; s, the spread, is 0 for the latent itself and 1 for any other.
    """
    noise = sampling.latents(n, z.shape[1], seed)
    scale = z.norm() / z.shape[1] ** 0.5  # of a truncated latent, its neighbours are too
    return (1 - spread**2) ** 0.5 * z + spread * scale * noise


def between(first: Tensor, last: Tensor, steps: int) -> Tensor:
    """Latents (steps, z_dim) from one (1, z_dim) to another, on the sphere (Shoemake 1985; for
    latents, White 2016, https://arxiv.org/abs/1609.04468), the lengths in equal steps."""
    share = torch.linspace(0, 1, steps)[:, None]
    a, b = (each / each.norm().clamp_min(1e-9) for each in (first, last))
    angle = (a * b).sum().clamp(-1, 1).acos()
    if angle.sin() < 1e-4:  # the same direction, or opposite ones
        return torch.lerp(first, last, share)
    direction = (((1 - share) * angle).sin() * a + (share * angle).sin() * b) / angle.sin()
    return direction * torch.lerp(first.norm(), last.norm(), share)
