"""The training loop: a step against its formulas, and runs that stop, resume, end and explode."""

import copy
import io
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from ganlab import device, quality, sampling, training
from ganlab.checkpoints import restore_generator
from ganlab.config import ModelConfig, TrainConfig
from ganlab.courtesy import LONGEST, going_first
from ganlab.data.dataset import Dataset
from ganlab.device import Plan
from ganlab.losses import LOSSES, squared_slope
from ganlab.quality import Gauge
from ganlab.runs import Run
from ganlab.state import State, fresh_state, set_learning_rate
from ganlab.step import train_step
from ganlab.training import (
    Agreed,
    Diverged,
    GridSaved,
    Logged,
    Looked,
    Pace,
    SnapshotSaved,
    grid_layout,
    train,
)


def saved(run: Run, step: int | None = None) -> dict[str, Tensor]:
    """All tensors of a snapshot, but for the seconds that it took."""
    tensors = {}
    for path in sorted(run.snapshot(step).glob("*.safetensors")):
        tensors |= {f"{path.stem}:{key}": value for key, value in load_file(path).items()}
    tensors["training:counts"] = tensors["training:counts"][:2]
    return tensors


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    """Names of tensors that are not bit for bit the same."""
    assert one.keys() == other.keys()
    return [key for key in one if not torch.equal(one[key], other[key])]


def after(steps: int) -> Callable[[], bool]:
    """A `should_stop` that lets this many steps happen."""
    calls = itertools.count()
    return lambda: next(calls) >= steps


def flat(line: dict) -> dict[str, float]:
    """With the numbers of each task beside the others."""
    own = {f"{k} {task}": v for k, of in line.items() if isinstance(of, dict)
           for task, v in of.items()}  # fmt: skip
    return {k: v for k, v in line.items() if not isinstance(v, dict)} | own


def always_due(monkeypatch) -> None:
    monkeypatch.setattr(Pace, "is_due", lambda self, seconds: True)
    monkeypatch.setattr(training, "LEAST_STEPS_PER_LOG", 1)


def never_due(monkeypatch) -> None:
    monkeypatch.setattr(Pace, "is_due", lambda self, seconds: False)


def state_of(run: Run, dataset: Dataset) -> tuple[State, TrainConfig, device.Plan]:
    config, plan = run.config, device.plan(run.config.precision)
    return fresh_state(config, ModelConfig.for_dataset(config, dataset), plan), config, plan


# The same run, however often it was stopped -------------------------------------------------

RECIPES = {
    "default": ("quick", {}, "one_task"),
    "grey": ("quick", {"penalty_every": 3}, "grey"),
    "heads with own last layers": ("quick", {"head_depth": 1}, "dataset"),
    "heads with own blocks": ("quick", {"head_depth": 3, "residual": True}, "dataset"),
    "tasks by size, PCGrad": ("quick", {"task_sampling": "size", "conflicts": "pcgrad"}, "dataset"),
    "CAGrad": ("quick", {"conflicts": "cagrad"}, "dataset"),
    "a batch that tasks do not divide": ("quick", {"batch_size": 7}, "dataset"),
    "spectral norm": ("quick", {"spectral_norm": True, "loss": "hinge"}, "dataset"),
    "diffaugment": ("quick", {"diffaugment": True}, "dataset"),
    "G after D": ("quick", {"simultaneous": False, "diffaugment": True}, "dataset"),
    "momentum and decay": ("quick", {"beta1": 0.5, "lr_decay": True}, "dataset"),
    "no penalty, no flips, no EMA": (
        "quick",
        {"r1": 0, "r2": 0, "flips": False, "ema_halflife_kimg": 0, "loss": "non-saturating"},
        "dataset",
    ),
    "two steps of D": ("quick", {"d_steps": 2, "diffaugment": True}, "dataset"),
    "latent only at the start": ("quick", {"z_in_blocks": False}, "dataset"),
    "bf16": ("quick", {"precision": "bf16", "head_depth": 1}, "dataset"),
    "dcgan": ("dcgan", {}, "dataset"),
    "dcgan in bf16": ("dcgan", {"precision": "bf16"}, "dataset"),
    "mlp": ("mlp", {}, "grey"),
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_stopped_and_resumed_run_equals_one_in_one_go_bit_for_bit(request, new_run, recipe):
    preset, changes, name = RECIPES[recipe]
    pictures = request.getfixturevalue(name)
    whole, parts = (new_run(preset, steps=10, **changes) for _ in range(2))

    assert train(whole, pictures) == "finished"

    assert train(parts, pictures, should_stop=after(5)) == "stopped"
    assert parts.snapshot_steps() == [5]
    torch.manual_seed(12345)  # as in a new process, whose dice are elsewhere
    assert train(Run(parts.path), pictures) == "finished"

    assert parts.snapshot_steps() == [5, 10]
    assert differing(saved(whole), saved(parts)) == []
    assert whole.grid(10) == parts.grid(10)


def test_a_run_may_be_stopped_many_times_even_before_its_first_step(new_run, dataset):
    whole, parts = new_run(), new_run()
    train(whole, dataset)
    for steps in (0, 1, 0, 3, 7):
        assert train(parts, dataset, should_stop=after(steps)) == "stopped"
    assert train(parts, dataset) == "finished"
    assert parts.snapshot_steps() == [0, 1, 4, 11, 20]
    assert differing(saved(whole), saved(parts)) == []


def test_a_finished_run_with_more_budget_equals_one_that_had_it_from_the_start(new_run, dataset):
    whole, longer = new_run(steps=20), new_run(steps=10)
    train(whole, dataset)
    assert train(longer, dataset) == "finished"
    longer.describe(config=replace(longer.config, steps=20).to_dict())
    assert train(longer, dataset) == "finished"
    assert differing(saved(whole), saved(longer)) == []


def test_a_finished_run_without_more_budget_stays_as_it_is(new_run, dataset):
    run = new_run(steps=5)
    train(run, dataset)
    before, curve = saved(run), run.metrics()
    assert train(run, dataset) == "finished"
    assert differing(saved(run), before) == []
    assert run.metrics() == curve


def test_the_same_seed_gives_the_same_run_and_another_seed_another(new_run, dataset):
    runs = [new_run(seed=seed, steps=5) for seed in (1, 1, 2)]
    for number, run in enumerate(runs):
        torch.manual_seed(number)
        train(run, dataset)
    one, same, other = map(saved, runs)
    assert differing(one, same) == []
    changed = differing(one, other)
    assert {"generator:start.weight", "training:discriminator/logits.weight", "training:rng"} < set(
        changed
    )


def test_training_leaves_the_dice_of_everyone_else_alone(new_run, dataset):
    before = torch.random.get_rng_state()
    train(new_run(steps=3, diffaugment=True), dataset)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_how_often_a_run_logs_draws_and_saves_does_not_change_it(
    new_run, dataset, monkeypatch, request
):
    often, rarely = new_run(), new_run()
    with monkeypatch.context() as patch:
        always_due(patch)
        train(often, dataset)
    with monkeypatch.context() as patch:
        never_due(patch)
        train(rarely, dataset)
    assert [line["step"] for line in often.metrics()] == list(range(1, 21))
    assert often.grid_steps() == list(range(21))
    assert [line["step"] for line in rarely.metrics()] == [20]
    assert (rarely.grid_steps(), rarely.snapshot_steps()) == ([20], [20])
    assert differing(saved(often), saved(rarely)) == []


def test_a_run_broken_off_before_its_first_snapshot_starts_anew(new_run, dataset, monkeypatch):
    whole, broken = new_run(), new_run()

    def crash(event) -> None:
        if event.step == 7:
            raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        always_due(patch)
        patch.setattr(Run, "save_snapshot", lambda *_: None)
        with pytest.raises(RuntimeError, match="power cut"):
            train(broken, dataset, on_event=crash)
    with open(broken.path / "metrics.jsonl", "a") as file:
        file.write('{"step": 8')  # the crash came while a line was written
    assert broken.snapshot_steps() == []

    never_due(monkeypatch)
    train(whole, dataset)
    train(broken, dataset)
    assert differing(saved(whole), saved(broken)) == []
    assert [line["step"] for line in broken.metrics()] == [20]
    assert broken.grid_steps() == [0, 20]  # that of step 0 would be the same again


def test_while_somebody_goes_first_the_clock_of_a_run_stands(new_run, dataset):
    run, began = new_run(steps=4), time.perf_counter()
    with going_first():
        assert train(run, dataset) == "finished"
    spent = time.perf_counter() - began
    assert run.status.step == 4 and spent > 4 * LONGEST
    assert run.status.seconds < spent - 4 * LONGEST


def test_what_came_after_the_snapshot_is_forgotten_on_resume(new_run, dataset, monkeypatch):
    run = new_run()
    train(run, dataset, should_stop=after(10))
    curve, grids = [line["step"] for line in run.metrics()], run.grid_steps()
    assert max(curve) <= max(grids) == 10
    run.log_metrics({"step": 15, "loss_d": 1.0})
    run.save_grid(15, b"JPEG")
    never_due(monkeypatch)
    train(run, dataset)
    assert [line["step"] for line in run.metrics()] == [*curve, 20]
    assert run.grid_steps() == [*grids, 20]


# Stops and ends -----------------------------------------------------------------------------


def test_a_stop_is_honoured_before_the_next_step_and_saved(new_run, dataset, monkeypatch):
    always_due(monkeypatch)
    run, seen = new_run(steps=1000), []

    def on_event(event) -> None:
        if isinstance(event, Logged):
            seen.append(event.step)

    assert train(run, dataset, on_event=on_event, should_stop=lambda: 5 in seen) == "stopped"
    assert seen == [1, 2, 3, 4, 5]
    assert run.snapshot_steps()[-1] == run.grid_steps()[-1] == run.status.step == 5
    assert saved(run)["training:counts"].tolist() == [5, 5 * 8]


def test_a_run_that_is_told_to_stop_when_it_is_done_has_finished(new_run, dataset):
    assert train(new_run(steps=3), dataset, should_stop=after(3)) == "finished"


def test_a_budget_in_time_ends_on_time(new_run, dataset):
    run = new_run(seconds=1)
    start = time.perf_counter()
    assert train(run, dataset) == "finished"
    assert time.perf_counter() - start < 4  # saving and drawing come on top
    assert 1 <= run.status.seconds < 2
    assert run.status.step > 10


def test_while_somebody_goes_first_a_training_goes_on_with_half_of_its_threads(
    new_run, dataset, monkeypatch
):
    monkeypatch.setattr(device, "measure", lambda: Plan("cpu", "fp32", 2, 400.0))
    monkeypatch.setattr("ganlab.courtesy.MOST_SAVED", 0.0)
    seen = []

    def step(*given, between, **options) -> dict[str, float]:
        def note() -> None:
            between()
            seen.append(torch.get_num_threads())

        seen.append(torch.get_num_threads())
        return train_step(*given, between=note, **options)

    monkeypatch.setattr(training, "train_step", step)
    with going_first():
        train(new_run(seconds=1), dataset)
        assert len(seen) > 4 and set(seen) == {1}
        seen.clear()
        train(new_run(steps=3), dataset)
        assert set(seen) == {2}  # another number of threads would round differently
    seen.clear()
    train(new_run(seconds=1), dataset)
    assert 2 in seen


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """The loop's clock, which goes on by one second in each step and stands still elsewhere."""
    clock = SimpleNamespace(now=1000.0)

    def slow_step(*given, **options) -> dict[str, float]:
        clock.now += 1
        return train_step(*given, **options)

    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    monkeypatch.setattr(training, "train_step", slow_step)
    return clock


@pytest.fixture
def one_second_per_step(clock, monkeypatch) -> None:
    """Without a look at the quality, which would come with the first seconds."""
    monkeypatch.setattr(training, "FIRST_LOOK_SECONDS", float("inf"))
    monkeypatch.setattr(quality, "FIRST_LOOK_SECONDS", float("inf"))


def test_time_goes_on_counting_where_a_stopped_run_left_off(new_run, dataset, one_second_per_step):
    run = new_run(seconds=30)
    train(run, dataset, should_stop=after(12))
    assert (run.status.step, run.status.seconds) == (12, 12)
    train(run, dataset)
    assert (run.status.step, run.status.seconds) == (30, 30)


def test_snapshots_are_saved_every_fifteen_seconds_and_at_the_end(
    new_run, dataset, one_second_per_step
):
    run = new_run(seconds=40)
    train(run, dataset)
    assert run.snapshot_steps() == [15, 30, 40]


@pytest.mark.parametrize(("steps", "seconds", "end"), [(5, 9, 5), (9, 5, 5)])
def test_whichever_limit_comes_first_ends_the_run(
    new_run, dataset, one_second_per_step, steps, seconds, end
):
    run = new_run(seconds=seconds)
    run.describe(config=replace(run.config, steps=steps).to_dict())
    assert train(run, dataset) == "finished"
    assert run.status.step == end


def test_something_is_due_at_first_and_then_ever_more_rarely():
    pace, due = Pace(least=1.0, share=0.5), []
    for tenth in range(120):
        if pace.is_due(tenth / 10):
            due.append(tenth / 10)
    assert due == [0.0, 1.0, 2.0, 3.0, 4.5, 6.8, 10.2]  # 1 s or half of the time so far


def test_what_costs_much_is_due_more_rarely_and_what_costs_little_as_before():
    pace, cost, due = Pace(least=1.0), {3: 0.5, 8: 0.01}, []
    for second in range(12):
        if pace.is_due(second):
            due.append(second)
            pace.took(cost.get(second, 0))
    assert due == [0, 1, 2, 3, 8, 9, 10, 11]


def test_a_logged_mean_is_of_several_steps_however_slow_they_are(new_run, dataset, monkeypatch):
    monkeypatch.setattr(Pace, "is_due", lambda self, seconds: True)
    run = new_run(steps=10)
    train(run, dataset)
    assert [line["step"] for line in run.metrics()] == [1, 5, 9, 10]


# Events and files ---------------------------------------------------------------------------


def test_events_come_in_order_and_agree_with_the_files(new_run, dataset, monkeypatch):
    always_due(monkeypatch)
    run, events = new_run(steps=6), []
    train(run, dataset, on_event=events.append)

    assert [event.step for event in events] == sorted(event.step for event in events)
    assert [type(event) for event in events[:4]] == [GridSaved, Logged, GridSaved, SnapshotSaved]
    assert isinstance(events[-1], SnapshotSaved)
    assert events[-1].step == 6

    logged = [event for event in events if isinstance(event, Logged)]
    assert [event.progress for event in logged] == [step / 6 for step in range(1, 7)]
    for event, line in zip(logged, run.metrics(), strict=True):
        written = {"step": event.step, "seconds": event.seconds, **event.metrics}
        assert flat(line) == pytest.approx(flat(written), rel=1e-5)
        assert set(line["d_right_of"]) == {"discs", "squares"}
    grids = {event.step: event.jpeg for event in events if isinstance(event, GridSaved)}
    assert grids == {step: run.grid(step) for step in run.grid_steps()}
    assert {e.step for e in events if isinstance(e, SnapshotSaved)} >= set(run.snapshot_steps())
    assert (run.status.step, run.status.seconds) == (6, pytest.approx(events[-1].seconds, abs=1e-3))


def test_every_file_is_there_when_its_event_arrives(new_run, dataset, monkeypatch):
    always_due(monkeypatch)
    run = new_run(steps=3)

    def on_event(event) -> None:
        if isinstance(event, Logged):
            assert run.metrics()[-1]["step"] == event.step
        elif isinstance(event, GridSaved):
            assert run.grid(event.step) == event.jpeg
        elif isinstance(event, Agreed):
            line = run.agreement()[-1]
            assert (line["step"], line["moments"]) == (event.step, event.moments)
        else:
            assert run.snapshot_steps()[-1] == run.status.step == event.step

    train(run, dataset, on_event=on_event)


def test_a_run_describes_its_model_its_data_and_how_it_was_computed(new_run, dataset):
    run = new_run(steps=1)
    train(run, dataset)
    assert ModelConfig.from_dict(run.about["model"]) == ModelConfig.for_dataset(run.config, dataset)
    assert run.about["data"] == {**dataset.manifest(), "held_out": 10}
    assert run.about["plan"]["precision"] == "fp32"


@pytest.mark.parametrize("preset", ["dcgan", "mlp"])
def test_a_classic_takes_all_tasks_as_one(new_run, dataset, preset):
    run = new_run(preset, steps=1)
    train(run, dataset)
    assert run.about["model"]["tasks"] == ["discs + squares"]
    assert run.about["data"]["tasks"] == {"discs + squares": 24}


# Grids --------------------------------------------------------------------------------------


def test_the_grid_has_a_row_per_task_each_of_the_same_latents():
    model = ModelConfig("multihead", 32, 3, ("a", "b", "c"), 8, 8)
    z, tasks = grid_layout(model)
    rows = z.view(3, -1, 8)
    assert torch.equal(rows[0], rows[1])
    assert torch.equal(rows[0], rows[2])
    assert len(rows[0].unique(dim=0)) == training.GRID_COLUMNS
    assert tasks.view(3, -1).unique(dim=1).flatten().tolist() == [0, 1, 2]


def test_the_grid_of_one_task_shows_different_latents_everywhere():
    z, tasks = grid_layout(ModelConfig("multihead", 32, 3, ("a",), 8, 8))
    assert len(z.unique(dim=0)) == len(z) == 32
    assert tasks.tolist() == [0] * 32


@pytest.mark.parametrize("ema_halflife_kimg", [0.0, 2.0])
def test_the_grid_is_what_the_snapshot_of_that_step_draws(new_run, dataset, ema_halflife_kimg):
    run = new_run(ema_halflife_kimg=ema_halflife_kimg)
    train(run, dataset)
    generator = restore_generator(ModelConfig.from_dict(run.about["model"]), run.snapshot())
    z = sampling.latents(8, 8, training.GRID_SEED)
    rows = [sampling.sample(generator, z, torch.full((8,), task)) for task in range(2)]
    expected = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
    grid = np.asarray(Image.open(io.BytesIO(run.grid(20))))
    assert grid.shape == (2 * 32, 8 * 32, 3)
    exact = np.asarray(Image.open(io.BytesIO(sampling.to_jpeg(expected)))).astype(int)
    assert abs(grid - exact).mean() < 0.1


# One step -----------------------------------------------------------------------------------


def gradients(network: torch.nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in network.named_parameters()}


@pytest.mark.parametrize("simultaneous", [True, False])
@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize(("loss", "r1", "r2"), [("relativistic", 2.0, 0.5), ("hinge", 0.0, 3.0)])
def test_a_step_follows_the_gradients_of_its_formulas(
    new_run, dataset, loss, r1, r2, step, simultaneous
):
    settings = {"loss": loss, "r1": r1, "r2": r2, "penalty_every": 4, "flips": False}
    run = new_run(simultaneous=simultaneous, **settings)
    state, config, plan = state_of(run, dataset)
    state.step = step
    g, d = copy.deepcopy(state.generator), copy.deepcopy(state.discriminator)
    dice = torch.Generator()
    dice.set_state(state.rng.get_state())

    metrics = train_step(state, config, plan, dataset, measure=True)

    # D, by hand.
    pictures, tasks = dataset.draw(8, dice)
    real = (pictures / 127.5 - 1).requires_grad_()
    fake = g(torch.randn(8, 8, generator=dice), tasks)
    still = fake.detach().clone().requires_grad_()
    on_real, on_fake = d(real, tasks), d(still, tasks)
    if loss == "relativistic":
        loss_d = F.softplus(on_fake - on_real).mean()
    else:
        loss_d = F.relu(1 - on_real).mean() + F.relu(1 + on_fake).mean()
    objective = loss_d
    if step % 4 == 0:  # every fourth step, hence four times
        for weight, images, logits in ((r1, real, on_real), (r2, still, on_fake)):
            (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
            objective = objective + 4 * weight / 2 * slope.flatten(1).norm(dim=1).square().mean()
    objective.backward()
    torch.testing.assert_close(gradients(state.discriminator), gradients(d), rtol=1e-3, atol=1e-6)
    assert metrics["loss_d"] == pytest.approx(loss_d.item(), rel=1e-5)
    assert metrics["score_real"] == pytest.approx(on_real.mean().item(), rel=1e-4)
    assert metrics["score_fake"] == pytest.approx(on_fake.mean().item(), rel=1e-4)
    assert metrics["d_right"] == pytest.approx((on_real > on_fake).float().mean().item())
    norm = sum(g.square().sum() for g in gradients(d).values()).sqrt()
    assert metrics["grad_norm_d"] == pytest.approx(norm.item(), rel=1e-3)

    # G, against the D of before or the new one.
    if not simultaneous:
        d.load_state_dict(state.discriminator.state_dict())
    scores = d(fake, tasks)
    loss_g = -scores.mean()
    if loss == "relativistic":
        loss_g = F.softplus(d(real, tasks).detach() - scores).mean()
    loss_g.backward()
    torch.testing.assert_close(gradients(state.generator), gradients(g), rtol=1e-3, atol=1e-6)
    assert metrics["loss_g"] == pytest.approx(loss_g.item(), rel=1e-4)
    norm = sum(g.square().sum() for g in gradients(g).values()).sqrt()
    assert metrics["grad_norm_g"] == pytest.approx(norm.item(), rel=1e-3)


def after_a_step(state: State, config: TrainConfig, plan: device.Plan, dataset: Dataset) -> dict:
    """G's gradients and what the curves show."""
    metrics = train_step(state, config, plan, dataset, measure=True)
    named = state.generator.named_parameters()
    return {"metrics": flat(metrics), **{name: p.grad.clone() for name, p in named}}


@pytest.mark.parametrize("simultaneous", [True, False])
@pytest.mark.parametrize("loss", ["relativistic", "wasserstein", "hinge"])
def test_pictures_that_are_no_blends_are_judged_as_ever(new_run, dataset, loss, simultaneous):
    settings = {"loss": loss, "simultaneous": simultaneous}
    alone = after_a_step(*state_of(new_run(**settings), dataset), dataset)
    none = after_a_step(*state_of(new_run(**settings, blends=1e-12), dataset), dataset)
    some = after_a_step(*state_of(new_run(**settings, blends=1.0), dataset), dataset)
    assert not torch.allclose(some["start.weight"], alone["start.weight"], rtol=0.1)
    assert none.pop("metrics") == pytest.approx(alone.pop("metrics"), rel=1e-4)
    for name, gradient in alone.items():
        torch.testing.assert_close(none[name], gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("simultaneous", [True, False])
@pytest.mark.parametrize(
    ("loss", "is_free"), [("relativistic", True), ("wasserstein", True), ("non-saturating", False)]
)
def test_blends_do_not_depend_on_what_d_may_add_to_a_task(
    new_run, dataset, loss, is_free, simultaneous
):
    """Where only differences count, no head of D may win by being a little higher everywhere."""
    settings = {"loss": loss, "blends": 1.0, "r1": 0, "r2": 0, "simultaneous": simultaneous}
    before = after_a_step(*state_of(new_run(**settings), dataset), dataset)
    state, config, plan = state_of(new_run(**settings), dataset)
    drift = state.discriminator.logits.bias
    with torch.no_grad():
        drift[1] += 3
    after = after_a_step(state, config, plan, dataset)
    is_same = torch.allclose(after["start.weight"], before["start.weight"], rtol=1e-3, atol=1e-7)
    assert is_same == is_free
    assert (drift.grad.abs().max() < 1e-5) == is_free  # or it would drift ever farther


@pytest.mark.parametrize("preset", ["dcgan", "mlp"])
def test_a_network_without_heads_has_no_blends(new_run, grey, preset):
    with_blends, without = (
        after_a_step(*state_of(new_run(preset, blends=share), grey), grey) for share in (0.5, 0)
    )
    assert with_blends.pop("metrics") == without.pop("metrics")
    assert differing(with_blends, without) == []


def test_both_networks_are_updated_by_adam(new_run, dataset):
    state, config, plan = state_of(new_run(learning_rate=1e-3, beta1=0.3, beta2=0.9), dataset)
    networks = (state.generator, state.discriminator)
    copies = [copy.deepcopy(network) for network in networks]
    adams = [
        torch.optim.Adam(twin.parameters(), lr=1e-3, betas=(0.3, 0.9), foreach=False)
        for twin in copies
    ]
    for _ in range(3):
        train_step(state, config, plan, dataset, measure=False)
        for network, twin, adam in zip(networks, copies, adams, strict=True):
            for mine, theirs in zip(twin.parameters(), network.parameters(), strict=True):
                mine.grad = theirs.grad.clone()
            adam.step()
            for mine, theirs in zip(twin.parameters(), network.parameters(), strict=True):
                torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-7)


def test_curves_show_the_means_since_the_line_before(new_run, dataset):
    each, config, plan = state_of(new_run(), dataset)
    together, _, _ = state_of(new_run(), dataset)
    lines = [train_step(each, config, plan, dataset, measure=True) for _ in range(6)]
    for line_steps in ([0, 1, 2, 3], [4, 5]):
        *silent, last = (
            train_step(together, config, plan, dataset, measure=step == line_steps[-1])
            for step in line_steps
        )
        assert silent == [{}] * (len(line_steps) - 1)
        for name in ("loss_g", "loss_d", "score_real", "score_fake", "d_right"):
            mean = sum(lines[step][name] for step in line_steps) / len(line_steps)
            assert last[name] == pytest.approx(mean, rel=1e-5)
        for name in ("grad_norm_g", "grad_norm_d"):
            assert last[name] == lines[line_steps[-1]][name]


@pytest.mark.parametrize(
    ("r1", "r2", "every", "calls"), [(1, 1, 4, 10), (1, 0, 4, 5), (0, 1, 1, 20), (0, 0, 1, 0)]
)
def test_penalties_are_computed_as_rarely_as_asked(
    new_run, dataset, monkeypatch, r1, r2, every, calls
):
    counted = []

    def counting(*given: Tensor) -> Tensor:
        counted.append(1)
        return squared_slope(*given)

    monkeypatch.setattr("ganlab.step.squared_slope", counting)
    train(new_run(r1=r1, r2=r2, penalty_every=every), dataset)
    assert len(counted) == calls


@pytest.mark.parametrize(("r1", "r2"), [(0, 0), (1, 1), (1, 0), (0, 1)])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_trains_with_and_without_penalties(new_run, dataset, loss, r1, r2):
    run = new_run(loss=loss, r1=r1, r2=r2, penalty_every=2, steps=3)
    state, _, _ = state_of(run, dataset)
    assert train(run, dataset) == "finished"
    tensors = saved(run)
    assert all(value.isfinite().all() for value in tensors.values())
    for name in ("generator", "discriminator"):
        for key, parameter in getattr(state, name).named_parameters():
            if key == "logits.bias" and loss in ("relativistic", "wasserstein", "hinge"):
                continue  # pulls of real and generated pictures cancel, within hinge's margin
            assert not torch.equal(parameter, tensors[f"training:{name}/{key}"]), key


def test_flips_show_d_mirrored_pictures_and_only_when_asked(new_run, monkeypatch):
    arrow = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    arrow[:, :, :, :16] = 255  # bright on the left
    dataset = Dataset("arrows", arrow, torch.zeros(2, dtype=torch.int64), ("arrows",))
    for flips, expected in ((False, {1.0}), (True, {1.0, -1.0})):
        state, config, plan = state_of(new_run(flips=flips, batch_size=32), dataset)
        seen = []
        state.discriminator.register_forward_pre_hook(
            lambda _, given, seen=seen: seen.append(given)
        )
        train_step(state, config, plan, dataset, measure=False)
        real = seen[0][0]
        assert set(real[:, 0, 0, 0].tolist()) == expected


@pytest.mark.parametrize(("simultaneous", "looks"), [(True, 2), (False, 4)])
def test_diffaugment_changes_all_that_d_sees(new_run, dataset, simultaneous, looks):
    run = new_run(diffaugment=True, flips=False, simultaneous=simultaneous)
    state, config, plan = state_of(run, dataset)
    seen = []
    state.discriminator.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    train_step(state, config, plan, dataset, measure=False)
    assert len(seen) == looks  # at real and at generated ones; then again, if G comes after D
    for images in seen:  # a part of each is hidden
        hidden = (images == 0).all(1).flatten(1).double().mean(1)
        assert (hidden > 0.05).all()


@pytest.mark.parametrize("simultaneous", [True, False])
def test_g_learns_through_what_d_was_shown(new_run, dataset, monkeypatch, simultaneous):
    monkeypatch.setattr("ganlab.augment.diffaugment", lambda x, rng, p: 0 * x)
    run = new_run(diffaugment=True, simultaneous=simultaneous)  # D sees nothing at all
    state, config, plan = state_of(run, dataset)
    metrics = train_step(state, config, plan, dataset, measure=True)
    assert metrics["score_real"] == metrics["score_fake"]
    assert metrics["grad_norm_g"] == 0


@pytest.mark.parametrize("simultaneous", [True, False])
def test_d_is_updated_as_often_as_asked_each_time_on_other_pictures_and_g_once(
    new_run, dataset, monkeypatch, simultaneous
):
    state, config, plan = state_of(new_run(d_steps=3, simultaneous=simultaneous), dataset)
    draw, drawn = Dataset.draw, []

    def watched(self, *given, **more):
        drawn.append(draw(self, *given, **more))
        return drawn[-1]

    monkeypatch.setattr(Dataset, "draw", watched)
    train_step(state, config, plan, dataset, measure=False)
    updates = [{int(entry["step"]) for entry in opt.state.values()} for opt in
               (state.opt_d, state.opt_g)]  # fmt: skip
    assert updates == [{3}, {1}]
    assert len(state.opt_d.state) == len(list(state.discriminator.parameters()))
    assert len(drawn) == 3
    assert not torch.equal(drawn[0][0], drawn[1][0])
    assert not torch.equal(drawn[1][0], drawn[2][0])
    assert (state.step, state.images) == (1, 8)


@pytest.mark.parametrize("step", [0, 1])  # with penalties and without
@pytest.mark.parametrize("simultaneous", [True, False])
def test_two_steps_of_d_are_a_step_in_which_g_stands_still_and_an_ordinary_one(
    new_run, dataset, simultaneous, step
):
    settings = {"simultaneous": simultaneous, "penalty_every": 8}
    both, config, plan = state_of(new_run(d_steps=2, **settings), dataset)
    both.step = step
    train_step(both, config, plan, dataset, measure=False)

    apart, config, plan = state_of(new_run(d_steps=1, **settings), dataset)
    apart.opt_g.param_groups[0]["lr"] = 0.0
    for rate in (0.0, config.learning_rate):
        apart.step = step
        apart.opt_g.state.clear()
        apart.opt_g.param_groups[0]["lr"] = rate
        train_step(apart, config, plan, dataset, measure=False)
    for name in ("generator", "discriminator"):
        theirs = dict(getattr(apart, name).named_parameters())
        for key, parameter in getattr(both, name).named_parameters():
            assert torch.equal(parameter, theirs[key]), key


# The averaged generator ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("halflife", "images_before", "expected"),
    [
        (0.0, 10**6, 0.0),  # off
        (2.0, 10**6, 0.5 ** (8 / 2000)),
        (2.0, 392, 0.5 ** (8 / 20)),  # at most a twentieth of the 400 so far
    ],
)
def test_the_average_follows_its_half_life(new_run, dataset, halflife, images_before, expected):
    state, config, plan = state_of(new_run(ema_halflife_kimg=halflife), dataset)
    state.images = images_before
    before = {key: value.clone() for key, value in state.ema.state_dict().items()}
    train_step(state, config, plan, dataset, measure=False)
    now = state.generator.state_dict()
    assert now.keys() == before.keys()
    for key, averaged in state.ema.state_dict().items():
        mean = expected * before[key].double() + (1 - expected) * now[key].double()
        torch.testing.assert_close(averaged.double(), mean, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("preset", ["quick", "dcgan"])
def test_without_an_average_the_generator_itself_is_saved(new_run, dataset, preset):
    run = new_run(preset, ema_halflife_kimg=0, steps=5)
    train(run, dataset)
    tensors = saved(run)
    averaged = {k.removeprefix("generator:"): v for k, v in tensors.items() if "training:" not in k}
    assert averaged
    for key, value in averaged.items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(value, tensors[f"training:generator/{key}"])


def test_an_average_lags_behind_the_generator(new_run, dataset):
    run = new_run()
    train(run, dataset)
    tensors = saved(run)
    key = "start.weight"
    assert not torch.equal(tensors[f"generator:{key}"], tensors[f"training:generator/{key}"])


# The learning rate --------------------------------------------------------------------------


@pytest.mark.parametrize("lr_decay", [False, True])
def test_the_learning_rate_falls_over_the_second_half_only_when_asked(
    new_run, dataset, monkeypatch, lr_decay
):
    rates = []

    def watched(state: State, *given, **options):
        rates.append([opt.param_groups[0]["lr"] for opt in (state.opt_g, state.opt_d)])
        return train_step(state, *given, **options)

    monkeypatch.setattr(training, "train_step", watched)
    train(new_run(steps=20, learning_rate=1e-3, lr_decay=lr_decay), dataset)
    falling = [1 - 0.09 * step for step in range(10)] if lr_decay else [1.0] * 10
    expected = [1e-3 * factor for factor in [1.0] * 10 + falling]
    for of_g_and_d in zip(*rates, strict=True):
        assert of_g_and_d == pytest.approx(expected)


def test_the_learning_rate_ends_at_a_tenth(new_run, dataset):
    state, config, _ = state_of(new_run(lr_decay=True), dataset)
    set_learning_rate(state, config, 1.0)
    assert state.opt_g.param_groups[0]["lr"] == pytest.approx(config.learning_rate / 10)
    assert state.opt_d.param_groups[0]["lr"] == pytest.approx(config.learning_rate / 10)


# Explosions ---------------------------------------------------------------------------------


def only_finite(run: Run) -> None:
    """Neither the curves nor the newest snapshot hold anything else."""
    path = run.path / "metrics.jsonl"
    for line in path.read_text().splitlines() if path.exists() else []:
        json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} was logged"))
    for key, value in saved(run).items():
        assert value.isfinite().all(), key


@pytest.mark.parametrize(
    "change",
    [
        {"width": 16},
        {"mapping_layers": 1},
        {"own_styles": False},
        {"residual": True},
        {"palette": 8},
    ],
)
def test_a_run_does_not_go_on_with_another_network(new_run, dataset, change):
    run = new_run(steps=2)
    train(run, dataset)
    before = run.about
    run.describe(config={**run.config.to_dict(), **change, "steps": 4})
    with pytest.raises(ValueError, match="another network than this run has trained"):
        train(run, dataset)
    assert run.about["model"] == before["model"]


def test_a_run_older_than_a_part_of_the_network_goes_on_without_it(new_run, dataset):
    run = new_run(steps=2, palette=0, mapping_layers=0)
    train(run, dataset)
    parts = ("palette", "mapping_layers")
    settings = {**run.config.to_dict(), "steps": 4}
    model = run.about["model"]
    for known in (settings, model):
        for part in parts:
            del known[part]
    run.describe(config=settings, model=model)
    assert train(run, dataset) == "finished"
    assert run.config.palette == run.config.mapping_layers == 0


def test_a_run_does_not_go_on_with_other_pictures(new_run, dataset):
    run = new_run(steps=2)
    train(run, dataset)
    run.describe(config={**run.config.to_dict(), "steps": 4})
    changed = dataset.images.clone()
    changed[0] = 255 - changed[0]
    with pytest.raises(ValueError, match="The pictures have changed"):
        train(run, replace(dataset, images=changed))
    assert train(run, dataset) == "finished"


def test_pictures_are_mirrored_only_where_their_mirror_images_could_be_data(new_run, dataset):
    one = replace(dataset, images=dataset.images[:1], task_ids=dataset.task_ids[:1], tasks=("a",))
    trained = []
    for mirrors, flips in itertools.product([True, False], repeat=2):
        run = new_run(steps=4, flips=flips)
        train(run, replace(one, mirrors=mirrors))
        trained.append(saved(run))
    both, *others = trained
    assert all(differing(others[0], other) == [] for other in others[1:])
    assert differing(both, others[0])


@pytest.mark.parametrize("logged", ["every step", "rarely"])
@pytest.mark.parametrize("player", ["d", "g"])
def test_an_exploded_run_says_so_and_keeps_the_last_good_snapshot(
    new_run, dataset, monkeypatch, player, logged
):
    run, whole = new_run(steps=10), new_run(steps=10)
    with monkeypatch.context() as patch:
        never_due(patch)
        train(whole, dataset)

    if logged == "every step":
        always_due(monkeypatch)
    monkeypatch.setattr(training, "SECONDS_BETWEEN_SNAPSHOTS", 0.0)
    fine, calls = LOSSES["relativistic"], itertools.count(1)

    def explode(real: Tensor, fake: Tensor) -> Tensor:
        value = getattr(fine, player)(real, fake)
        return value * float("inf") if next(calls) == 7 else value

    monkeypatch.setitem(LOSSES, "relativistic", replace(fine, **{player: explode}))
    with pytest.raises(Diverged, match="no longer finite at step 7"):
        train(run, dataset)
    assert run.snapshot().name == "000006"
    only_finite(run)

    monkeypatch.setitem(LOSSES, "relativistic", fine)  # and from there it can go on
    assert train(run, dataset) == "finished"
    assert differing(saved(run), saved(whole)) == []


def test_a_run_with_wild_settings_explodes_as_announced(new_run, dataset, monkeypatch):
    monkeypatch.setattr(training, "SECONDS_BETWEEN_SNAPSHOTS", 0.02)
    run = new_run(learning_rate=0.1, beta1=0.9, beta2=0.0, steps=500)
    events = []
    with pytest.raises(Diverged, match="no longer finite at step"):
        train(run, dataset, on_event=events.append)
    assert 0 < run.status.step < 500
    assert run.snapshot_steps()[-1] == run.status.step
    only_finite(run)
    for event in events:
        if isinstance(event, Logged):
            assert all(np.isfinite(value) for value in flat(event.metrics).values())


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda state: state.discriminator.logits.bias.data,
        lambda state: state.generator.norms[0].running_var,
        lambda state: state.opt_g.state[state.generator.start.weight]["exp_avg_sq"],
    ],
    ids=["a parameter", "a statistic", "a memory of Adam"],
)
def test_nothing_from_which_a_run_could_not_go_on_is_saved(new_run, dataset, monkeypatch, spoilt):
    def spoiling(state: State, *given, **options):
        metrics = train_step(state, *given, **options)
        spoilt(state).flatten()[0] = float("inf")
        return metrics

    run = new_run(steps=3)
    train(run, dataset, should_stop=after(2))
    before = saved(run)
    monkeypatch.setattr(training, "train_step", spoiling)
    with pytest.raises(Diverged, match="the networks are no longer finite at step"):
        train(run, dataset)
    assert run.snapshot_steps() == [2]
    assert differing(saved(run), before) == []


def test_an_explosion_in_the_very_last_step_is_noticed(new_run, dataset, monkeypatch):
    never_due(monkeypatch)
    fine, calls = LOSSES["hinge"], itertools.count(1)
    monkeypatch.setitem(
        LOSSES,
        "hinge",
        replace(fine, g=lambda real, fake: fine.g(real, fake) * (np.nan if next(calls) > 4 else 1)),
    )
    run = new_run(loss="hinge", steps=5)
    with pytest.raises(Diverged, match="loss_g, grad_norm_g no longer finite at step 5"):
        train(run, dataset)
    assert run.metrics() == []
    assert run.snapshot_steps() == []


@pytest.mark.parametrize("architecture", ["multihead", "dcgan"])
def test_the_layout_in_memory_is_the_plans_and_changes_nothing_but_rounding(
    new_run, dataset, monkeypatch, architecture
):
    made = []
    for layout in ("channels_last", "contiguous"):
        monkeypatch.setenv("GANLAB_LAYOUT", layout)
        run = new_run(steps=2, architecture=architecture)
        train(run, dataset)
        assert run.about["plan"]["layout"] == layout
        made.append(saved(run))
    for key, value in made[0].items():
        if key.startswith("generator:"):
            torch.testing.assert_close(made[1][key], value, atol=2e-3, rtol=1e-3)


# Tasks that agree or not ----------------------------------------------------------------------


def test_tasks_are_compared_now_and_then_and_it_goes_on_after_a_resume(
    new_run, dataset, monkeypatch
):
    monkeypatch.setattr(Pace, "is_due", lambda self, seconds: self.largest == 0.03)
    whole, parts, events = new_run(steps=6), new_run(steps=6), []
    train(whole, dataset, on_event=events.append)
    train(parts, dataset, should_stop=after(4))
    parts.log_agreement({"step": 5, "seconds": 9.0, "moments": 9, "cosines": [[1, 1], [1, 1]]})
    train(parts, dataset)
    whole, parts = whole.agreement(), parts.agreement()
    # The first step after a start, which is slow, is never one of the moments.
    assert [(line["step"], line["moments"]) for line in whole] == [(i, i - 1) for i in range(2, 7)]
    assert [(line["step"], line["moments"]) for line in parts] == [(2, 1), (3, 2), (4, 3), (6, 4)]
    means = {line["step"]: np.array(line["cosines"]) for line in whole}
    at_6 = 5 * means[6] - 4 * means[5]
    np.testing.assert_allclose(parts[-1]["cosines"], (3 * means[4] + at_6) / 4, atol=1e-3)
    last = means[6]
    assert last.shape == (2, 2) and (last == last.T).all() and (last.diagonal() == 1).all()
    agreed = [event for event in events if isinstance(event, Agreed)]
    np.testing.assert_allclose(agreed[-1].cosines, last, atol=1e-5)


def test_comparing_tasks_takes_a_small_share_of_a_run(new_run, dataset, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(training.time, "perf_counter", lambda: clock.now)
    compared = []

    def timed(state, *given, on_gradients=None, **more):
        state.step += 1
        clock.now += 5.0 if state.step == 1 else 0.1
        if on_gradients:
            compared.append(clock.now)
            clock.now += 0.2
            on_gradients(torch.eye(2))
        return {}

    monkeypatch.setattr(training, "train_step", timed)
    monkeypatch.setattr(Gauge, "is_possible", False)
    run = new_run(seconds=60)
    train(run, dataset)
    assert len(run.agreement()) == len(compared) >= 5
    assert 0.2 * len(compared) <= 0.035 * 60


def test_a_run_of_one_task_has_none_to_compare(new_run, one_task, monkeypatch):
    always_due(monkeypatch)
    run, events = new_run(steps=3), []
    train(run, one_task, on_event=events.append)
    assert run.agreement() == []
    assert not any(isinstance(event, Agreed) for event in events)


def test_the_kid_of_each_task_is_written_down(new_run, dataset, looks_at):
    looks_at(5)
    run = new_run(seconds=6)
    train(run, dataset)
    assert set(run.quality()[0]["kid_of"]) == {"discs", "squares"}


# What never trains ------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["quick", "dcgan"])
def test_no_step_ever_draws_a_picture_that_is_held_out(new_run, dataset, monkeypatch, preset):
    draw, drawn = Dataset.draw, set()

    def watched(self, *given, **more):
        images, tasks = draw(self, *given, **more)
        drawn.update(picture.numpy().tobytes() for picture in images)
        return images, tasks

    monkeypatch.setattr(Dataset, "draw", watched)
    run = new_run(preset, steps=30, batch_size=16, d_steps=2)
    train(run, dataset)
    trained, held_out = (
        {picture.numpy().tobytes() for picture in part.images} for part in dataset.split()
    )
    assert (len(trained), len(held_out)) == (14, 10)
    assert drawn == trained
    assert run.about["data"]["held_out"] == 10
    assert run.about["data"]["pictures"] == 24


# Looks at the quality ---------------------------------------------------------------------------


@pytest.fixture
def looks_at(clock, monkeypatch):
    """Makes looks due at these seconds of a run whose steps take one each, and cheaper."""

    def plan_looks(*seconds: float) -> None:
        monkeypatch.setattr(Gauge, "is_due", lambda self, now: now in seconds)

    monkeypatch.setattr(quality, "SAMPLES", 16)
    return plan_looks


def test_a_look_is_written_down_saved_and_told(new_run, dataset, looks_at):
    looks_at(5, 12)
    run, events = new_run(seconds=20), []

    def on_event(event) -> None:
        events.append(event)
        if isinstance(event, Looked):  # all of it is there by now
            line = run.quality()[-1]
            values = {"step": event.step, "seconds": event.seconds, **event.quality}
            assert flat(line) == pytest.approx(flat(values), rel=1e-5)
            assert run.snapshot_steps()[-1] == run.status.step == event.step
            assert (run.snapshot() / "training.safetensors").exists()

    train(run, dataset, on_event=on_event)
    assert [line["step"] for line in run.quality()] == [5, 12, 20]
    assert [line["seconds"] for line in run.quality()] == [5, 12, 20]
    assert run.snapshot_steps() == [5, 12, 15, 20]  # and every fifteen seconds
    looked = [event for event in events if isinstance(event, Looked)]
    assert [event.step for event in looked] == [5, 12, 20]
    assert [event.step for event in events] == sorted(event.step for event in events)
    assert events[-2:] == [SnapshotSaved(20, 20.0), looked[-1]]


@pytest.mark.parametrize(("at", "outcome"), [(5, "stopped"), (20, "finished")])
@pytest.mark.parametrize("batches", [0, 1])  # of pictures that are measured until then
def test_a_look_that_is_under_way_does_not_keep_a_run_from_being_saved(
    new_run, dataset, looks_at, monkeypatch, at, outcome, batches
):
    looks_at(*([5] if at == 5 else []))
    seen, events, extract = [], [], quality.features.extract

    def watched(images, before_batch):
        def note() -> None:
            seen.append(len(seen))
            before_batch()

        return extract(images, note)

    monkeypatch.setattr(quality.features, "extract", watched)
    run = new_run(seconds=20)
    ended = train(run, dataset, on_event=events.append, should_stop=lambda: len(seen) > batches)
    assert ended == outcome
    assert len(seen) == batches + 1 and run.status.step == at == run.snapshot_steps()[-1]
    assert run.can_train_on(at)
    assert run.quality() == [] and not any(isinstance(event, Looked) for event in events)


def test_what_was_measured_is_the_snapshot_of_that_step(new_run, dataset, looks_at):
    looks_at(5)
    run = new_run(seconds=20)
    train(run, dataset)
    for line in run.quality():
        model = ModelConfig.from_dict(run.about["model"])
        generator = restore_generator(model, run.snapshot(line["step"]))
        found = Gauge(dataset, *dataset.split()).look(generator, line["seconds"])
        expected = {"step": line["step"], "seconds": line["seconds"], **found}
        assert flat(line) == pytest.approx(flat(expected), rel=1e-3, abs=1e-4)
    assert run.quality()[0]["kid"] != run.quality()[1]["kid"]


@pytest.mark.parametrize("preset", ["quick", "dcgan"])
def test_being_measured_does_not_change_a_run(new_run, dataset, monkeypatch, preset):
    monkeypatch.setattr(quality, "SAMPLES", 8)
    measured, plain = (new_run(preset, steps=10, diffaugment=True) for _ in range(2))
    train(plain, dataset)
    assert plain.quality() == []
    monkeypatch.setattr(training, "FIRST_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(Gauge, "is_due", lambda self, seconds: True)
    train(measured, dataset)
    assert [line["step"] for line in measured.quality()] == list(range(1, 11))
    assert differing(saved(measured), saved(plain)) == []


@pytest.mark.parametrize(("seconds", "ends"), [(4, []), (5, [5]), (7, [5, 7])])
def test_a_run_is_measured_from_its_fifth_second_on_and_at_its_end(
    new_run, dataset, clock, monkeypatch, seconds, ends
):
    monkeypatch.setattr(quality, "SAMPLES", 8)
    run = new_run(seconds=seconds)
    train(run, dataset)
    looks = [line["step"] for line in run.quality()]  # and now and then in between
    assert sorted({*looks[:1], *looks[-1:]}) == ends


def test_a_step_that_was_measured_is_not_measured_again_at_the_end(new_run, dataset, looks_at):
    looks_at(6)
    run = new_run(seconds=6)
    train(run, dataset)
    assert [line["step"] for line in run.quality()] == [6]
    train(run, dataset)  # no more budget
    assert [line["step"] for line in run.quality()] == [6]


def test_two_pictures_are_too_few_to_measure_but_not_to_train(new_run, one_task, clock):
    pair = Dataset("pair", one_task.images[:2], one_task.task_ids[:2], one_task.tasks)
    run = new_run(seconds=8)
    assert train(run, pair) == "finished"
    assert run.quality() == []
    assert run.snapshot_steps() == [8]


def test_looks_past_the_snapshot_are_forgotten_on_resume(new_run, dataset, clock, looks_at):
    looks_at(6)
    run = new_run(seconds=20)
    end = clock.now + 10
    train(run, dataset, should_stop=lambda: clock.now >= end)
    assert [line["step"] for line in run.quality()] == [6]  # told to stop, it does so at once
    first = run.quality()
    run.log_quality({"step": 15, "seconds": 15.0, "kid": -9.0})  # it was killed before it saved
    train(run, dataset)
    assert [line["step"] for line in run.quality()] == [6, 16, 20]  # again after six seconds
    assert run.quality()[:1] == first
    assert run.quality()[1]["kid"] > -9


def test_the_time_of_a_look_does_not_make_the_training_look_slow(
    new_run, dataset, clock, looks_at, monkeypatch
):
    looks_at(6, 13)
    look = Gauge.look

    def slow(*given) -> dict[str, float]:
        clock.now += 3
        return look(*given)

    monkeypatch.setattr(Gauge, "look", slow)
    run = new_run(seconds=30)
    train(run, dataset)
    assert len(run.quality()) == 2 + 1
    assert {line["images_per_second"] for line in run.metrics()} == {8.0}
    assert run.status.seconds == 30  # of which looks are a part
    assert run.status.step == 30 - 2 * 3


def test_the_best_snapshot_can_still_be_trained_on_after_many_others(
    new_run, dataset, looks_at, monkeypatch
):
    looks_at(*range(1, 30))
    kid = dict.fromkeys(range(1, 40), 2.0) | {4: 1.0}
    calls = itertools.count(1)
    monkeypatch.setattr(Gauge, "look", lambda *_: {"kid": kid[next(calls)], "kid_std": 0.1})
    run = new_run(seconds=30)
    train(run, dataset)
    assert run.best_step() == 4
    assert len(run.snapshot_steps()) == 16
    for step in run.snapshot_steps():
        held = (run.snapshot(step) / "training.safetensors").exists()
        assert held == (step in (4, 30))


# Branches ---------------------------------------------------------------------------------------


def test_a_branch_goes_on_from_its_snapshot_with_the_changed_setting(
    new_run, dataset, looks_at, monkeypatch, tmp_path
):
    looks_at(5, 10)
    kids = {5: 2.0, 10: 1.0, 16: 3.0}  # so that the best is not the newest
    seconds = iter(kids)
    monkeypatch.setattr(Gauge, "look", lambda *_: {"kid": kids[next(seconds)], "kid_std": 0.1})
    run = new_run(seconds=16, learning_rate=1e-3)
    train(run, dataset)
    assert run.best_step() == 10
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}

    rates = []
    step = training.train_step

    def watched(state: State, *given, **options) -> dict[str, float]:
        rates.append((state.step, state.opt_g.param_groups[0]["lr"], state.opt_d.defaults["lr"]))
        return step(state, *given, **options)

    monkeypatch.setattr(training, "train_step", watched)
    monkeypatch.setattr(Gauge, "look", lambda *_: {"kid": 0.5, "kid_std": 0.1})
    same, _ = run.branch(run.config, tmp_path / "new", 10)
    slower, _ = run.branch(replace(run.config, learning_rate=3e-4), tmp_path / "new", 10)
    for branch in (same, slower):
        assert train(branch, dataset) == "finished"
        assert (branch.status.step, branch.status.seconds) == (16, 16)
        assert branch.snapshot_steps() == [10, 15, 16]
        assert [line["kid"] for line in branch.quality()] == [2.0, 1.0, 0.5, 0.5]
        old = [line for line in run.metrics() if line["step"] <= 10]
        assert branch.metrics()[: len(old)] == old
        assert branch.metrics()[-1]["step"] > 10
        assert branch.grid_steps()[-1] == 16
    assert rates == [(step, lr, lr) for lr in (1e-3, 3e-4) for step in range(10, 16)]
    assert differing(saved(same), saved(run)) == []
    assert "training:discriminator/logits.weight" in differing(saved(slower), saved(run))
    after_it_all = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    assert after_it_all == before


def test_a_run_of_which_only_generators_are_left_begins_anew(new_run, dataset):
    run = new_run(steps=4)
    run.move("running")
    train(run, dataset)
    (run.snapshot() / "training.safetensors").unlink()
    assert train(run, dataset) == "finished"
    assert run.snapshot_steps() == [4] and run.can_train_on(4)
    assert [line["step"] for line in run.metrics()] == sorted(
        {line["step"] for line in run.metrics()}
    )
