"""The classics of the literature, as they are taught: the MLP GAN and the DCGAN.

Both know nothing of tasks; they take task ids for the sake of one call signature and ignore them.
"""

from itertools import pairwise
from math import prod

from torch import Tensor, nn

from ganlab.models.generator import like_kernel


class MlpGenerator(nn.Module):
    """z (B, 100) through layers of 128, 256, 512 and 1024 to pixels (Goodfellow et al. 2014,
    https://arxiv.org/abs/1406.2661, in the form that most courses use)."""

    def __init__(self, size: int, channels: int, z_dim: int = 100):
        super().__init__()
        self.z_dim, self.n_tasks, self.n_blocks = z_dim, 1, 1
        self.shape = (channels, size, size)
        widths = [z_dim, 128, 256, 512, 1024]
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(pairwise(widths)):
            norm = [nn.BatchNorm1d(b)] if i else []
            layers += [nn.Linear(a, b), *norm, nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], prod(self.shape)), nn.Tanh())

    def forward(self, z: Tensor, tasks: Tensor | None = None) -> Tensor:
        return self.layers(z).unflatten(1, self.shape)

    def first_features(self, z: Tensor, tasks: Tensor | None = None) -> Tensor:
        """Of latents (B, z_dim), where they are first normalised: (B, 256)."""
        return self.layers[:4](z)


class MlpDiscriminator(nn.Module):
    """pixels through layers of 512 and 256 to one logit."""

    def __init__(self, size: int, channels: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * size * size, 512),
            nn.LeakyReLU(0.2),
            nn.Linear(512, 256),
            nn.LeakyReLU(0.2),
            nn.Linear(256, 1),
        )

    def forward(self, x: Tensor, tasks: Tensor | None = None) -> Tensor:
        return self.layers(x).squeeze(1)


def _dcgan_init(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


class DcganGenerator(nn.Module):
    """ConvTranspose 100 -> ... -> 3 with batch norm (Radford et al. 2015,
    https://arxiv.org/abs/1511.06434)."""

    def __init__(self, size: int, channels: int, z_dim: int = 100, width: int = 64):
        super().__init__()
        self.z_dim, self.n_tasks, self.n_blocks = z_dim, 1, 1
        n_blocks = (size // 8).bit_length()
        widths = [width * 2**i for i in reversed(range(n_blocks))]
        layers: list[nn.Module] = [nn.ConvTranspose2d(z_dim, widths[0], 4, bias=False)]
        for a, b in zip(widths, [*widths[1:], channels], strict=True):
            layers += [nn.BatchNorm2d(a), nn.ReLU()]
            layers += [nn.ConvTranspose2d(a, b, 4, stride=2, padding=1, bias=False)]
        self.layers = nn.Sequential(*layers, nn.Tanh())
        self.apply(_dcgan_init)

    def forward(self, z: Tensor, tasks: Tensor | None = None) -> Tensor:
        return self.layers(like_kernel(z[:, :, None, None], self.layers[0].weight))

    def first_features(self, z: Tensor, tasks: Tensor | None = None) -> Tensor:
        """Of latents (B, z_dim), where they are first normalised: (B, C, 4, 4)."""
        return self.layers[:2](like_kernel(z[:, :, None, None], self.layers[0].weight))


class DcganDiscriminator(nn.Module):
    """The mirror image: strided convolutions, batch norm but in the first block, one logit."""

    def __init__(self, size: int, channels: int, width: int = 64):
        super().__init__()
        n_blocks = (size // 8).bit_length()
        widths = [channels] + [width * 2**i for i in range(n_blocks)]
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(pairwise(widths)):
            layers.append(nn.Conv2d(a, b, 4, stride=2, padding=1, bias=False))
            layers += [nn.BatchNorm2d(b)] if i else []
            layers.append(nn.LeakyReLU(0.2))
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, bias=False))
        self.apply(_dcgan_init)

    def forward(self, x: Tensor, tasks: Tensor | None = None) -> Tensor:
        return self.layers(x).flatten()
