"""What holds a generator near its source while it learns from very few pictures.

`Consolidation` holds weights (EWC), `Correspondence` holds the distances between samples (CDC).
Both are called after G has drawn, and give a term of G's loss.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganlab import sampling

FISHER_SAMPLES = 64
CDC_BATCH = 4
_SEED = 4_000


class Consolidation:
    """Elastic weight consolidation: Σ F (θ - θ_source)², where F tells how much a weight matters.

    Li et al. 2020, https://arxiv.org/abs/2012.02780. F is the Fisher information of what the
    source's D says of the source's samples: the mean of *squared* gradients of log σ(D(G(z))), one
    sample at a time, divided by its mean over all weights, so that one strength suits all sources.
    """

    def __init__(self, generator: nn.Module, discriminator: nn.Module, strength: float):
        """Takes both networks as the source left them, and leaves them as they are."""
        self.strength = strength
        self._anchor = {n: p.detach().clone() for n, p in generator.named_parameters()}
        self._fisher = fisher_information(generator, discriminator)

    def __call__(self, generator: nn.Module) -> Tensor:
        terms = [
            (self._fisher[name] * (now - self._anchor[name]).square()).sum()
            for name, now in generator.named_parameters()
            if now.requires_grad
        ]
        return self.strength * torch.stack(terms).sum()


def fisher_information(
    generator: nn.Module, discriminator: nn.Module, samples: int = FISHER_SAMPLES
) -> dict[str, Tensor]:
    """Of every parameter of G, like it in shape; the mean over all of them is 1."""
    generator, discriminator = copy.deepcopy(generator).eval(), copy.deepcopy(discriminator)
    generator.requires_grad_(True)
    named = dict(generator.named_parameters())
    total = {name: torch.zeros_like(parameter) for name, parameter in named.items()}
    device = next(iter(named.values())).device
    z = sampling.latents(samples, generator.z_dim, _SEED).to(device)
    tasks = sampling.spread_tasks(samples, generator.n_tasks).to(device)
    for i in range(samples):
        logit = discriminator(generator(z[i : i + 1], tasks[i : i + 1]), tasks[i : i + 1])
        gradients = torch.autograd.grad(F.logsigmoid(logit).sum(), list(named.values()))
        for name, gradient in zip(named, gradients, strict=True):
            total[name] += gradient.square()
    n = sum(value.numel() for value in total.values())
    mean = torch.stack([value.sum() for value in total.values()]).sum() / n
    return {name: value / mean.clamp_min(1e-30) for name, value in total.items()}


class Correspondence:
    """Cross-domain correspondence: samples that were alike in the source stay alike, and others
    stay apart.

    Ojha et al. 2021, https://arxiv.org/abs/2104.06820. For each sample of a small batch, a softmax
    over the cosine similarities of its features to those of the others; the loss is the divergence
    from the source's to the child's, over the outputs of every block.
    """

    def __init__(self, source: nn.Module, strength: float, rng: torch.Generator):
        """`source` is in eval mode and stays as it is."""
        self._source, self.strength, self._rng = source, strength, rng

    def __call__(self, generator: nn.Module) -> Tensor:
        device = next(generator.parameters()).device
        z = torch.randn(CDC_BATCH, generator.z_dim, generator=self._rng).to(device)
        tasks = torch.arange(CDC_BATCH, device=device) % generator.n_tasks
        with torch.no_grad():
            before = features_of(self._source, z, tasks)
        terms = [
            F.kl_div(_likeness(now), _likeness(then), log_target=True, reduction="batchmean")
            for now, then in zip(features_of(generator, z, tasks), before, strict=True)
        ]
        return self.strength * torch.stack(terms).mean()


def _likeness(features: Tensor) -> Tensor:
    """Log-softmax, for each sample, of its cosine similarities to the others: (B, B - 1)."""
    rows = F.normalize(features.float().flatten(1), dim=1)
    others = ~torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    return (rows @ rows.T)[others].view(len(rows), -1).log_softmax(1)


def features_of(generator: nn.Module, z: Tensor, tasks: Tensor) -> list[Tensor]:
    """What each block of G gives on, (B, C, H, W), coarse first."""
    kept: list[Tensor] = []

    def keep(module: nn.Module, given: object, made: Tensor) -> None:
        kept.append(made)

    hooks = [norm.register_forward_hook(keep) for norm in generator.norms]
    try:
        generator(z, tasks)
    finally:
        for hook in hooks:
            hook.remove()
    return kept


Regulariser = Callable[[nn.Module], Tensor]
