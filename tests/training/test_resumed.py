"""A run is the same however often it was stopped, and goes on with nothing else."""

import time
from dataclasses import replace

import pytest
import torch

from ganlab.courtesy import LONGEST, going_first
from ganlab.runs import Run
from ganlab.training import train
from training.watched import after, always_due, differing, never_due, saved

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


# What it does not go on with, or without -------------------------------------------------------


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
