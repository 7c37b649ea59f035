"""What a transfer starts from: a trained pair of networks, cut to the heads that it needs.

A source is any checkpoint or run. `carve` takes some of its heads as a network of their own, which
is what trains; `graft` puts a trained head back beside the old ones, which stay as they were, bit
for bit.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor, nn

from ganlab import checkpoints, kinship, metrics, models, sampling
from ganlab.config import ModelConfig
from ganlab.data.dataset import Dataset
from ganlab.files import write_atomically
from ganlab.models import HAS_HEADS, belongs_to_task, build_generator, features
from ganlab.paths import cache_dir, runs_dir
from ganlab.runs import SOURCE_FOLDER as FOLDER
from ganlab.runs import Run

FEWEST_FOR_KID = 4  # pictures
SAMPLES_PER_HEAD = 32  # by which the head nearest to some pictures is found
STORY = ("name", "lineage", "ancestors", "data_licence")  # of model.json, what a source keeps
_SEED = 3_000

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Source:
    """A trained generator and its discriminator.

    Attributes:
        discriminator: None = none came with it that could train on.
        story: where it comes from, for the lineage.
    """

    name: str
    config: ModelConfig
    generator: Tensors
    discriminator: Tensors | None = None
    story: dict[str, Any] = field(default_factory=dict)

    def build(self) -> nn.Module:
        """The generator in eval mode."""
        network = build_generator(self.config)
        network.load_state_dict(self.generator)
        network.to(memory_format=torch.channels_last)
        return network.eval().requires_grad_(False)


def open_source(text: str, step: int | None = None) -> Source:
    """A shipped checkpoint by its name, a run by its id or folder, a checkpoint's folder or zip.

    Args:
        step: which snapshot of a run; None = the one of `step_to_take`.

    Raises:
        ValueError: nothing there, or nothing to start from.
    """
    path = find_source(text)
    return source_of_run(Run(path), step) if (path / "run.json").exists() else read_source(path)


def find_source(text: str) -> Path:
    """Where the source of this name lies, or ValueError."""
    shipped = {folder.name: folder for folder in checkpoints.shipped()}
    path = shipped.get(text, Path(text))
    if not path.exists() and (runs_dir() / text).is_dir():
        path = runs_dir() / text
    if not path.exists():
        raise ValueError(
            f"{text} is neither {' nor '.join(shipped)}, nor a run's id, nor a folder or zip that "
            "exists"
        )
    return path


def source_of_run(run: Run, step: int | None = None) -> Source:
    """A run's snapshot; its D comes along if that snapshot can be trained on.

    Raises:
        ValueError: no snapshot, or a network without heads.
    """
    about = run.about
    snapshot = run.snapshot(run.step_to_take() if step is None else step)
    config = run.model_at(int(snapshot.name))
    name = f"run {run.id[:6]}"
    refuse_unfit(name, config)
    training, discriminator = snapshot / "training.safetensors", None
    if (snapshot / "discriminator.safetensors").exists():  # of edited heads
        discriminator = load_file(snapshot / "discriminator.safetensors")
    elif training.exists() and not config.spectral_norm:
        start = "discriminator/"
        discriminator = {
            key[len(start) :]: value
            for key, value in load_file(training).items()
            if key.startswith(start)
        }
    generator = load_file(snapshot / "generator.safetensors")
    lineage = {"run": run.id, "step": int(snapshot.name), "data": about["data"]}
    story = {"lineage": lineage, "ancestors": kinship.of_run(run)}
    source = Source(name, config, generator, discriminator, story)
    _check(source)
    return source


def read_source(folder: Path, name: str | None = None) -> Source:
    """From a checkpoint's folder or zip.

    Raises:
        CheckpointError: not a ganlab model, or a damaged one.
        ValueError: a network of another kind, which cannot be carved.
    """
    config, about = checkpoints.read_model_json(folder)
    name = name or about.get("name") or folder.stem
    refuse_unfit(name, config)
    generator = checkpoints.read_tensors(folder, "generator.safetensors")
    discriminator = None
    if checkpoints.holds(folder, "discriminator.safetensors") and not config.spectral_norm:
        discriminator = checkpoints.read_tensors(folder, "discriminator.safetensors")
    story = {key: about[key] for key in STORY if key in about}
    source = Source(name, config, generator, discriminator, story)
    _check(source)
    return source


def refuse_unfit(name: str, config: ModelConfig) -> None:
    """Complains about networks without heads, before anything is read or started."""
    if not HAS_HEADS[config.architecture]:
        raise ValueError(
            f"{name} is a classic {config.architecture.upper()} without a trunk and heads, of which"
            " no part could be frozen: choose another source."
        )


def _check(source: Source) -> None:
    """That the tensors make the network that the config promises."""
    with torch.device("meta"):
        network = build_generator(source.config)
    try:
        network.load_state_dict(source.generator, strict=True, assign=True)
    except RuntimeError as error:
        raise checkpoints.CheckpointError(
            f"{source.name}: weights and model.json differ: {checkpoints.brief(error)}"
        ) from None


def write_source(source: Source, run_path: Path) -> None:
    """Keeps a source inside a run's folder, so that nothing else is needed to resume."""
    files = {"generator.safetensors": tensors_to_bytes(source.generator)}
    if source.discriminator is not None:
        files["discriminator.safetensors"] = tensors_to_bytes(source.discriminator)
    about = {"name": source.name, **source.story}
    checkpoints.write_checkpoint(run_path / FOLDER, source.config, files, about)


def carve(source: Source, heads: tuple[str, ...], tasks: tuple[str, ...]) -> Source:
    """Only these heads, in this order, under new names: a network that draws what they drew.

    Args:
        heads: of the source; one may be taken several times.
        tasks: their new names.

    Raises:
        ValueError: the source has no such head.
    """
    assert len(heads) == len(tasks)
    config = source.config
    if unknown := [head for head in heads if head not in config.tasks]:
        known = ", ".join(config.tasks)
        raise ValueError(f"{source.name} has no head {unknown[0]!r}; choose from {known}.")
    rows = torch.tensor([config.tasks.index(head) for head in heads])
    generator = {
        name: value[rows] if belongs_to_task(name, config) else value.clone()
        for name, value in source.generator.items()
    }
    discriminator = None
    if source.discriminator is not None:
        discriminator = {
            name: value[rows] if name.startswith("logits.") else value.clone()
            for name, value in source.discriminator.items()
        }
    return replace(
        source,
        config=replace(config, tasks=tasks),
        generator=generator,
        discriminator=discriminator,
    )


def with_deeper_heads(source: Source, depth: int) -> Source:
    """The same pictures, with heads of at least this depth: each task's copy of what was shared can
    change without the others'."""
    config = source.config
    if config.head_depth >= depth:
        return source
    generator = models.with_deeper_heads(source.generator, config, depth)
    return replace(source, config=replace(config, head_depth=depth), generator=generator)


def in_colour(source: Source) -> Source:
    """A grey source that draws the same pictures with three equal channels."""
    config = source.config
    if config.channels == 3:
        return source
    generator = dict(source.generator)
    if config.palette:
        names = [n for n in generator if n.startswith(("palette.", "shades."))]
        for name in names:  # outputs are ordered by channel
            generator[name] = torch.cat([generator[name]] * 3, dim=1)
    else:
        width = config.full_size_width or config.width
        shape = (-1, 1, width * 9) if config.full_size_width else (-1, width, 1, 16)
        for name, layout in (("last.weight", shape), ("last.bias", (-1, 1))):
            value = generator[name]
            dim = 1 if name == "last.bias" or config.full_size_width else 2
            generator[name] = torch.cat([value.view(layout)] * 3, dim=dim).flatten(1)
    discriminator = None
    if source.discriminator is not None:
        discriminator = dict(source.discriminator)
        first = discriminator["downs.0.weight"]
        discriminator["downs.0.weight"] = first.repeat(1, 3, 1, 1) / 3
    return replace(
        source,
        config=replace(config, channels=3),
        generator=generator,
        discriminator=discriminator,
    )


def graft(source: Source, child: Source) -> Source:
    """The source with the child's heads beside its own.

    Whatever is shared has to be the same in both: the child trained with a frozen trunk.

    Raises:
        ValueError: the trunk differs, or a task's name is taken.
    """
    source = with_deeper_heads(source, child.config.head_depth)
    ours, theirs = asdict(source.config), asdict(child.config)
    if {**ours, "tasks": ()} != {**theirs, "tasks": ()}:
        raise ValueError("these are not the same network: only a head of its own trunk fits")
    if taken := set(source.config.tasks) & set(child.config.tasks):
        raise ValueError(f"{source.name} has a head {min(taken)!r} already: choose another name")
    config, generator = source.config, {}
    for name, value in source.generator.items():
        if belongs_to_task(name, config):
            generator[name] = torch.cat([value, child.generator[name]])
        elif torch.equal(value, child.generator[name]):
            generator[name] = value
        else:
            raise ValueError(f"the trunk has changed ({name}): only a frozen one takes new heads")
    tasks = config.tasks + child.config.tasks
    return replace(source, config=replace(config, tasks=tasks), generator=generator)


def free_names(tasks: tuple[str, ...], taken: tuple[str, ...]) -> tuple[str, ...]:
    """The names, with a number after those that are taken."""
    free: list[str] = []
    for task in tasks:
        name, number = task, 2
        while name in taken or name in free:
            name, number = f"{task} {number}", number + 1
        free.append(name)
    return tuple(free)


def nearest_heads(source: Source, dataset: Dataset) -> list[dict[str, float]]:
    """How far the pictures of each task are from what each head draws: KID by head's name, nearest
    first, for each task of the data set."""
    drawn = _features_of_heads(source)
    ranked = []
    for task in dataset.tasks:
        real = features.extract(_as_drawn(dataset.subset([task]).images, source.config))
        if len(real) < FEWEST_FOR_KID:  # the distance of the means
            far = {h: (real.mean(0) - f.mean(0)).square().mean().item() for h, f in drawn.items()}
        else:
            far = {head: metrics.kid(real, fake, 2).value for head, fake in drawn.items()}
        ranked.append(dict(sorted(far.items(), key=lambda item: item[1])))
    return ranked


def prepare() -> None:
    """Draws what `nearest_heads` compares with, of the checkpoints that came with ganlab, so that
    nobody waits for it later."""
    for folder in checkpoints.shipped():
        _features_of_heads(read_source(folder))


def _as_drawn(images: Tensor, config: ModelConfig) -> Tensor:
    """In the channels that the source draws, so that colour alone does not decide."""
    if config.channels == 1 and images.shape[1] == 3:
        return images.float().mean(1, keepdim=True).round().to(torch.uint8)
    return images


def _features_of_heads(source: Source) -> dict[str, Tensor]:
    """Features of some samples of each head, kept in a file: drawing them takes seconds."""
    digest = hashlib.sha256(repr(sorted(asdict(source.config).items())).encode())
    for name, value in sorted(source.generator.items()):
        digest.update(name.encode() + value.contiguous().view(torch.uint8).numpy().tobytes())
    file = cache_dir() / "heads" / f"{digest.hexdigest()[:32]}.safetensors"
    if file.exists():
        kept = load_file(file)
        return {head: kept[str(i)].float() for i, head in enumerate(source.config.tasks)}
    network, drawn = source.build(), {}
    z = sampling.latents(SAMPLES_PER_HEAD, source.config.z_dim, _SEED)
    for i, head in enumerate(source.config.tasks):
        ids = torch.full((len(z),), i)
        pixels = torch.from_numpy(sampling.sample(network, z, ids)).permute(0, 3, 1, 2)
        drawn[head] = features.extract(pixels.contiguous())
    by_place = {str(i): value.half() for i, value in enumerate(drawn.values())}
    write_atomically(file, tensors_to_bytes(by_place))
    return drawn
