"""Conflicts between tasks: against formulas by hand, against torch, and against a search."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganlab.conflicts import CAUTION, CONFLICTS, apart, cagrad, cosines, pcgrad, stacked
from ganlab.models.generator import Generator


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_gradients(n: int, p: int = 40, seed: int = 0) -> Tensor:
    return torch.randn(n, p, generator=seeded(seed))


# PCGrad --------------------------------------------------------------------------------------


def test_of_two_opposed_gradients_each_loses_its_part_along_the_other():
    one, other = torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 1.0])
    # one·other = -2: one keeps (2, 0) + 2/2 (-1, 1) = (1, 1), other (-1, 1) + 2/4 (2, 0) = (0, 1)
    torch.testing.assert_close(pcgrad(torch.stack([one, other]), seeded()), torch.tensor([1.0, 2]))


def test_gradients_that_agree_are_added_up():
    gradients = torch.tensor([[1.0, 0, 0], [1, 1, 0], [0, 0, 3]])
    torch.testing.assert_close(pcgrad(gradients, seeded()), gradients.sum(0))


def test_opposite_gradients_cancel_out():
    gradients = torch.tensor([[1.0, 2], [-2.0, -4]])
    assert pcgrad(gradients, seeded()).abs().max() < 1e-6


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_algorithm_of_the_paper_in_the_order_that_the_dice_say(n: int, seed: int):
    gradients, dice = some_gradients(n, 6, seed), seeded(seed)
    projected = []
    for i in range(n):
        own = gradients[i].clone()
        for j in torch.randperm(n, generator=dice).tolist():
            if j != i and own @ gradients[j] < 0:
                own = own - (own @ gradients[j]) / gradients[j].square().sum() * gradients[j]
        projected.append(own)
    expected = torch.stack(projected).sum(0)
    torch.testing.assert_close(pcgrad(gradients, seeded(seed)), expected, rtol=1e-4, atol=1e-5)


# CAGrad --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_it_helps_the_worst_off_task_as_much_as_any_step_so_near_the_mean(seed: int):
    gradients = some_gradients(3, 3, seed)
    mean = gradients.mean(0)
    found = cagrad(gradients, seeded()) / 3
    radius = CAUTION * mean.norm()
    assert (found - mean).norm() <= radius * 1.001
    reached = (gradients @ found).min()
    turns = torch.randn(20_000, 3, generator=seeded(seed + 10))
    tried = mean + radius * turns / turns.norm(dim=1, keepdim=True)
    best = (tried @ gradients.T).min(1).values.max()
    assert reached >= best - 0.02 * mean.norm() * gradients.norm(dim=1).max()
    assert reached > (gradients @ mean).min()


def test_equal_tasks_move_as_their_sum_does_but_further():
    gradients = some_gradients(1).repeat(4, 1)
    torch.testing.assert_close(
        cagrad(gradients, seeded()), (1 + CAUTION) * gradients.sum(0), rtol=1e-4, atol=1e-4
    )


def test_where_tasks_cancel_out_there_is_nowhere_to_go():
    gradients = torch.tensor([[1.0, 2], [-1.0, -2]])
    assert cagrad(gradients, seeded()).abs().max() < 1e-6


@pytest.mark.parametrize("name", [name for name, c in CONFLICTS.items() if c.combine])
def test_any_way_follows_the_scale_of_the_gradients_and_leaves_them_as_they_are(name: str):
    gradients, combine = some_gradients(4), CONFLICTS[name].combine
    before = gradients.clone()
    once, tenfold = combine(gradients, seeded()), combine(10 * gradients, seeded())
    torch.testing.assert_close(tenfold, 10 * once, rtol=1e-3, atol=1e-3)
    assert torch.equal(gradients, before)
    assert once.shape == (40,) and once.dtype == torch.float32


@pytest.mark.parametrize("name", [name for name, c in CONFLICTS.items() if c.combine])
def test_one_task_alone_has_no_conflict(name: str):
    gradients = some_gradients(1)
    found = CONFLICTS[name].combine(gradients, seeded())
    torch.testing.assert_close(found / found.norm(), gradients[0] / gradients[0].norm())


# Agreement -----------------------------------------------------------------------------------


def test_cosines_are_those_of_torch_symmetric_and_one_on_the_diagonal():
    gradients = some_gradients(4)
    found = cosines(gradients)
    for i, j in itertools.product(range(4), repeat=2):
        theirs = torch.cosine_similarity(gradients[i], gradients[j], dim=0)
        torch.testing.assert_close(found[i, j], theirs, rtol=1e-4, atol=1e-6)
    assert torch.equal(found, found.T)
    assert torch.equal(found.diagonal(), torch.ones(4))


def test_of_a_task_without_gradient_nothing_is_told():
    found = cosines(torch.tensor([[1.0, 0], [0, 0], [1, 1]]))
    assert found.isnan().tolist() == [
        [False, True, False],
        [True, False, True],
        [False, True, False],
    ]


# Gradients of each task ----------------------------------------------------------------------


WHOLE = F.one_hot(torch.tensor([0, 2, 1, 2, 0, 1]))
DIVIDED = torch.tensor([[1, 0, 0], [0, 0.25, 0.75]]).repeat(3, 1)


@pytest.mark.parametrize("head_depth", [0, 2])
@pytest.mark.parametrize("shares", [WHOLE, DIVIDED])
def test_the_parts_of_the_tasks_add_up_to_the_gradient_of_all(head_depth: int, shares):
    torch.manual_seed(0)
    generator = Generator(3, 32, 3, 8, 8, head_depth, z_in_blocks=True, own_styles=True).double()
    weights = shares.double().expand(generator.n_blocks, -1, -1)
    images = generator(torch.randn(6, 8, dtype=torch.float64), weights)
    way = torch.randn_like(images)
    parameters = list(generator.parameters())
    parts = apart(images, way, shares, parameters)
    images.backward(way)
    for place, parameter in enumerate(parameters):
        total = sum(own[place] for own in parts)
        torch.testing.assert_close(total, parameter.grad, rtol=1e-4, atol=1e-4)
    gradients = stacked(parts)
    assert gradients.shape == (3, sum(p.numel() for p in parameters))
    assert gradients.any(1).all()


def test_a_task_pulls_on_no_other_head_and_an_absent_one_on_nothing():
    torch.manual_seed(0)
    generator = Generator(3, 32, 3, 8, 8, 1).eval()  # in which samples do not meet
    tasks = torch.tensor([0, 2, 2, 0])
    images = generator(torch.randn(4, 8), tasks)
    way, shares = torch.ones_like(images), F.one_hot(tasks, 3)
    first, absent, last = apart(images, way, shares, [generator.last.weight])
    assert first[0].abs().sum(1).gt(0).tolist() == [True, False, False]
    assert not absent[0].any()
    assert last[0].abs().sum(1).gt(0).tolist() == [False, False, True]
