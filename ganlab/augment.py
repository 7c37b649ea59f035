"""Augmentations of picture batches (B, C, H, W) in [-1, 1]; randomness comes from one generator.

`diffaugment` is differentiable, so that G learns through it (Zhao et al. 2020,
https://arxiv.org/abs/2006.10738).
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def _uniform(x: Tensor, generator: torch.Generator, *shape: int) -> Tensor:
    """Uniform in [0, 1). Drawn on the CPU, so that a seed means the same on every device."""
    return torch.rand(shape, generator=generator).to(x.device)


def random_flips(x: Tensor, generator: torch.Generator) -> Tensor:
    """Mirrors each picture with probability 1/2."""
    flip = torch.rand(len(x), generator=generator) < 0.5
    return torch.where(flip[:, None, None, None].to(x.device), x.flip(3), x)


def brightness(x: Tensor, generator: torch.Generator) -> Tensor:
    """Adds up to half of [0, 1]'s range in either direction."""
    return x + (_uniform(x, generator, len(x), 1, 1, 1) - 0.5)


def saturation(x: Tensor, generator: torch.Generator) -> Tensor:
    """Scales the distance to grey by 0 to 2. Leaves grey pictures as they are."""
    grey = x.mean(dim=1, keepdim=True)
    return grey + (x - grey) * (2 * _uniform(x, generator, len(x), 1, 1, 1))


def contrast(x: Tensor, generator: torch.Generator) -> Tensor:
    """Scales the distance to the picture's mean by 0.5 to 1.5."""
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (x - mean) * (0.5 + _uniform(x, generator, len(x), 1, 1, 1))


def translation(x: Tensor, generator: torch.Generator) -> Tensor:
    """Moves each picture by up to an eighth of its side; what comes in is 0."""
    b, _, h, w = x.shape
    reach_y, reach_x = h // 8, w // 8
    dy = torch.randint(-reach_y, reach_y + 1, (b,), generator=generator).to(x.device)
    dx = torch.randint(-reach_x, reach_x + 1, (b,), generator=generator).to(x.device)
    padded = F.pad(x, (reach_x, reach_x, reach_y, reach_y))
    rows = torch.arange(h, device=x.device) + reach_y + dy[:, None]
    cols = torch.arange(w, device=x.device) + reach_x + dx[:, None]
    batch = torch.arange(b, device=x.device)[:, None, None]
    moved = padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], cols[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def cutout(x: Tensor, generator: torch.Generator) -> Tensor:
    """Blanks a square of half the side around a random point."""
    b, _, h, w = x.shape
    top = torch.randint(0, h + 1, (b, 1), generator=generator).to(x.device) - h // 4
    left = torch.randint(0, w + 1, (b, 1), generator=generator).to(x.device) - w // 4
    rows, cols = torch.arange(h, device=x.device), torch.arange(w, device=x.device)
    rows = (rows >= top) & (rows < top + h // 2)
    cols = (cols >= left) & (cols < left + w // 2)
    hidden = rows[:, None, :, None] & cols[:, None, None, :]
    return x * ~hidden


CHANGES = brightness, saturation, contrast, translation, cutout  # in the published order


def diffaugment(x: Tensor, generator: torch.Generator, p: float = 1.0) -> Tensor:
    """All of `CHANGES`, each picture with probability `p` (as Karras et al. 2020 do,
    https://arxiv.org/abs/2006.06676: some of what G is taught by are real pictures as they are)."""
    changed = x
    for change in CHANGES:
        changed = change(changed, generator)
    if p >= 1:
        return changed
    return torch.where(_uniform(x, generator, len(x), 1, 1, 1) < p, changed, x)
