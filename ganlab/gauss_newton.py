"""The last steps to a latent, on pixels: few, each with the derivatives of every number of it.

Levenberg and Marquardt's damped Gauss-Newton (Marquardt 1963, https://doi.org/10.1137/0111030). A
picture has far more pixels than a latent has numbers, and where it can be drawn at all, ten such
steps come nearer than hundreds along a gradient: its steps shrink with the distance that is left.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

SPREAD = 0.02  # of the differences that stand for derivatives; ReLUs have none in their kinks
COARSE = 4  # pixels per side whose mean counts as much as they do: the way there is smoother
PRIORS, EASED_AFTER = (1e-4, 1e-6), 4  # on long latents, at first and after so many steps
DAMPINGS = (1 / 30, 1 / 3, 3.0, 30.0)  # that are tried, times the last that worked
BATCH = 16  # latents drawn at once: after each it may stop
NEAR_ENOUGH = 1e-4  # of a usual squared distance: a hundredth of the distance


def gauss_newton(
    draw: Callable[[Tensor], Tensor],
    target: Tensor,
    z: Tensor,
    unit: float,
    steps: int,
    should_stop: Callable[[], bool],
) -> Iterator[Tensor]:
    """Latents (1, z_dim), each nearer to the target in pixels than the one before.

    Args:
        draw: latents (N, z_dim) to images (N, C, H, W).
        target: (1, C, H, W).
        z: (1, z_dim), where it begins.
        unit: the usual distance of two images, in which all is counted.
        steps: at most so many.
        should_stop: asked between batches.
    """
    damping, z_dim = 1.0, z.shape[1]

    def residuals(some: Tensor, prior: float) -> Tensor:
        """(N, pixels + means + numbers): what is left, whose squares are to become least."""
        apart = (draw(some) - target) / unit
        means = COARSE * F.avg_pool2d(apart, COARSE)
        return torch.cat([apart.flatten(1), means.flatten(1), prior**0.5 * some], 1)

    for step in range(steps):
        prior = PRIORS[step >= EASED_AFTER]
        here = residuals(z, prior)
        rows = []
        for part in torch.eye(z_dim).split(BATCH):
            if should_stop():
                return
            rows.append((residuals(z + SPREAD * part, prior) - here) / SPREAD)
        slopes = torch.cat(rows)  # (z_dim, residuals)
        curvature, gradient = slopes @ slopes.T, slopes @ here[0]
        scale = curvature.diagonal().mean() * torch.eye(z_dim)
        tried = [0.1 * damping * factor for factor in DAMPINGS]
        ways = [torch.linalg.lstsq(curvature + each * scale, gradient).solution for each in tried]
        there = z - torch.stack(ways)
        left = residuals(there, prior).square().sum(1)
        best = int(left.argmin())
        if not left[best] < here.square().sum():
            damping *= DAMPINGS[-1]
        else:
            z, damping = there[best : best + 1], damping * DAMPINGS[best]
        yield z
        if left[best] < NEAR_ENOUGH:
            return
