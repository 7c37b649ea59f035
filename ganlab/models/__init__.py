"""The networks, and how to build them from a `ModelConfig`."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from ganlab.config import ModelConfig
from ganlab.models.classic import (
    DcganDiscriminator,
    DcganGenerator,
    MlpDiscriminator,
    MlpGenerator,
)
from ganlab.models.discriminator import Discriminator
from ganlab.models.generator import Generator, block_widths
from ganlab.models.generator import belongs_to_task as is_stacked

HAS_HEADS = {"multihead": True, "dcgan": False, "mlp": False}


def build_generator(config: ModelConfig) -> nn.Module:
    """An untrained generator: latents (B, z_dim) and tasks to images (B, C, size, size)."""
    size, channels, z_dim = config.size, config.channels, config.z_dim
    if config.architecture == "mlp":
        return MlpGenerator(size, channels, z_dim)
    if config.architecture == "dcgan":
        return DcganGenerator(size, channels, z_dim, config.width)
    return Generator(
        len(config.tasks),
        size,
        channels,
        z_dim,
        config.width,
        head_depth=config.head_depth,
        z_in_blocks=config.z_in_blocks,
        full_size_width=config.full_size_width,
        mapping_layers=config.mapping_layers,
        own_styles=config.own_styles,
        residual=config.residual,
        palette=config.palette,
        mean_shift=config.mean_shift,
    )


def build_discriminator(config: ModelConfig) -> nn.Module:
    """An untrained discriminator: images and task ids (B,) to logits (B,)."""
    size, channels = config.size, config.channels
    if config.architecture == "mlp":
        return MlpDiscriminator(size, channels)
    if config.architecture == "dcgan":
        return DcganDiscriminator(size, channels, config.width)
    return Discriminator(len(config.tasks), size, channels, config.width, config.spectral_norm)


def belongs_to_task(name: str, config: ModelConfig) -> bool:
    """Whether a parameter or buffer of this generator holds a row for every task."""
    blocks = len(block_widths(config.size, config.width)) - (0 if config.full_size_width else 1)
    return is_stacked(name, config.head_depth, config.own_styles, blocks)


def with_deeper_heads(
    tensors: Mapping[str, Tensor], config: ModelConfig, depth: int
) -> dict[str, Tensor]:
    """A generator's tensors for heads of a greater depth, which draw the same: each task gets its
    copy of what was shared."""
    deeper, rows = replace(config, head_depth=depth), len(config.tasks)
    changed = dict(tensors)
    for name, value in tensors.items():
        if belongs_to_task(name, deeper) and not belongs_to_task(name, config):
            # The last layer is stacked already, with one row; other layers as PyTorch has them.
            shared = value if name.startswith("last.") else value.reshape(1, -1)
            changed[name] = shared.repeat(rows, 1)
    return changed
