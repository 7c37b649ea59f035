"""How the last features of a generator become flat colours, as drawings have them."""

import torch
import torch.nn.functional as F
from torch import Tensor

SHARPNESS = 6.0  # of the softmax: with 2, fewer pixels came to be of one colour
FAINTEST = -40.0  # as an exponent: denormal weights took three times as long
AT_ONCE = 1  # picture, whose weights stay in a core's cache: of four they took a tenth longer
SAMPLED = 8  # pixels per side that stand for all: of 16, it took four times as long


def paint(shares: Tensor, colours: Tensor) -> Tensor:
    """Mixes each pixel from the colours of its picture.

    Args:
        shares: (B, K, H, W), before the softmax over K.
        colours: (B, C * K), before the tanh.

    Returns:
        Images (B, C, H, W) in [-1, 1].
    """
    shares = (SHARPNESS * shares).softmax(1)
    palette = torch.tanh(colours).to(shares.dtype).unflatten(1, (-1, shares.shape[1]))
    return (palette @ shares.flatten(2)).unflatten(2, shares.shape[2:])


def shift_to_mean(images: Tensor, reach: float) -> Tensor:
    """Moves every pixel to the mean of those that have nearly its colour, wherever they are.

    One step of the mean shift (Comaniciu and Meer 2002, https://doi.org/10.1109/34.1000236) with a
    Gaussian kernel, in colour alone: texture that is fainter than the kernel is wide vanishes, and
    edges stay, unlike under a blur. A grid of pixels stands for the picture; each pixel also counts
    itself, so that a colour which none of these has stays as it is.

    Args:
        images: (B, C, H, W) in [-1, 1].
        reach: the kernel's standard deviation, in the same units.
    """
    height, width = images.shape[2:]
    down, right = max(height // SAMPLED, 1), max(width // SAMPLED, 1)
    with torch.autocast(images.device.type, enabled=False):  # bf16 cannot tell near colours apart
        exact = (images if images.dtype == torch.float64 else images.float()) / reach
        some = exact[:, :, down // 2 :: down, right // 2 :: right].flatten(2)
        every = exact.flatten(2)
        # -|a - b|² / 2 = ab - |a|² / 2 - |b|² / 2 in one product, which leaves no large term over.
        values = _with_ones(some)
        of_some = torch.cat([values, some.square().sum(1, keepdim=True) / -2], 1)
        of_every = _with_ones(torch.cat([every, every.square().sum(1, keepdim=True) / -2], 1))
        whole = (of_some, of_every, values)
        if torch.jit.is_tracing():  # a graph for any number of pictures holds no loop over them
            totals = _weighed(*whole)
        else:
            few = zip(*(x.split(AT_ONCE) for x in whole), strict=True)
            totals = torch.cat([_weighed(*parts) for parts in few])
        means = reach * (every + totals[:, :-1]) / (1 + totals[:, -1:])
    return means.unflatten(2, (height, width)).to(images.dtype)


def _with_ones(x: Tensor) -> Tensor:
    """(B, D, P) with one more row, of ones: (B, D + 1, P)."""
    return F.pad(x, (0, 0, 0, 1), value=1.0)


def _weighed(some: Tensor, every: Tensor, values: Tensor) -> Tensor:
    """Sums of values (B, K, S) for every pixel: weights are exponentials of the products of
    `some` (B, D, S) and `every` (B, D, P). Gives (B, K, P)."""
    return values @ (some.transpose(1, 2) @ every).clamp_(min=FAINTEST).exp_()
