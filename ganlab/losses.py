"""The losses that G and D play for: pure functions of logits (B,), and penalties on D's slope."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

LogitLoss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Loss:
    """Both players' losses, each a function of D's logits on real and on generated pictures."""

    title: str
    d: LogitLoss
    g: LogitLoss
    g_sees_real: bool = False  # G's loss depends on the logits of real pictures too
    shift_free: bool = False  # D may add any number to all its logits: only differences count


def bce_d(real: Tensor, fake: Tensor) -> Tensor:
    """-log sigmoid(D(x)) - log(1 - sigmoid(D(G(z)))), from logits."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def minimax_g(real: Tensor, fake: Tensor) -> Tensor:
    """log(1 - sigmoid(D(G(z)))): saturates while D is sure (Goodfellow et al. 2014, eq. 1)."""
    return -F.softplus(fake).mean()


def non_saturating_g(real: Tensor, fake: Tensor) -> Tensor:
    """-log sigmoid(D(G(z))) (Goodfellow et al. 2014, section 3)."""
    return F.softplus(-fake).mean()


def hinge_d(real: Tensor, fake: Tensor) -> Tensor:
    """Lim and Ye 2017, https://arxiv.org/abs/1705.02894."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def wasserstein_d(real: Tensor, fake: Tensor) -> Tensor:
    """Arjovsky et al. 2017, https://arxiv.org/abs/1701.07875; needs R1 to keep D's slope finite."""
    return fake.mean() - real.mean()


def critic_g(real: Tensor, fake: Tensor) -> Tensor:
    """G raises D's score, without a squashing function: with hinge and Wasserstein."""
    return -fake.mean()


def relativistic_d(real: Tensor, fake: Tensor) -> Tensor:
    """softplus(-(D(x) - D(G(z)))), pair by pair (Huang et al. 2024, "R3GAN",
    https://arxiv.org/abs/2501.05441)."""
    return F.softplus(fake - real).mean()


def relativistic_g(real: Tensor, fake: Tensor) -> Tensor:
    """The same with the roles reversed."""
    return F.softplus(real - fake).mean()


LOSSES: dict[str, Loss] = {
    "relativistic": Loss("Relativistic", relativistic_d, relativistic_g, True, True),
    "non-saturating": Loss("Non-saturating", bce_d, non_saturating_g),
    "minimax": Loss("Minimax (saturating)", bce_d, minimax_g),
    "hinge": Loss("Hinge", hinge_d, critic_g),
    "wasserstein": Loss("Wasserstein", wasserstein_d, critic_g, shift_free=True),
}


def squared_slope(images: Tensor, logits: Tensor) -> Tensor:
    """||grad_x D(x)||^2 for each picture, (B,): R1 at real ones, R2 at generated ones.

    Mescheder et al. 2018, https://arxiv.org/abs/1801.04406. The graph is kept, so that the result
    can be trained on. `images` must require grad and `logits` come from them.
    """
    (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return slope.float().square().sum(dim=(1, 2, 3))
