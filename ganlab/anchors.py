"""What holds a generator near its source while it learns from very few pictures."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganlab import sampling

FISHER_SAMPLES = 64
_SEED = 4_000


class Consolidation:
    """Elastic weight consolidation: Σ F (θ - θ_source)², where F tells how much a weight matters.

    Li et al. 2020, https://arxiv.org/abs/2012.02780. F is the Fisher information of what the
    source's D says of the source's samples: the mean of *squared* gradients of log σ(D(G(z))), one
    sample at a time, divided by its mean over all weights, so that one strength suits all sources.
    Called after G has drawn, it gives a term of G's loss.
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
