"""What a setting changes in each step: penalties, losses, flips, augmentation, steps of D."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ganlab.data.dataset import Dataset
from ganlab.losses import LOSSES, squared_slope
from ganlab.step import train_step
from ganlab.training import train
from training.watched import differing, saved, state_of


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
