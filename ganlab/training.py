"""The training loop. It knows no page and no thread: it reports through `on_event` and asks
`should_stop` before every step.

A run that has snapshots goes on from the newest one. With a budget in steps, the networks depend
only on the seed and the settings, however often the run was stopped; a budget in time ends where
the clock says. What the loop does on the clock (logging, sampling, saving) draws no random numbers
of the training's.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import torch
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor, nn

from ganlab import augment, device, sampling
from ganlab.checkpoints import state_bytes
from ganlab.config import ModelConfig, TrainConfig
from ganlab.data.dataset import Dataset
from ganlab.device import Plan, ThreadChooser
from ganlab.losses import LOSSES, squared_slope
from ganlab.models import HAS_HEADS, build_discriminator, build_generator
from ganlab.quality import FIRST_LOOK_SECONDS, Gauge
from ganlab.runs import Run

GRID_COLUMNS = 8
GRID_ROWS_OF_ONE_TASK = 4
GRID_SEED = 0
SECONDS_BETWEEN_SNAPSHOTS = 15.0
LEAST_STEPS_PER_LOG = 4  # a mean of fewer is a blip in the curves


@dataclass(frozen=True)
class Logged:
    """A line of the curves. `progress` is the share of the budget that is used up."""

    step: int
    seconds: float
    progress: float
    metrics: dict[str, float]


@dataclass(frozen=True)
class GridSaved:
    """A new grid of samples, as JPEG."""

    step: int
    jpeg: bytes


@dataclass(frozen=True)
class SnapshotSaved:
    """From here the run can resume."""

    step: int
    seconds: float


@dataclass(frozen=True)
class Looked:
    """The quality of the snapshot that was just saved."""

    step: int
    seconds: float
    quality: dict[str, float]


Event = Logged | GridSaved | SnapshotSaved | Looked


class Diverged(RuntimeError):
    """The losses or the networks are no longer finite."""


@dataclass
class Pace:
    """Says when something is due: often at first, ever more rarely in a long run."""

    least: float  # seconds between two times
    share: float = 0.0  # of the run's time so far, where that is longer
    next: float = 0.0

    def is_due(self, seconds: float) -> bool:
        if seconds < self.next:
            return False
        self.next = seconds + max(self.least, self.share * seconds)
        return True


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
    sums: dict[str, Tensor] = field(default_factory=dict)  # since the last logged step


def fresh_state(config: TrainConfig, model: ModelConfig, plan: Plan) -> State:
    """Networks drawn from the seed, on the plan's device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
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
    return State(generator, discriminator, ema, opt_g, opt_d, rng)


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
    counts = [state.step, state.images, state.seconds]
    tensors["counts"] = torch.tensor(counts, dtype=torch.float64)
    return tensors


def unpack(state: State, training: bytes, generator: bytes) -> None:
    """Puts what `tensors_of` gave, and the EMA's weights, into a fresh state."""
    tensors = tensors_from_bytes(training)
    state.rng.set_state(tensors["rng"])
    step, images, state.seconds = tensors["counts"].tolist()
    state.step, state.images = int(step), int(images)
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


@dataclass
class _Meeting:
    """D's view of a batch of real and one of generated pictures."""

    fake: Tensor  # as G made it, with its graph
    real: Tensor  # as D saw it
    fake_copy: Tensor  # cut off from G; its gradient shows G the way
    fake_shown: Tensor  # the same as D saw it
    tasks: Tensor
    real_logits: Tensor
    fake_logits: Tensor


def train_step(
    state: State, config: TrainConfig, plan: Plan, dataset: Dataset, *, measure: bool
) -> dict[str, float]:
    """One step of G and `d_steps` of D. With `measure`, gives what the curves show of it.

    The settings are `fitted`: their batch size is a number.
    """
    loss, batch = LOSSES[config.loss], config.batch_size
    generator, discriminator, rng = state.generator, state.discriminator, state.rng
    penalised = (config.r1 > 0 or config.r2 > 0) and state.step % config.penalty_every == 0

    def shown(images: Tensor) -> Tensor:
        return augment.diffaugment(images, rng) if config.diffaugment else images

    def judge(images: Tensor, tasks: Tensor) -> Tensor:
        with plan.autocast():
            return discriminator(images, tasks).float()

    def meet() -> _Meeting:
        """Draws a batch and lets D judge it, so that its slope can be taken at these pictures."""
        pictures, tasks = dataset.draw(batch, rng)
        pictures, tasks = pictures.to(plan.device), tasks.to(plan.device)
        real = sampling.from_uint8(pictures, plan.memory_format)
        real = shown(augment.random_flips(real, rng) if config.flips else real).detach()
        z = torch.randn(batch, generator.z_dim, generator=rng).to(plan.device)
        with plan.autocast():
            fake = generator(z, tasks)
        copy = fake.detach().float()
        real.requires_grad_(penalised and config.r1 > 0)
        copy.requires_grad_(config.simultaneous or (penalised and config.r2 > 0))
        seen = shown(copy)
        return _Meeting(fake, real, copy, seen, tasks, judge(real, tasks), judge(seen, tasks))

    def step_d(met: _Meeting) -> Tensor:
        loss_d = objective = loss.d(met.real_logits, met.fake_logits)
        if penalised:  # computed rarely, so weighted by how rarely ("lazy", StyleGAN2)
            weight = config.penalty_every / 2
            if config.r1 > 0:
                slope = squared_slope(met.real, met.real_logits).mean()
                objective = objective + config.r1 * weight * slope
            if config.r2 > 0:
                slope = squared_slope(met.fake_shown, met.fake_logits).mean()
                objective = objective + config.r2 * weight * slope
        state.opt_d.zero_grad()
        objective.backward(inputs=list(discriminator.parameters()))
        state.opt_d.step()
        return loss_d

    for _ in range(config.d_steps - 1):
        step_d(meet())

    # Step D, but for a simultaneous G, which learns against D as it is, first find G's way.
    met = meet()
    if config.simultaneous:
        loss_g = loss.g(met.real_logits.detach(), met.fake_logits)
        (way,) = torch.autograd.grad(loss_g, met.fake_copy, retain_graph=True)
    loss_d = step_d(met)
    norm_d = _gradient_norm(discriminator) if measure else 0.0

    # Step G.
    state.opt_g.zero_grad()
    if config.simultaneous:
        met.fake.backward(way.to(met.fake.dtype))
    else:  # against the new D, whose own gradients are not needed
        discriminator.requires_grad_(False)
        real_logits = met.real_logits
        if loss.g_sees_real:
            with torch.no_grad():
                real_logits = judge(met.real.detach(), met.tasks)
        loss_g = loss.g(real_logits, judge(shown(met.fake.float()), met.tasks))
        loss_g.backward()
        discriminator.requires_grad_(True)
    norm_g = _gradient_norm(generator) if measure else 0.0
    state.opt_g.step()

    # Update the EMA.
    state.step += 1
    state.images += batch
    _update_ema(state, config)

    # Add up what is logged as a mean.
    parts = {
        "loss_g": loss_g,
        "loss_d": loss_d,
        "score_real": met.real_logits.mean(),
        "score_fake": met.fake_logits.mean(),
        "d_right": (met.real_logits > met.fake_logits).float().mean(),
        "steps": torch.ones(()),
    }
    for name, value in parts.items():
        state.sums[name] = state.sums.get(name, 0) + value.detach()
    if not measure:
        return {}
    steps = float(state.sums.pop("steps"))
    means = {name: float(total) / steps for name, total in state.sums.items()}
    state.sums = {}
    return {**means, "grad_norm_g": norm_g, "grad_norm_d": norm_d}


def _gradient_norm(network: nn.Module) -> float:
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    return float(torch.nn.utils.get_total_norm(gradients))


@torch.no_grad()
def _update_ema(state: State, config: TrainConfig) -> None:
    """Half-life as set, but at most a twentieth of the run so far: the start is soon forgotten."""
    halflife = min(config.ema_halflife_kimg * 1000, 0.05 * state.images)
    decay = 0.5 ** (config.batch_size / halflife) if halflife > 0 else 0.0
    for averaged, now in zip(_floats(state.ema), _floats(state.generator), strict=True):
        averaged.lerp_(now, 1 - decay)


def _floats(network: nn.Module) -> list[Tensor]:
    """Parameters and the running statistics; a count of batches needs no average."""
    return [*network.parameters(), *(b for b in network.buffers() if b.is_floating_point())]


def grid_layout(model: ModelConfig) -> tuple[Tensor, Tensor]:
    """Latents (N, z_dim) and task ids (N,) of the grid: a row per task, each of the same latents;
    one task alone fills several rows."""
    if len(model.tasks) == 1:
        n = GRID_COLUMNS * GRID_ROWS_OF_ONE_TASK
        return sampling.latents(n, model.z_dim, GRID_SEED), torch.zeros(n, dtype=torch.long)
    z = sampling.latents(GRID_COLUMNS, model.z_dim, GRID_SEED)
    tasks = torch.arange(len(model.tasks)).repeat_interleave(GRID_COLUMNS)
    return z.repeat(len(model.tasks), 1), tasks


def train(
    run: Run,
    dataset: Dataset,
    *,
    on_event: Callable[[Event], None] = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> str:
    """Trains a run to the end of its budget or until it is told to stop. Always saves.

    Returns:
        "finished" or "stopped".

    Raises:
        Diverged: a loss is no longer finite. The last snapshot is from before.
    """
    plan = device.plan(run.config.precision)
    plan.apply_threads()
    # Another number of threads rounds differently: only where the clock decides anyway.
    may_choose = plan.device == "cpu" and not run.config.steps and not device.threads_are_fixed()
    chooser = ThreadChooser(plan.threads) if may_choose else None
    trained, held_out = dataset.split()
    if not HAS_HEADS[run.config.architecture]:
        dataset, trained = dataset.merged(), trained.merged()
        held_out = held_out and held_out.merged()
    config = run.config.fitted(len(dataset.tasks))
    model = ModelConfig.for_dataset(config, dataset)
    manifest = {**dataset.manifest(), "held_out": len(dataset) - len(trained)}
    run.describe(model=asdict(model), data=manifest, plan=asdict(plan))
    gauge = Gauge(dataset, trained, held_out, config.seconds)

    # Start, or take up where the newest snapshot ends.
    state = fresh_state(config, model, plan)
    if run.snapshot_steps():
        folder = run.snapshot()
        training = (folder / "training.safetensors").read_bytes()
        unpack(state, training, (folder / "generator.safetensors").read_bytes())
    run.forget_after(state.step)  # at step 0: of a run that broke off before its first snapshot
    grid_z, grid_tasks = grid_layout(model)
    before, began = state.seconds, time.perf_counter()
    speed_from, images_from, logged = began, state.images, state.step
    logging, drawing = Pace(0.5, 0.005, state.seconds), Pace(1.0, 0.02, state.seconds)
    saving = Pace(SECONDS_BETWEEN_SNAPSHOTS, 0, state.seconds + SECONDS_BETWEEN_SNAPSHOTS)

    def draw_grid() -> None:
        pixels = sampling.sample(state.ema, grid_z, grid_tasks, autocast=plan.autocast)
        jpeg = sampling.to_jpeg(sampling.grid(pixels, GRID_COLUMNS))
        run.save_grid(state.step, jpeg)
        on_event(GridSaved(state.step, jpeg))

    def save() -> None:
        tensors = tensors_of(state)
        if not all(tensor.isfinite().all() for tensor in tensors.values()):
            raise Diverged(f"the networks are no longer finite at step {state.step}")
        run.save_snapshot(state.step, state_bytes(state.ema), tensors_to_bytes(tensors))
        run.note_progress(state.step, state.seconds)
        on_event(SnapshotSaved(state.step, state.seconds))

    def look() -> None:
        nonlocal speed_from, images_from
        quality = gauge.look(state.ema, state.seconds - before)
        run.log_quality({"step": state.step, "seconds": state.seconds, **quality})
        save()
        on_event(Looked(state.step, state.seconds, quality))
        speed_from, images_from = time.perf_counter(), state.images  # looking is not training

    if drawing.is_due(state.seconds) and state.step not in run.grid_steps():
        draw_grid()

    while True:
        progress = _progress(config, state)
        stopping = should_stop()
        if progress >= 1 or stopping:
            break
        set_learning_rate(state, config, progress)

        enough = state.step + 1 - logged >= LEAST_STEPS_PER_LOG or state.step == 0
        measure = (enough and logging.is_due(state.seconds)) or _is_last_step(config, state)
        metrics = train_step(state, config, plan, trained, measure=measure)
        now = time.perf_counter()
        state.seconds = before + now - began

        if measure:
            bad = [name for name, value in metrics.items() if not _finite(value)]
            if bad:
                raise Diverged(f"{', '.join(bad)} no longer finite at step {state.step}")
            metrics["images_per_second"] = (state.images - images_from) / (now - speed_from)
            speed_from, images_from, logged = now, state.images, state.step
            line = {"step": state.step, "seconds": state.seconds, **metrics}
            run.log_metrics(line)
            on_event(Logged(state.step, state.seconds, _progress(config, state), metrics))
            if chooser:
                torch.set_num_threads(chooser.after(metrics["images_per_second"]))
        if drawing.is_due(state.seconds):
            draw_grid()
        if gauge.is_due(state.seconds - before):
            look()
        elif saving.is_due(state.seconds):
            save()

    if state.step not in run.grid_steps():
        draw_grid()
    looked = run.quality()
    is_new = not looked or looked[-1]["step"] != state.step
    is_long = state.seconds - before >= FIRST_LOOK_SECONDS
    if progress >= 1 and is_new and is_long and gauge.is_possible:
        look()
    else:  # a visitor who stops a run wants it stopped now
        save()
    return "finished" if progress >= 1 else "stopped"


def _finite(value: float) -> bool:
    return value - value == 0


def _progress(config: TrainConfig, state: State) -> float:
    """The share of the budget that is used up, whichever of steps and time is nearer its end."""
    shares = [0.0]
    if config.steps is not None:
        shares.append(state.step / config.steps)
    if config.seconds is not None:
        shares.append(state.seconds / config.seconds)
    return min(max(shares), 1.0)


def _is_last_step(config: TrainConfig, state: State) -> bool:
    return config.steps is not None and state.step + 1 >= config.steps


def set_learning_rate(state: State, config: TrainConfig, progress: float) -> None:
    """As the schedule has it at this share of the budget."""
    factor = 1.0
    if config.lr_decay and progress > 0.5:
        factor = 1 - 0.9 * (progress - 0.5) / 0.5
    for optimiser in (state.opt_g, state.opt_d):
        optimiser.param_groups[0]["lr"] = config.learning_rate * factor
