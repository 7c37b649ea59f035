"""Conflicts between tasks: what G's trunk does where tasks pull it in opposite directions.

Pure functions of the tasks' gradients on the trunk, (n_tasks, P). Each is the part of the joint
gradient that comes from the task's own samples, so their sum is the joint gradient, and whatever a
function here gives takes its place.

Only G's trunk is treated so. A task of its own costs one more way back through the network; D's
way back is longer than G's, as it holds real and generated pictures and now and then the slope
penalty's second derivatives, and one step of D would cost as much as a whole step of both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

CAUTION = 0.5  # CAGrad's c, as in its paper's experiments
ROUNDS = 60  # by which its weights are found


def pcgrad(gradients: Tensor, rng: torch.Generator) -> Tensor:
    """What is left when each task gives up what runs against another (Yu et al. 2020,
    https://arxiv.org/abs/2001.06782), summed: (P,).

    For each task i, over the others j in a random order: where g_i·g_j < 0,
    g_i <- g_i - (g_i·g_j / |g_j|²) g_j, with g_i as it is by then and g_j as it was.
    """
    products = _products(gradients)
    n = len(gradients)
    # Every g_i stays a weighted sum of the first ones, so that only weights need to change.
    weights = torch.eye(n, dtype=torch.float64)
    for i in range(n):
        for j in torch.randperm(n, generator=rng).tolist():
            along = float(weights[i] @ products[:, j])
            if j != i and along < 0:
                weights[i, j] -= along / products[j, j]
    return _weighted(weights.sum(0), gradients)


def cagrad(gradients: Tensor, rng: torch.Generator) -> Tensor:
    """The direction near the joint one that helps the worst-off task most (Liu et al. 2021,
    https://arxiv.org/abs/2110.14048): (P,).

    With the mean g_0 and g_w = Σ w_i g_i, it is g_0 + c |g_0| g_w / |g_w|, where w, on the simplex,
    has the smallest g_w·g_0 + c |g_0| |g_w|; then times n_tasks, as the sum of tasks is.
    """
    n, products = len(gradients), _products(gradients)
    mean = torch.full((n,), 1 / n, dtype=torch.float64)
    radius = CAUTION * _length(mean, products)
    if radius == 0:
        return gradients.sum(0)
    w = _worst(products, mean, radius)
    length = _length(w, products)
    more = radius / length * w if length > 0 else torch.zeros_like(w)
    return _weighted(n * (mean + more), gradients)


def _worst(products: Tensor, mean: Tensor, radius: Tensor) -> Tensor:
    """CAGrad's weights (n,), by exponentiated gradients, of which the best are kept."""
    w = best = mean
    lowest = torch.inf
    for i in range(ROUNDS):
        across, length = products @ w, _length(w, products)
        value = float(across @ mean + radius * length)
        if value < lowest:
            best, lowest = w, value
        slope = products @ mean + radius * across / length.clamp(min=1e-30)
        slope = slope - (w @ slope)
        pace = slope.abs().max()
        if pace == 0:
            break
        w = (w.log() - slope / pace * (i + 1) ** -0.5).softmax(0).clamp(min=1e-12)
        w = w / w.sum()
    return best


def _products(gradients: Tensor) -> Tensor:
    """All dot products (n_tasks, n_tasks), in doubles, on the CPU."""
    return (gradients @ gradients.T).double().cpu()


def _length(weights: Tensor, products: Tensor) -> Tensor:
    return (weights @ products @ weights).clamp(min=0).sqrt()


def _weighted(weights: Tensor, gradients: Tensor) -> Tensor:
    return weights.to(gradients) @ gradients


@dataclass(frozen=True)
class Conflict:
    """A way to deal with conflicts. `combine` takes gradients (n_tasks, P) and a random generator
    and gives what G steps by, (P,); None = their sum, in one way back for all tasks."""

    title: str
    combine: Callable[[Tensor, torch.Generator], Tensor] | None = None


CONFLICTS = {
    "none": Conflict("Add the tasks up"),
    "pcgrad": Conflict("Take out what opposes another task (PCGrad)", pcgrad),
    "cagrad": Conflict("Lean towards the worst-off task (CAGrad)", cagrad),
}


def cosines(gradients: Tensor) -> Tensor:
    """How far each pair of tasks agrees, (n_tasks, n_tasks), from -1 to 1 with a diagonal of 1; NaN
    beside a task without gradient, of which nothing can be told."""
    lengths = gradients.norm(dim=1, keepdim=True)
    units = gradients / lengths
    found = (units @ units.T).clamp(-1, 1).cpu()
    found = (found + found.T) / 2
    return found.fill_diagonal_(1.0)


def apart(
    images: Tensor, way: Tensor, shares: Tensor, parameters: Sequence[nn.Parameter]
) -> list[tuple[Tensor, ...]]:
    """Each task's part of the gradient, for every parameter; the graph is kept.

    Batch norm ties the samples of a batch together, so no task's part can be had from its own
    samples alone: each goes back through the whole graph, with its own share of the way.

    Args:
        images: (B, C, H, W) as G made them, with their graph.
        way: the loss's gradient at the images.
        shares: of each image that are a task's, (B, n_tasks), rows summing to 1.
    """
    parts = []
    for own in shares.T:
        if not own.any():
            parts.append(tuple(torch.zeros_like(parameter) for parameter in parameters))
            continue
        masked = way * own[:, None, None, None].to(way.dtype)
        found = torch.autograd.grad(
            images, parameters, masked, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        parts.append(found)
    return parts


def stacked(parts: Sequence[Sequence[Tensor]]) -> Tensor:
    """Parts of the gradient, by task and parameter, as (n_tasks, P)."""
    return torch.stack([torch.cat([part.reshape(-1) for part in own]) for own in parts]).float()
