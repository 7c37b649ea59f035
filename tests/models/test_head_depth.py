"""How deep a Generator's heads go, and its further blocks: at full size, and residual ones."""

import pytest
import torch
import torch.nn.functional as F
from generators import N_TASKS, Z_DIM, latents, own, seeded, styled, weights
from torch import nn

from ganlab.config import HEAD_DEPTHS
from ganlab.models.generator import Generator, TaskConv, belongs_to_task

# How deep a head goes ------------------------------------------------------------------------


def deep(head_depth: int, n_tasks: int = N_TASKS, **options) -> Generator:
    return styled(
        n_tasks, head_depth=head_depth, full_size_width=5, residual=True, palette=4,
        own_styles=True, **options,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("head_depth", "layers"),
    [
        (0, set()),
        (1, {"last"}),
        (2, {"last", "ups.2", "residuals.2"}),
        (3, {"last", "ups.2", "residuals.2", "ups.1", "residuals.1"}),
    ],
)
def test_the_depth_says_which_convolutions_have_a_kernel_for_each_task(head_depth, layers):
    generator = deep(head_depth)
    own = {n for n, m in generator.named_modules() if isinstance(m, TaskConv) and len(m.weight) > 1}
    assert own == layers
    shared = (nn.Conv2d, nn.ConvTranspose2d)
    others = [*generator.ups[: 3 - max(head_depth - 1, 0)]]
    assert all(isinstance(layer, shared) for layer in others)


@pytest.mark.parametrize("head_depth", HEAD_DEPTHS)
def test_what_belongs_to_a_task_is_what_its_pictures_alone_move(head_depth):
    generator = deep(head_depth)
    with torch.no_grad():  # residuals begin as zero, and would hide what is before them
        for layer in generator.residuals:
            layer.weight.normal_(0, 0.1)
    generator(latents(), torch.full((6,), 1)).square().sum().backward()
    trunk = {id(parameter) for parameter in generator.trunk()}
    for name, parameter in generator.named_parameters():
        own = belongs_to_task(name, head_depth, True, len(generator.ups))
        assert (id(parameter) in trunk) == (not own), name
        if own:
            assert len(parameter) == N_TASKS, name
            moved = parameter.grad.flatten(1).abs().sum(1) > 0
            assert moved.tolist() == [False, True, False] or name.startswith("shades."), name


@pytest.mark.parametrize("head_depth", [2, 3])
def test_deeper_heads_begin_alike_and_draw_as_one_shared_block_would(head_depth):
    torch.manual_seed(0)
    shared = Generator(N_TASKS, 32, 3, Z_DIM, 8, 1, residual=True)
    torch.manual_seed(0)
    deeper = Generator(N_TASKS, 32, 3, Z_DIM, 8, head_depth, residual=True)
    assert [n for n, _ in deeper.named_parameters()] == [n for n, _ in shared.named_parameters()]
    ids = torch.arange(6) % N_TASKS
    with torch.no_grad():
        z = latents().float()
        torch.testing.assert_close(deeper(z, ids), shared(z, ids))


@pytest.mark.parametrize("head_depth", HEAD_DEPTHS)
def test_with_all_options_ids_one_hot_rows_and_a_mixed_batch_agree(head_depth):
    generator, z = deep(head_depth), latents()
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.startswith(("ups.", "residuals.")):
                parameter += 0.05 * torch.randn_like(parameter)
    ids = torch.tensor([2, 0, 1, 1, 0, 2])
    mixed = generator(z, ids)
    for task in range(N_TASKS):
        row = F.one_hot(torch.tensor(task), N_TASKS).double()
        own = generator(z, torch.full((6,), task))
        torch.testing.assert_close(generator(z, row), own, rtol=0, atol=1e-12)
        torch.testing.assert_close(mixed[ids == task], own[ids == task], rtol=0, atol=1e-12)


# A block at full size ---------------------------------------------------------------------------


@pytest.mark.parametrize("head_depth", HEAD_DEPTHS)
def test_one_more_block_works_at_the_size_of_the_picture(head_depth):
    generator = styled(head_depth=head_depth, full_size_width=5)
    assert generator.n_blocks == len(generator.styles) == len(generator.ups) + 1 == 4
    assert generator.norms[-1].scale.shape == (N_TASKS, 5)
    seen = []
    generator.last.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape))
    tasks = torch.tensor([2, 0, 1, 1, 0, 2])
    together = generator(latents(), tasks)
    assert together.shape == (6, 3, 32, 32)
    assert seen == [(6, 5, 32, 32)]
    for task in range(N_TASKS):
        row = F.one_hot(torch.tensor(task), N_TASKS).double()
        alone = generator(latents()[tasks == task], row.expand(4, -1))
        torch.testing.assert_close(together[tasks == task], alone, rtol=0, atol=1e-12)


def test_the_last_layer_at_full_size_is_a_convolution_of_torch():
    layer = TaskConv(8, 3, 1, doubles=False).double()
    x = torch.randn(4, 8, 5, 5, generator=seeded(), dtype=torch.float64)
    theirs = nn.Conv2d(8, 3, 3, padding=1).double()
    with torch.no_grad():
        theirs.weight.copy_(layer.weight[0].reshape(3, 8, 3, 3))
        theirs.bias.copy_(layer.bias[0])
    torch.testing.assert_close(layer(x, weights(1.0)), theirs(x))


# Residual convolutions -----------------------------------------------------------------------


def test_residual_convolutions_begin_as_nothing_and_can_be_given_to_a_trained_generator():
    trained, z, ids = own(), latents(), torch.arange(6) % N_TASKS
    deeper = styled(own_styles=True, residual=True)
    missing, unexpected = deeper.load_state_dict(trained.state_dict(), strict=False)
    assert not unexpected
    names = [name for name, _ in deeper.named_parameters()]
    assert missing == names[-len(missing) :]  # so that an optimiser's numbers still fit
    assert missing == [f"residuals.{i}.{part}" for i in range(2) for part in ("weight", "bias")]
    with torch.no_grad():
        assert torch.equal(deeper(z, ids), trained(z, ids))


def test_residual_convolutions_learn_from_the_first_step():
    generator = styled(residual=True)
    generator(latents(), torch.arange(6) % N_TASKS).square().sum().backward()
    for layer in generator.residuals:
        assert layer.weight.grad.abs().max() > 0 and layer.bias.grad.abs().max() > 0
