"""Small generators with random weights, and what they are given."""

import torch
from torch import Tensor

from ganlab.models.generator import Generator

N_TASKS, Z_DIM = 3, 16
BLEND = (0.5, 0.2, 0.3)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def latents(n: int = 6) -> Tensor:
    return torch.randn(n, Z_DIM, generator=seeded(5), dtype=torch.float64)


def weights(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def styled(n_tasks: int = N_TASKS, **options) -> Generator:
    """In doubles and in eval mode, with z in every block and heads that differ."""
    torch.manual_seed(0)
    generator = Generator(n_tasks, 32, 3, Z_DIM, 8, z_in_blocks=True, **options).double().eval()
    with torch.no_grad():
        for norm in generator.norms:
            norm.scale.normal_(1, 0.3)
            norm.shift.normal_(0, 0.3)
        for style in generator.styles:
            style.bias.normal_(0, 0.1)
    return generator


def own(**options) -> Generator:
    """With styles that differ from head to head, as if trained."""
    generator = styled(own_styles=True, **options)
    with torch.no_grad():
        for style in generator.styles:
            style.weight.add_(torch.randn(style.weight.shape, generator=seeded()), alpha=0.1)
            style.bias.add_(torch.randn(style.bias.shape, generator=seeded(1)), alpha=0.1)
    return generator
