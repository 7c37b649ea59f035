"""Models on disk: safetensors beside readable JSON, in a folder or in one zip.

model.json                how to build the networks, what they learnt from
generator.safetensors     the averaged generator, ready to sample
discriminator.safetensors
preview.jpg  README.md    a picture and the model card
"""

import io
import json
import zipfile
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor, nn

from ganlab.config import ModelConfig
from ganlab.files import write_atomically, write_json
from ganlab.models import build_generator

FORMAT = 1
SHIPPED = Path(__file__).parents[1] / "checkpoints"
MAX_JSON_BYTES = 1_000_000
MAX_TENSOR_BYTES = 2_000_000_000


class CheckpointError(ValueError):
    """A file that is not a ganlab model, said in a sentence."""


class MissingPart(CheckpointError):
    """A file that a checkpoint lacks, perhaps because its run has just replaced it."""


def brief(error: BaseException) -> str:
    """What an error says, in a length that can be shown: PyTorch's may list a million names, which
    a stranger has chosen."""
    return " ".join(str(error)[:1000].split())[:300]


def state_bytes(module: nn.Module) -> bytes:
    """A module's parameters and buffers. Contiguous copies, so that memory formats do not leak."""
    return tensors_to_bytes({k: v.detach().contiguous() for k, v in module.state_dict().items()})


def model_json(config: ModelConfig, about: dict[str, Any]) -> dict[str, Any]:
    return {"format": FORMAT, "model": asdict(config), **about}


def write_checkpoint(
    folder: Path,
    config: ModelConfig,
    files: dict[str, bytes],
    about: dict[str, Any],
) -> None:
    """Writes a checkpoint's files into a folder; `about` joins `model.json`."""
    for name, content in files.items():
        write_atomically(folder / name, content)
    write_json(folder / "model.json", model_json(config, about))


def zip_checkpoint(
    path: Path, config: ModelConfig, files: dict[str, bytes], about: dict[str, Any]
) -> None:
    """The same as one zip, as visitors download it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("model.json", json.dumps(model_json(config, about), indent=1))
        for name, content in files.items():
            archive.writestr(name, content)
    write_atomically(path, buffer.getvalue())


def _member(source: Path, name: str, limit: int) -> bytes:
    """One file of a checkpoint folder or zip, read without unpacking the rest."""
    try:
        if source.is_dir():
            path = source / name
            if path.stat().st_size > limit:
                raise CheckpointError(f"{name} in {source.name} is larger than {limit:,} bytes")
            return path.read_bytes()
        with zipfile.ZipFile(source) as archive, archive.open(name) as file:
            content = file.read(limit + 1)
    except (FileNotFoundError, KeyError):
        raise MissingPart(f"{source.name} holds no {name}: it is not a ganlab model") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise CheckpointError(f"{source.name} cannot be read: {error}") from None
    if len(content) > limit:
        raise CheckpointError(f"{name} in {source.name} is larger than {limit:,} bytes")
    return content


def holds(source: Path, name: str) -> bool:
    """Whether a checkpoint folder or zip has this file."""
    if source.is_dir():
        return (source / name).is_file()
    with zipfile.ZipFile(source) as archive:
        return name in archive.namelist()


def read_tensors(source: Path, name: str) -> dict[str, Tensor]:
    try:
        return tensors_from_bytes(_member(source, name, MAX_TENSOR_BYTES))
    except SafetensorError as error:
        raise CheckpointError(f"{name} in {source.name} is damaged: {error}") from None


def read_model_json(source: Path) -> tuple[ModelConfig, dict[str, Any]]:
    try:
        about = json.loads(_member(source, "model.json", MAX_JSON_BYTES))
        if about["format"] != FORMAT:
            raise CheckpointError(
                f"{source.name} has format {about['format']}, this version reads {FORMAT}"
            )
        return ModelConfig.from_dict(about.pop("model")), about
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{source.name}: model.json is damaged ({error!r})") from None


def shipped() -> list[Path]:
    """The folders of the checkpoints that come with ganlab, by name."""
    return sorted(path.parent for path in SHIPPED.glob("*/model.json"))


def files_of(folder: Path) -> list[Path]:
    """The files of a checkpoint folder, by name."""
    files = (path for path in folder.iterdir() if path.is_file())
    return sorted(path for path in files if not path.name.startswith("."))


def load_generator(source: Path) -> tuple[nn.Module, ModelConfig, dict[str, Any]]:
    """A generator in eval mode from a checkpoint folder or zip, with its config and its story.

    Raises:
        CheckpointError: not a ganlab model, or a damaged one.
    """
    config, about = read_model_json(source)
    return restore_generator(config, source), config, about


def restore_generator(config: ModelConfig, source: Path) -> nn.Module:
    """The generator of a folder or zip that holds `generator.safetensors`, in eval mode."""
    state = read_tensors(source, "generator.safetensors")
    with torch.device("meta"):  # without memory: the file's tensors become the parameters
        generator = build_generator(config)
    try:
        generator.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        differ = f"{source.name}: weights and model.json differ: {brief(error)}"
        raise CheckpointError(differ) from None
    generator.to(torch.float32, memory_format=torch.channels_last)
    return generator.eval().requires_grad_(False)
