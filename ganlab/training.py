"""The training loop. It knows no page and no thread: it reports through `on_event` and asks
`should_stop` before every step.

A run that has snapshots goes on from the newest one. With a budget in steps, the networks depend
only on the seed and the settings, however often the run was stopped; a budget in time ends where
the clock says. What the loop does on the clock (logging, sampling, saving) draws no random numbers
of the training's.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from ganlab import agreement, device, sampling, transfer
from ganlab.agreement import Agreement
from ganlab.checkpoints import brief, state_bytes
from ganlab.config import ModelConfig, TrainConfig
from ganlab.courtesy import Courtesy, somebody_waits
from ganlab.data.dataset import Dataset
from ganlab.events import Agreed, Event, GridSaved, Logged, Looked, SnapshotSaved, TakenUp
from ganlab.models import HAS_HEADS
from ganlab.quality import FIRST_LOOK_SECONDS, BrokenOff, Gauge
from ganlab.runs import Run
from ganlab.state import State, fresh_state, set_learning_rate, tensors_of, unpack
from ganlab.step import BOTH, train_step
from ganlab.sums import has_sums
from ganlab.threads import ThreadChooser, threads_are_fixed
from ganlab.transfer_config import TransferConfig

GRID_COLUMNS = 8
GRID_ROWS_OF_ONE_TASK = 4
GRID_SEED = 0
SECONDS_BETWEEN_SNAPSHOTS = 15.0
SLOW_STEP_SECONDS = 1.5  # of these, each may be the last that ends before the server does
LARGEST_SHARE = 0.1  # of a run's time that drawing its grids may take
LEAST_STEPS_PER_LOG = 4  # a mean of fewer is a blip in the curves


class Diverged(RuntimeError):
    """The losses or the networks are no longer finite."""


@dataclass
class Pace:
    """Says when something is due: often at first, ever more rarely in a long run."""

    least: float  # seconds between two times
    share: float = 0.0  # of the run's time so far, where that is longer
    next: float = 0.0
    last: float = 0.0
    largest: float = LARGEST_SHARE  # of the time between, that a cost may take

    def is_due(self, seconds: float) -> bool:
        if seconds < self.next:
            return False
        self.last, self.next = seconds, seconds + max(self.least, self.share * seconds)
        return True

    def took(self, cost: float) -> None:
        """Puts the next time off until `cost` seconds are no large share of what passes between."""
        self.next = max(self.next, self.last + cost / self.largest)


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
    may_choose = plan.device == "cpu" and not run.config.steps and not threads_are_fixed()
    chooser = ThreadChooser(plan.threads) if may_choose else None
    threads, has_shared = plan.threads, False
    dataset, trained, held_out = as_trained(run.config, dataset)
    config = run.config.fitted(len(dataset.tasks))
    schedule = transfer.schedule_of(run) if isinstance(config, TransferConfig) else None
    model = schedule.model if schedule else ModelConfig.for_dataset(config, dataset)
    manifest = {**dataset.manifest(), "held_out": len(dataset) - len(trained)}
    _refuse_another(run, model, manifest)
    run.describe(model=asdict(model), data=manifest, plan=asdict(plan), exploded=False)

    # Start, or take up where the newest snapshot ends.
    state = fresh_state(config, model, plan)
    if schedule:
        schedule.begin(state)
    if run.snapshot_steps():
        _take_up(run, state)
    run.forget_after(state.step)  # at step 0: of a run that broke off before its first snapshot
    if run.status.step > state.step:  # of a snapshot that is damaged
        run.note_progress(state.step, state.seconds)
    on_event(TakenUp(state.step))
    grid_z, grid_tasks = grid_layout(model)
    first_step, before, began = state.step, state.seconds, time.perf_counter()
    speed_from, images_from, logged = began, state.images, state.step
    logging, drawing = Pace(0.5, 0.005, state.seconds), Pace(1.0, 0.02, state.seconds)
    saved_at = time.perf_counter()
    saving_slow = Pace(0.0, 0, state.seconds)
    agreeing = Pace(
        agreement.LEAST_SECONDS, agreement.RARER, state.seconds, largest=agreement.SHARE_OF_TIME
    )
    agreed = Agreement.of_lines(run.agreement(), len(model.tasks))
    usual = float("inf")  # seconds of the fastest step so far
    courtesy = Courtesy(shares=may_choose and plan.threads > 1)

    def share_cores() -> None:
        nonlocal has_shared
        if may_choose:
            has_shared |= somebody_waits()
            torch.set_num_threads(courtesy.threads(threads))

    def breaks_look_off() -> bool:
        share_cores()
        save_if_due()  # a look may take as long as what it looks at
        return should_stop()

    gauge = Gauge(dataset, trained, held_out, config.seconds, breaks_look_off)

    def draw_grid() -> None:
        pixels = sampling.sample(state.ema, grid_z, grid_tasks, autocast=plan.autocast)
        jpeg = sampling.to_jpeg(sampling.grid(pixels, GRID_COLUMNS))
        run.save_grid(state.step, jpeg)
        on_event(GridSaved(state.step, jpeg))

    def save() -> None:
        nonlocal saved_at
        tensors = tensors_of(state)
        if not all(tensor.isfinite().all() for tensor in tensors.values()):
            raise Diverged(f"the networks are no longer finite at step {state.step}")
        run.save_snapshot(state.step, state_bytes(state.ema), tensors_to_bytes(tensors))
        run.note_progress(state.step, state.seconds)
        saved_at = time.perf_counter()
        on_event(SnapshotSaved(state.step, state.seconds))

    def save_if_due() -> None:
        if time.perf_counter() - saved_at >= SECONDS_BETWEEN_SNAPSHOTS:
            save()

    def look() -> bool:
        """Whether it was not broken off: then it is saved."""
        try:
            quality = gauge.look(state.ema, state.seconds - before)
        except BrokenOff:
            return False
        looked = Looked(state.step, state.seconds, quality)
        run.log_quality(looked.line)
        save()
        on_event(looked)
        return True

    def note_agreement() -> None:
        run.log_agreement({"step": state.step, "seconds": state.seconds, **agreed.line()})
        on_event(Agreed(state.step, state.seconds, **agreed.line()))

    if drawing.is_due(state.seconds) and state.step not in run.grid_steps():
        draw_grid()

    ended_early = False
    while True:
        progress = config.progress_at(state.step, state.seconds)
        if progress >= 1 or should_stop() or ended_early:
            break
        waited = courtesy.let_others_first()
        began, speed_from = began + waited, speed_from + waited  # none of that is training
        share_cores()
        set_learning_rate(state, config, progress)

        enough = state.step + 1 - logged >= LEAST_STEPS_PER_LOG or state.step == 0
        measure = (enough and logging.is_due(state.seconds)) or _is_last_step(config, state)
        turn = schedule.turn(state, progress) if schedule else BOTH
        # Not in the first step, which is slow and would be taken for the cost of comparing.
        may_compare = len(model.tasks) > 1 and turn.g and state.step > first_step
        compare = may_compare and agreeing.is_due(state.seconds)
        moments, stepped = agreed.moments, time.perf_counter()
        metrics = train_step(
            state,
            config,
            plan,
            trained,
            measure=measure,
            turn=turn,
            on_gradients=agreed.add if compare else None,
            between=share_cores,
        )
        now = time.perf_counter()
        courtesy.has_worked(now - stepped)
        state.seconds = before + now - began
        if compare:
            agreeing.took(now - stepped - usual)
        else:
            usual = min(usual, now - stepped)
        is_slow = state.step >= first_step + 2 and usual > SLOW_STEP_SECONDS

        if measure:
            bad = [name for name, value in metrics.items() if not _finite(value)]
            if bad:
                raise Diverged(f"{', '.join(bad)} no longer finite at step {state.step}")
            metrics["images_per_second"] = (state.images - images_from) / (now - speed_from)
            speed_from, images_from, logged = now, state.images, state.step
            line = {"step": state.step, "seconds": state.seconds, **metrics}
            run.log_metrics(line)
            on_event(
                Logged(
                    state.step,
                    state.seconds,
                    config.progress_at(state.step, state.seconds),
                    metrics,
                )
            )
            if chooser:
                speed = metrics["images_per_second"]
                threads = chooser.after_sharing() if has_shared else chooser.after(speed)
            has_shared = False
        if agreed.moments > moments:  # a frozen trunk has nothing to agree on
            note_agreement()
        paused = time.perf_counter()
        if drawing.is_due(state.seconds):
            draw_grid()
            drawing.took(time.perf_counter() - paused)
        if gauge.is_due(state.seconds - before):
            look()
            # By what was seen since it went on: who asks for more of a run gets more.
            looks = [line for line in run.quality() if line["step"] > first_step]
            ended_early = schedule is not None and bool(transfer.loses_variety(looks))
        elif is_slow and saving_slow.is_due(state.seconds):
            save()
            saving_slow.took(time.perf_counter() - paused)
        save_if_due()
        speed_from += time.perf_counter() - paused  # nor is that

    looked = run.quality()
    is_new = not looked or looked[-1]["step"] != state.step
    is_long = state.seconds >= FIRST_LOOK_SECONDS
    judged = progress >= 1 and is_new and is_long and gauge.is_possible and not should_stop()
    if not judged:  # a visitor who stops a run wants it stopped now, a server that ends, saved
        save()
    if state.step not in run.grid_steps():
        draw_grid()
    if judged and not look():
        save()
    plan.apply_threads()
    return "finished" if progress >= 1 or ended_early else "stopped"


def as_trained(config: TrainConfig, dataset: Dataset) -> tuple[Dataset, Dataset, Dataset | None]:
    """A data set as a run of these settings has it (its tasks merged, if the networks have no heads
    for them), and what of it trains and what is held out."""
    trained, held_out = dataset.split()
    if HAS_HEADS[config.architecture]:
        return dataset, trained, held_out
    return dataset.merged(), trained.merged(), held_out and held_out.merged()


def _take_up(run: Run, state: State) -> None:
    """Puts the newest snapshot that can be trained on into a fresh state, and says so where that is
    not the newest of all. Where none is left that ever could be, the run begins anew.

    Raises:
        ValueError: those that could are damaged.
    """
    steps = run.snapshot_steps()
    could = [step for step in steps if run.can_train_on(step)]
    for folder in run.snapshots_to_train_on():
        try:
            training = (folder / "training.safetensors").read_bytes()
            unpack(state, training, (folder / "generator.safetensors").read_bytes())
        except FileNotFoundError as error:
            run.put_aside(folder, brief(error))  # without a part
            continue
        except (SafetensorError, RuntimeError, LookupError, ValueError) as error:
            if has_sums(folder):
                raise  # it is as it was written: there is too little memory, or other code
            run.put_aside(folder, brief(error))
            continue
        if int(folder.name) < steps[-1]:
            why = "is damaged" if steps[-1] in could else "cannot be trained on"
            run.note(
                f"The snapshot at step {steps[-1]:,} {why}, so it goes on from the one at step "
                f"{state.step:,}."
            )
        return
    if could:
        raise ValueError(
            f"The snapshot at step {could[-1]:,} is damaged, and there is no other to go on from. "
            "Resume begins anew; what can still be sampled is in the Time machine until then."
        )
    run.forget_after(0)


def _refuse_another(run: Run, model: ModelConfig, manifest: dict) -> None:
    """A run goes on only with the network and the pictures that it began with: held-out ones would
    train, and nothing that was measured would compare."""
    if not run.snapshot_steps() or "model" not in run.about:
        return
    if ModelConfig.from_dict(run.about["model"]) != model:
        raise ValueError(
            "These settings make another network than this run has trained: start a new run."
        )
    if run.about["data"]["sha256"] != manifest["sha256"]:
        raise ValueError("The pictures have changed since this run began: start a new run.")


def _finite(value: float | dict[str, float]) -> bool:
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    return value - value == 0


def _is_last_step(config: TrainConfig, state: State) -> bool:
    return config.steps is not None and state.step + 1 >= config.steps
