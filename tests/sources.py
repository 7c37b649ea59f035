"""Small sources for the tests of transfers: networks with weights drawn at random."""

from pathlib import Path
from typing import Any

import torch

from ganlab import checkpoints
from ganlab.config import ModelConfig
from ganlab.models import build_discriminator, build_generator
from ganlab.source import Source
from ganlab.transfer_config import TransferConfig

SHAPE = {"z_in_blocks": True, "own_styles": True, "mapping_layers": 1, "residual": True}


def small_source(tasks: tuple[str, ...] = ("a", "b"), channels: int = 3, **shape: Any) -> Source:
    """With every parameter and statistic away from where it begins, so that a change shows."""
    config = ModelConfig("multihead", 32, channels, tasks, 8, 8, **{**SHAPE, **shape})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator, discriminator = build_generator(config), build_discriminator(config)
        for value in [*generator.parameters(), *generator.buffers()]:
            value.data += 0.1 * torch.rand_like(value)
        for norm in generator.norms:  # heads that can be told apart
            norm.shift.data += torch.randn_like(norm.shift)
            norm.scale.data += torch.randn_like(norm.scale)
    return Source("small", config, generator.state_dict(), discriminator.state_dict())


def write_small_checkpoint(folder: Path, **shape: Any) -> Path:
    """The same as a checkpoint's folder."""
    source = small_source(**shape)
    files = {
        "generator.safetensors": checkpoints.tensors_to_bytes(source.generator),
        "discriminator.safetensors": checkpoints.tensors_to_bytes(source.discriminator),
    }
    checkpoints.write_checkpoint(folder, source.config, files, {"name": "small"})
    return folder


def tiny_transfer(strategy: str = "finetune", **changes: Any) -> TransferConfig:
    settings = {"heads": ("a",), "steps": 10, "seconds": None, "precision": "fp32"}
    if "seconds" in changes:
        del settings["steps"]
    return TransferConfig(strategy=strategy, **{**settings, **changes})
