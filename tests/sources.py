"""Small sources for the tests of transfers: networks with weights drawn at random."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from conftest import tiny
from safetensors.torch import save as tensors_to_bytes

from ganlab import checkpoints
from ganlab.config import ModelConfig
from ganlab.jobs import Jobs
from ganlab.models import build_discriminator, build_generator
from ganlab.runs import Run
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
        "generator.safetensors": tensors_to_bytes(source.generator),
        "discriminator.safetensors": tensors_to_bytes(source.discriminator),
    }
    checkpoints.write_checkpoint(folder, source.config, files, {"name": "small"})
    return folder


def tiny_transfer(strategy: str = "finetune", **changes: Any) -> TransferConfig:
    settings = {"heads": ("a",), "steps": 10, "seconds": None, "precision": "fp32"}
    if "seconds" in changes:
        del settings["steps"]
    return TransferConfig(strategy=strategy, **{**settings, **changes})


def own_run(
    jobs: Jobs,
    *,
    snapshot: bool = True,
    source: Source | None = None,
    name: str = "drawings",
    **changes: Any,
) -> tuple[str, str]:
    """A run of the visitor's own; its id and token.

    Args:
        source: what it has learnt; None = the small one.
        name: of its pictures.
    """
    run, token = Run.create(tiny(**changes), runs=jobs.folder)
    if snapshot:
        source = source or small_source()
        training = {f"discriminator/{name}": v for name, v in source.discriminator.items()}
        run.describe(model=asdict(source.config), data={"name": name, "pictures": 16})
        run.save_snapshot(7, tensors_to_bytes(source.generator), tensors_to_bytes(training))
    return run.id, token
