"""The Discriminator: one trunk, one logit per task (as in StarGAN v2), no norm.

Kernels are 3x3: at 4x4 a training step takes a quarter longer, which a minute does not pay back.
"""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm as spectrally_normalised

from ganlab.models.generator import block_widths


class Discriminator(nn.Module):
    """images (B, channels, size, size) and task ids (B,) to logits (B,)."""

    def __init__(
        self,
        n_tasks: int,
        size: int = 64,
        channels: int = 3,
        width: int = 32,
        spectral_norm: bool = False,
    ):
        super().__init__()
        widths = [channels, *block_widths(size, width)]
        self.downs = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths)
        )
        self.logits = nn.Linear(widths[-1] * 16, n_tasks)
        for layer in self.downs:
            nn.init.kaiming_normal_(layer.weight, a=0.2)
            nn.init.zeros_(layer.bias)
        if spectral_norm:
            for layer in [*self.downs, self.logits]:
                spectrally_normalised(layer)

    def forward(self, x: Tensor, tasks: Tensor) -> Tensor:
        return self.scores(x).gather(1, tasks[:, None]).squeeze(1)

    def scores(self, x: Tensor) -> Tensor:
        """The logits for every task, (B, n_tasks)."""
        for down in self.downs:
            x = F.leaky_relu(down(x), 0.2)
        return self.logits(x.flatten(1))
