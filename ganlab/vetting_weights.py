"""Checks of weights and training states that came from elsewhere: that they fit their network and
that a training can take them up. Shapes come from networks that are built without memory, before a
file is read.
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from ganlab.checkpoints import (
    CheckpointError,
    brief,
    read_model_json,
    read_tensors,
    restore_generator,
)
from ganlab.config import ModelConfig, TrainConfig
from ganlab.device import Plan
from ganlab.models import build_discriminator, build_generator
from ganlab.source import Source
from ganlab.state import fresh_state, unpack
from ganlab.vetting import MAX_STEP, model_of, need, text

SPARE_BYTES = 10_000_000  # of a file, beyond its numbers
_AT_ONCE = 1_000_000  # numbers that are compared: of all, doubles and differences fill the memory
_OTHERS = ("rng", "counts")
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def need_size(model: ModelConfig, need_memory: Callable[[ModelConfig], None]) -> None:
    """That networks can be built, and are as small as `need_memory` wants them: a zip holds
    gigabytes of zeros in little."""
    _networks(model)
    need_memory(model)


def generator(model: ModelConfig, folder: Path) -> None:
    """`generator.safetensors` of a folder: the tensors of this network, all finite."""
    _need_small(folder / "generator.safetensors", _networks(model)[0].state_dict(), 1)
    network = restore_generator(model, folder)
    _need_finite(network.state_dict(), folder)


def training(config: TrainConfig, model: ModelConfig, folder: Path) -> None:
    """A snapshot's training state: it fits the network, and a fresh state takes it."""
    expected = _expected(model)
    _need_small(folder / "training.safetensors", expected, 3)  # Adam keeps two numbers of each
    tensors = read_tensors(folder, "training.safetensors")
    where = f"the training state of step {int(folder.name)}"
    for name, tensor in expected.items():
        _need_alike(tensors, name, tensor, where)
    for name in tensors:
        known = name in expected or name.startswith(("opt_g/", "opt_d/")) or name in _OTHERS
        need(known, f"{where} holds {name[:60]!r}, which no training has")
    for kind, network in zip(("opt_g", "opt_d"), _networks(model), strict=True):
        _vet_optimiser(tensors, kind, list(network.parameters()), where)
    _need_alike(tensors, "rng", torch.Generator().get_state(), where)
    counts = tensors.get("counts", torch.empty(0))
    need(
        counts.dtype == torch.float64 and counts.ndim == 1 and 3 <= len(counts) <= 8,
        f"{where} does not say how far it has come",
    )
    _need_finite(tensors, folder)
    step, images, seconds = counts[:3].tolist()
    need(
        step == int(folder.name) and 0 <= images <= MAX_STEP * 1000 and 0 <= seconds <= 1e10,
        f"{where} belongs to another step",
    )
    del tensors  # they are read again
    try:
        state = fresh_state(config, model, Plan("cpu", "fp32", 1))
        parts = (folder / name for name in ("training.safetensors", "generator.safetensors"))
        unpack(state, *(part.read_bytes() for part in parts))
    except (RuntimeError, ValueError, LookupError, TypeError) as error:
        raise CheckpointError(f"{where} cannot be taken up: {brief(error)}") from None


def _vet_optimiser(
    tensors: dict[str, Tensor], kind: str, parameters: list[nn.Parameter], where: str
) -> None:
    found = [name.split("/")[1:] for name in tensors if name.startswith(kind + "/")]
    indices = {index for index, *_ in found}
    need(
        indices <= {str(i) for i in range(len(parameters))},
        f"{where} has an optimiser of another network",
    )
    need(
        {tuple(parts) for parts in found} == {(i, part) for i in indices for part in _MOMENTS},
        f"{where} has an optimiser that lacks something, or has too much",
    )
    for index in indices:
        for part in _MOMENTS:
            shaped = torch.zeros(()) if part == "step" else parameters[int(index)]
            _need_alike(tensors, f"{kind}/{index}/{part}", shaped, where)


def source(folder: Path, need_memory: Callable[[ModelConfig], None]) -> None:
    """What a transfer began with: a checkpoint, perhaps with its discriminator."""
    model, story = read_model_json(folder)
    told = text(story.get("name", ""), 200) and isinstance(story.get("lineage", {}), dict)
    need(told, "its source does not say where it comes from")
    model_of(asdict(model) | {"tasks": list(model.tasks)})
    need_size(model, need_memory)
    _need_small(folder / "generator.safetensors", _networks(model)[0].state_dict(), 1)
    network = restore_generator(model, folder)
    _need_finite(network.state_dict(), folder)
    if (folder / "discriminator.safetensors").exists():
        discriminator(model, folder)


def discriminator(model: ModelConfig, folder: Path) -> None:
    """`discriminator.safetensors` of a folder: the tensors of this network, all finite."""
    expected = _networks(model)[1].state_dict()
    _need_small(folder / "discriminator.safetensors", expected, 1)
    tensors = read_tensors(folder, "discriminator.safetensors")
    where = f"the discriminator of {folder.name}"
    need(set(tensors) == set(expected), f"{where} is of another network")
    for name, tensor in expected.items():
        _need_alike(tensors, name, tensor, where)
    _need_finite(tensors, folder)


def made(expected: Source, folder: Path) -> None:
    """That the networks in a folder, which were vetted, are those that edits of heads make."""
    parts = {"generator": expected.generator, "discriminator": expected.discriminator}
    for name, tensors in parts.items():
        file, what = f"{name}.safetensors", f"its {name} is not what its edits make"
        need((folder / file).exists() == (tensors is not None), what)
        if tensors is not None:
            found = read_tensors(folder, file)
            need(found.keys() == tensors.keys(), what)
            for key, tensor in tensors.items():
                need(_are_close(found[key], tensor), f"{what}: {key} differs")


def _are_close(one: Tensor, other: Tensor) -> bool:
    """But for how another machine rounds when it adds up."""
    if one.shape != other.shape:
        return False
    parts = zip(one.flatten().split(_AT_ONCE), other.flatten().split(_AT_ONCE), strict=True)
    return all(torch.allclose(a.double(), b.double(), rtol=1e-4, atol=1e-5) for a, b in parts)


def _networks(model: ModelConfig) -> tuple[nn.Module, nn.Module]:
    """Both networks without memory, for their shapes."""
    try:
        with torch.device("meta"):
            return build_generator(model), build_discriminator(model)
    except (ValueError, RuntimeError, LookupError, ArithmeticError, AssertionError) as error:
        raise CheckpointError(f"the model cannot be built: {error}") from None


def _expected(model: ModelConfig) -> dict[str, Tensor]:
    names = ("generator", "discriminator")
    return {
        f"{name}/{key}": tensor
        for name, network in zip(names, _networks(model), strict=True)
        for key, tensor in network.state_dict().items()
    }


def _need_small(path: Path, tensors: dict[str, Tensor], times: int) -> None:
    """Before a file is read into memory."""
    most = times * sum(tensor.numel() * 8 for tensor in tensors.values()) + SPARE_BYTES
    need(path.exists(), f"{path.parent.name} has no {path.name}")
    need(path.stat().st_size <= most, f"{path.name} is larger than its network")


def _need_alike(tensors: dict[str, Tensor], name: str, like: Tensor, where: str) -> None:
    found = tensors.get(name)
    need(found is not None, f"{where} lacks {name}")
    need(
        found.shape == like.shape and found.dtype == like.dtype,
        f"{where} has {name} as {tuple(found.shape)}, not as {tuple(like.shape)}",
    )


def _need_finite(tensors: dict[str, Tensor], folder: Path) -> None:
    for name, tensor in tensors.items():
        need(
            not tensor.is_floating_point() or tensor.isfinite().all(),
            f"{name} in {folder.name} is no longer finite",
        )
