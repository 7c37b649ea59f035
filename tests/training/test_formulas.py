"""A step against its formulas, the averaged generator and the learning rate."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganlab import device, training
from ganlab.config import TrainConfig
from ganlab.data.dataset import Dataset
from ganlab.state import State, set_learning_rate
from ganlab.step import train_step
from ganlab.training import train
from training.watched import differing, flat, saved, state_of

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
