"""A step with several tasks: conflicts between them, and what is seen of each."""

import pytest
import torch
from conftest import drawings, tiny
from torch import Tensor

from ganlab import step
from ganlab.config import ModelConfig, TrainConfig
from ganlab.conflicts import CONFLICTS, Conflict
from ganlab.data.dataset import Dataset
from ganlab.device import Plan
from ganlab.state import State, fresh_state
from ganlab.step import Turn, train_step

PLAN = Plan("cpu", "fp32", 1)


def begin(dataset: Dataset, **changes) -> tuple[State, TrainConfig]:
    config = tiny(**changes).fitted(len(dataset.tasks))
    return fresh_state(config, ModelConfig.for_dataset(config, dataset), PLAN), config


def weights_after(dataset: Dataset, steps: int, watched: list | None = None, **changes):
    state, config = begin(dataset, **changes)
    for _ in range(steps):
        on_gradients = None if watched is None else watched.append
        train_step(state, config, PLAN, dataset, measure=False, on_gradients=on_gradients)
    return state.generator.state_dict()


@pytest.mark.parametrize("changes", [{}, {"simultaneous": False, "loss": "hinge"}])
@pytest.mark.parametrize("head_depth", [0, 2])
def test_watching_the_tasks_gradients_changes_no_bit(dataset, changes, head_depth) -> None:
    watched: list[Tensor] = []
    plain = weights_after(dataset, 4, head_depth=head_depth, **changes)
    seen = weights_after(dataset, 4, watched, head_depth=head_depth, **changes)
    assert all(torch.equal(plain[name], seen[name]) for name in plain)
    assert len(watched) == 4
    state, _ = begin(dataset, head_depth=head_depth)
    trunk = sum(parameter.numel() for parameter in state.generator.trunk())
    assert all(gradients.shape == (2, trunk) for gradients in watched)


@pytest.mark.parametrize(
    "changes", [{}, {"simultaneous": False}, {"batch_size": 9}, {"blends": 0.7}]
)
@pytest.mark.parametrize("head_depth", [0, 1, 3])
def test_apart_and_added_up_again_the_tasks_make_the_same_step(
    dataset, monkeypatch, changes, head_depth
) -> None:
    monkeypatch.setitem(CONFLICTS, "pcgrad", Conflict("sum", lambda g, rng: g.sum(0)))
    together, apart = (
        begin(dataset, head_depth=head_depth, conflicts=name, **changes)
        for name in ("none", "pcgrad")
    )
    for state, config in (together, apart):
        train_step(state, config, PLAN, dataset, measure=False)
    pairs = zip(
        together[0].generator.named_parameters(), apart[0].generator.parameters(), strict=True
    )
    for (name, one), other in pairs:
        assert other.grad.stride() == one.grad.stride(), name  # fused Adam relies on it
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-6, msg=name)


@pytest.mark.parametrize("conflicts", ["pcgrad", "cagrad"])
def test_conflicts_are_settled_on_the_trunk_and_leave_the_heads_alone(dataset, conflicts) -> None:
    plain, settled = (begin(dataset, conflicts=name) for name in ("none", conflicts))
    gradients: list[Tensor] = []
    for state, config in (plain, settled):
        train_step(state, config, PLAN, dataset, measure=False, on_gradients=gradients.append)
    found = torch.cat([p.grad.reshape(-1) for p in settled[0].generator.trunk()])
    dice, combine = torch.Generator().manual_seed(0), CONFLICTS[conflicts].combine
    expected = combine(gradients[0], dice)  # of two tasks, whose order does not matter
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)
    trunk = {id(parameter) for parameter in settled[0].generator.trunk()}
    pairs = zip(plain[0].generator.parameters(), settled[0].generator.parameters(), strict=True)
    for one, other in pairs:
        if id(other) not in trunk:
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-6)


def test_a_task_that_is_not_drawn_has_no_say(monkeypatch) -> None:
    three, seen = drawings(("discs", "squares", "discs"), 6), []
    three = Dataset("drawings", three.images, three.task_ids, ("a", "b", "c"))

    def note(gradients: Tensor, rng: torch.Generator) -> Tensor:
        seen.append(len(gradients))
        return gradients.sum(0)

    monkeypatch.setitem(CONFLICTS, "pcgrad", Conflict("note", note))
    state, config = begin(three, conflicts="pcgrad", batch_size=2)
    train_step(state, config, PLAN, three, measure=False)
    assert seen == [2]


def test_one_task_has_no_conflicts(one_task, monkeypatch) -> None:
    monkeypatch.setitem(CONFLICTS, "pcgrad", Conflict("never", None))
    watched: list[Tensor] = []
    plain = weights_after(one_task, 2)
    asked = weights_after(one_task, 2, watched, conflicts="cagrad")
    assert all(torch.equal(plain[name], asked[name]) for name in plain)
    assert watched == []


def test_a_frozen_trunk_is_left_alone(dataset) -> None:
    state, config = begin(dataset, conflicts="pcgrad")
    for parameter in state.generator.trunk():
        parameter.requires_grad_(False)
    before = [parameter.clone() for parameter in state.generator.trunk()]
    watched: list[Tensor] = []
    train_step(state, config, PLAN, dataset, measure=False, on_gradients=watched.append)
    assert watched == []
    after = state.generator.trunk()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_an_anchor_is_added_to_what_is_left_of_conflicts(dataset) -> None:
    states = [begin(dataset, conflicts="pcgrad") for _ in range(2)]
    turns = [Turn(), Turn(regulariser=lambda g: 3 * g.start.weight.sum())]
    for (state, config), turn in zip(states, turns, strict=True):
        train_step(state, config, PLAN, dataset, measure=False, turn=turn)
    without, with_it = (state.generator.start.weight.grad for state, _ in states)
    torch.testing.assert_close(with_it - without, torch.full_like(without, 3.0))


# What is seen of each task -----------------------------------------------------------------


def test_the_share_in_which_d_is_right_is_told_of_each_task(dataset) -> None:
    state, config = begin(dataset)
    for _ in range(3):
        train_step(state, config, PLAN, dataset, measure=False)
    line = train_step(state, config, PLAN, dataset, measure=True)
    of = line["d_right_of"]
    assert list(of) == ["discs", "squares"]
    assert sum(of.values()) / 2 == pytest.approx(line["d_right"], abs=1e-6)  # as many of each
    assert "d_right_of" in train_step(state, config, PLAN, dataset, measure=True)


def test_of_a_blend_each_task_has_its_share(dataset, monkeypatch) -> None:
    def halves(tasks: Tensor, generator, *_) -> Tensor:
        return torch.full((generator.n_blocks, len(tasks), 2), 0.5)

    monkeypatch.setattr(step, "drawn_between", halves)
    state, config = begin(dataset, blends=1.0)
    line = train_step(state, config, PLAN, dataset, measure=True)
    assert list(line["d_right_of"].values()) == pytest.approx([line["d_right"]] * 2)


def test_of_a_single_task_it_is_told_once(one_task) -> None:
    state, config = begin(one_task)
    assert "d_right_of" not in train_step(state, config, PLAN, one_task, measure=True)


def test_tasks_are_sampled_as_asked(monkeypatch) -> None:
    lopsided = drawings(("discs", "squares"), 10)
    lopsided = lopsided._only(torch.arange(20) < 12)  # ten of one, two of the other
    counts = {}
    for by in ("even", "size"):
        state, config = begin(lopsided, task_sampling=by, batch_size=24)
        drawn = []
        draw = Dataset.draw

        def spy(self, *args, drawn=drawn, draw=draw, **more):
            pictures, tasks = draw(self, *args, **more)
            drawn.append(tasks)
            return pictures, tasks

        with monkeypatch.context() as patch:
            patch.setattr(Dataset, "draw", spy)
            for _ in range(4):
                train_step(state, config, PLAN, lopsided, measure=False)
        counts[by] = torch.cat(drawn).bincount(minlength=2).tolist()
    assert counts["even"] == [48, 48]
    assert counts["size"][0] > 3 * counts["size"][1] > 0
