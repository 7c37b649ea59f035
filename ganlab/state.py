"""All that changes while a run trains: the networks, their optimisers, the averaged generator."""

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor, nn

from ganlab.config import ModelConfig, TrainConfig
from ganlab.device import Plan
from ganlab.models import build_discriminator, build_generator

_drawing = threading.Lock()


@contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """PyTorch's own generator, which initialises weights and of which there is one in a process,
    begins at the seed; afterwards it is as it was. One thread at a time, or they would share."""
    with _drawing, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def first_generator(config: TrainConfig, model: ModelConfig) -> nn.Module:
    """G before a run's first step, as its seed draws it, in eval mode."""
    with drawn_from(config.seed):
        generator = build_generator(model)
    generator.to(memory_format=torch.channels_last)
    return generator.eval().requires_grad_(False)


@dataclass
class State:
    """All that changes while a run trains, and all that a resume needs."""

    generator: nn.Module
    discriminator: nn.Module
    ema: nn.Module
    opt_g: torch.optim.Optimizer
    opt_d: torch.optim.Optimizer
    rng: torch.Generator
    step: int = 0
    images: int = 0  # real pictures drawn for joint steps of D and G
    seconds: float = 0.0
    # The share of pairs in which D is right, smoothed over steps; a tensor, so as not to wait.
    d_right: Tensor = field(default_factory=lambda: torch.tensor(0.5))
    sums: dict[str, Tensor] = field(default_factory=dict)  # since the last logged step


def fresh_state(config: TrainConfig, model: ModelConfig, plan: Plan) -> State:
    """Networks drawn from the seed, on the plan's device."""
    with drawn_from(config.seed):
        generator, discriminator = build_generator(model), build_discriminator(model)
    for network in (generator, discriminator):
        network.to(plan.device, memory_format=plan.memory_format)
    ema = copy.deepcopy(generator).eval().requires_grad_(False)
    opt_g, opt_d = (
        torch.optim.Adam(
            network.parameters(),
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2),
            fused=True,
        )
        for network in (generator, discriminator)
    )
    rng = torch.Generator().manual_seed(config.seed)
    d_right = torch.tensor(0.5, device=plan.device)
    return State(generator, discriminator, ema, opt_g, opt_d, rng, d_right=d_right)


def tensors_of(state: State) -> dict[str, Tensor]:
    """The state without the EMA, by name."""
    tensors: dict[str, Tensor] = {"rng": state.rng.get_state()}
    for name, network in _networks(state).items():
        for key, value in network.state_dict().items():
            tensors[f"{name}/{key}"] = value.detach().contiguous()
    for name, optimiser in _optimisers(state).items():
        for index, entry in optimiser.state_dict()["state"].items():
            for key, value in entry.items():
                tensors[f"{name}/{index}/{key}"] = value.contiguous()
    counts = [state.step, state.images, state.seconds, float(state.d_right)]
    tensors["counts"] = torch.tensor(counts, dtype=torch.float64)
    return tensors


def discriminator_bytes(snapshot: Path) -> bytes:
    """The discriminator alone, as a file of its own, from a snapshot's training state."""
    with safe_open(snapshot / "training.safetensors", "pt") as file:
        names = [name for name in file.keys() if name.startswith("discriminator/")]  # noqa: SIM118
        tensors = {name: file.get_tensor(name) for name in names}
    return tensors_to_bytes(_under("discriminator", tensors))


def unpack(state: State, training: bytes, generator: bytes) -> None:
    """Puts what `tensors_of` gave, and the EMA's weights, into a fresh state."""
    tensors = tensors_from_bytes(training)
    state.rng.set_state(tensors["rng"])
    step, images, state.seconds, *more = tensors["counts"].tolist()
    state.step, state.images = int(step), int(images)
    if more:  # a run older than it goes on without
        state.d_right.fill_(more[0])
    for name, network in _networks(state).items():
        network.load_state_dict(_under(name, tensors))
    state.ema.load_state_dict(tensors_from_bytes(generator))
    for name, optimiser in _optimisers(state).items():
        parameters = optimiser.param_groups[0]["params"]
        entries: dict[int, dict[str, Tensor]] = {}
        for key, value in _under(name, tensors).items():
            index, part = key.split("/")
            if part != "step":  # fused Adam needs its averages laid out like the parameter
                value = torch.empty_like(parameters[int(index)]).copy_(value)
            entries.setdefault(int(index), {})[part] = value
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": entries, "param_groups": groups})


def _networks(state: State) -> dict[str, nn.Module]:
    return {"generator": state.generator, "discriminator": state.discriminator}


def _optimisers(state: State) -> dict[str, torch.optim.Optimizer]:
    return {"opt_g": state.opt_g, "opt_d": state.opt_d}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = len(prefix) + 1
    return {k[start:]: v for k, v in tensors.items() if k.startswith(prefix + "/")}


def set_learning_rate(state: State, config: TrainConfig, progress: float) -> None:
    """As the schedule has it at this share of the budget."""
    for optimiser in (state.opt_g, state.opt_d):
        optimiser.param_groups[0]["lr"] = config.learning_rate_at(progress)


@torch.no_grad()
def update_ema(state: State, config: TrainConfig) -> None:
    """Half-life as set, but at most a twentieth of the run so far: the start is soon forgotten."""
    halflife = min(config.ema_halflife_kimg * 1000, 0.05 * state.images)
    decay = 0.5 ** (config.batch_size / halflife) if halflife > 0 else 0.0
    for averaged, now in zip(_floats(state.ema), _floats(state.generator), strict=True):
        averaged.lerp_(now, 1 - decay)


def _floats(network: nn.Module) -> list[Tensor]:
    """Parameters and the running statistics; a count of batches needs no average."""
    return [*network.parameters(), *(b for b in network.buffers() if b.is_floating_point())]
