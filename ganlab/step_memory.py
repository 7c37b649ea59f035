"""How much memory a step of training takes, told before it is done: of networks that have shapes
and no numbers."""

from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor, nn

from ganlab.config import ModelConfig, TrainConfig
from ganlab.models import HAS_HEADS, build_discriminator, build_generator

LARGEST_SIZE, COLOURS = 64, 3  # where the pictures are not known yet
FEWEST = 8  # pictures of a batch that are worth to be proposed
PENALISED = 2  # D's own passes again, where its slope is learnt from, too


def megabytes(config: TrainConfig, n_tasks: int, size: int = 0) -> float:
    """What a step takes at its peak, beside what the process has already.

    Args:
        n_tasks: of the pictures, for a batch size that is left to them.
        size: of the pictures; 0 = the config's own, or the largest.
    """
    return sum(_parts(config, n_tasks, size))


def advice(config: TrainConfig, n_tasks: int, size: int, most: float) -> str:
    """Which setting to lower, for a step that takes more than `most` MB."""
    fixed, of_batch = _parts(config, n_tasks, size)
    batch = int((most - fixed) / of_batch * config.fitted(n_tasks).batch_size)
    if batch >= FEWEST:
        return f"a batch size of {batch} fits"
    return "lower the width, or the depth of the heads"


def of_networks(model: ModelConfig) -> float:
    """MB of what a training holds of such networks, which any step takes at least: weights,
    gradients and Adam's two moments; the averaged generator."""
    of_g, of_d = _weights(model)
    return (4 * (of_g + of_d) + of_g) / 1e6


def _parts(config: TrainConfig, n_tasks: int, size: int) -> tuple[float, float]:
    """MB of the networks, and of what a batch keeps."""
    size = size or config.size or LARGEST_SIZE
    heads = n_tasks if HAS_HEADS[config.architecture] else 1
    model = ModelConfig(
        config.architecture, size, COLOURS, tuple(map(str, range(heads))), config.z_dim,
        config.width, config.head_depth, config.z_in_blocks, config.full_size_width_at(size),
        config.mapping_layers, config.own_styles, config.residual, config.palette,
        config.spectral_norm,
    )  # fmt: skip
    kept_g, kept_d = _kept(replace(model, head_depth=0), config.fitted(n_tasks).batch_size)
    looks = 2 + (not config.simultaneous)
    looks += ((config.r1 > 0) + (config.r2 > 0)) * PENALISED
    fixed = of_networks(model)
    if config.conflicts != "none":
        fixed += heads * _weights(model)[0] / 1e6  # a gradient of each task's
    return fixed, (kept_g + looks * kept_d) / 1e6


@lru_cache(64)
def _weights(model: ModelConfig) -> tuple[int, int]:
    """Bytes of G and of D."""
    with torch.device("meta"):
        networks = build_generator(model), build_discriminator(model)
    g, d = (sum(_bytes(each) for each in network.parameters()) for network in networks)
    return g, d


@lru_cache(64)
def _kept(model: ModelConfig, batch: int) -> tuple[int, int]:
    """Bytes that G, and one look of D, keep for the way back. Heads of their own keep as much as
    shared ones: each picture goes through one."""
    with torch.device("meta"):
        generator, discriminator = build_generator(model), build_discriminator(model)
        z, tasks = torch.empty(batch, model.z_dim), torch.zeros(batch, dtype=torch.long)
        images = torch.empty(batch, model.channels, model.size, model.size, requires_grad=True)
        kept_g = _kept_by(generator, z, tasks)
        kept_d = _kept_by(discriminator, images, tasks)
    return kept_g, kept_d


def _kept_by(network: nn.Module, *inputs: Tensor) -> int:
    weights = {each.untyped_storage()._cdata for each in network.parameters()}
    kept: dict[int, Tensor] = {}  # held, so that no two have one address

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(*inputs)
    return sum(t.untyped_storage().nbytes() for place, t in kept.items() if place not in weights)


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
