"""Pretrained features: what the metrics look at instead of pixels.

EfficientNet-Lite0, trained on ImageNet: small enough to ship and to run beside a training on two
cores. It is the EfficientNet-B0 of Tan & Le 2019 (https://arxiv.org/abs/1905.11946) with ReLU6 and
without squeeze and excitation. Numbers computed from it do not compare with those of Inception.

The batch norms are folded into the convolutions, so this is a plain chain of convolutions. That is
less code than calling a library for it, and saves two seconds of imports in every process.
"""

import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

NAME = "EfficientNet-Lite0"
DIM = 1280
WEIGHTS = Path(__file__).parents[2] / "checkpoints" / "efficientnet-lite0" / "model.safetensors"

# Of each stage: blocks, kernel, stride of the first block, expansion, channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
SMALLEST = 64  # smaller pictures are enlarged to this: the network's last map is a 32nd of it
GRAIN = 8.0  # deviation of the grain laid over every picture, in levels of 255
THUMBNAIL = 16  # side of the thumbnails in which copies are found

_STEM = 32
_BATCH = 32  # two cores take twice as long over larger batches (caches)
_loading = threading.Lock()


class Conv(nn.Conv2d):
    """A convolution padded as TensorFlow does: with stride 2, more at the right and the bottom."""

    def __init__(self, a: int, b: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__(a, b, kernel, stride, kernel // 2 if stride == 1 else 0, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride[0] == 2:  # sides are even
            before = (self.kernel_size[0] - 2) // 2
            after = self.kernel_size[0] - 2 - before
            x = F.pad(x, (before, after, before, after))
        return super().forward(x)


class InvertedResidual(nn.Module):
    """Expand, look around in each channel, project (Sandler et al. 2018, MobileNetV2)."""

    def __init__(self, a: int, b: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = a * expansion
        self.expand = Conv(a, inner) if expansion > 1 else None
        self.depthwise = Conv(inner, inner, kernel, stride, groups=inner)
        self.project = Conv(inner, b)
        self.adds = a == b and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.expand(x)) if self.expand else x
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.adds else y


class EfficientNetLite0(nn.Module):
    """Images (B, 3, H, W) in [-1, 1], sides multiples of 32, to features (B, 1280) from 0 to 6."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Conv(3, _STEM, 3, 2)
        blocks, width = [], _STEM
        for count, kernel, stride, expansion, channels in STAGES:
            for i in range(count):
                step = stride if i == 0 else 1
                blocks.append(InvertedResidual(width, channels, kernel, step, expansion))
                width = channels
        self.blocks = nn.Sequential(*blocks)
        self.head = Conv(width, DIM)

    def forward(self, x: Tensor) -> Tensor:
        return self.pooled(self.blocks(F.relu6(self.stem(x))))

    def pooled(self, x: Tensor) -> Tensor:
        """From what the last block gives to the features."""
        return F.relu6(self.head(x)).mean((2, 3))


@lru_cache(1)
def _network() -> EfficientNetLite0:
    with torch.device("meta"):
        network = EfficientNetLite0()
    weights = {name: value.float() for name, value in load_file(WEIGHTS).items()}
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


@lru_cache(4)
def _grain(side: int) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randn(1, 3, side, side, generator=rng) * (GRAIN / 127.5)


def _prepared(images: Tensor) -> Tensor:
    """Pictures (N, 1 or 3, H, W) in [-1, 1] as the network looks at them: in colour, large enough
    and under the grain."""
    if images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    if images.shape[-1] < SMALLEST:
        images = F.interpolate(images, size=(SMALLEST, SMALLEST), mode="bilinear")
    grained = images + _grain(images.shape[-1])
    return grained.contiguous(memory_format=torch.channels_last)


def extract(images: Tensor, before_batch: Callable[[], None] = lambda: None) -> Tensor:
    """Features of pictures, in full precision.

    The same faint grain is laid over all pictures, real and generated. The network learnt from
    photographs: noise of two levels in a flat colour, which no eye sees, moves it half as far as
    another picture would. Under the grain such noise is lost, and what an eye sees is not.

    Args:
        images: uint8 (N, 1 or 3, H, W), on the CPU; those smaller than 64 px are enlarged.
        before_batch: is called before each few of them, and may break it off.

    Returns:
        float32 (N, 1280), values from 0 to 6.
    """
    with _loading:
        network = _network()
    features = torch.empty(len(images), DIM)
    with torch.inference_mode():
        for start in range(0, len(images), _BATCH):
            before_batch()
            x = images[start : start + _BATCH].float().div_(127.5).sub_(1)
            features[start : start + _BATCH] = network(_prepared(x))
    return features


def with_maps(images: Tensor, after: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
    """Features of pictures, through which gradients flow, and maps from further down.

    Args:
        images: (N, 1 or 3, H, W) in [-1, 1], on the CPU.
        after: the blocks, from 0, after which a map is taken.

    Returns:
        (N, 1280), and of each such block (N, C, H', W').
    """
    with _loading:
        network = _network()
    x = F.relu6(network.stem(_prepared(images)))
    maps = []
    for number, block in enumerate(network.blocks):
        x = block(x)
        if number in after:
            maps.append(x)
    return network.pooled(x), maps


def preload() -> None:
    """Loads the network and warms it up, so that a run's first look need not."""
    extract(torch.zeros(1, 3, SMALLEST, SMALLEST, dtype=torch.uint8))


def thumbnails(images: Tensor) -> Tensor:
    """Pictures shrunk by averaging, as vectors: float32 (N, C * 16 * 16) from 0 to 255.

    In these even a visibly noisy copy stays near its original.
    """
    return F.adaptive_avg_pool2d(images.float(), THUMBNAIL).flatten(1)
