"""The Generator: heads, blends of heads, and what a batch of mixed tasks must not change."""

import pytest
import torch
import torch.nn.functional as F
from generators import BLEND, N_TASKS, Z_DIM, latents, seeded, weights
from torch import Tensor, nn

from ganlab.config import HEAD_DEPTHS
from ganlab.models.generator import Generator, TaskBatchNorm, TaskConv, belongs_to_task


def make(head_depth: int, n_tasks: int = N_TASKS, size: int = 32) -> Generator:
    """In doubles and in eval mode, with heads and statistics that all differ, as if trained."""
    torch.manual_seed(0)
    generator = Generator(n_tasks, size, 3, Z_DIM, 8, head_depth).double().eval()
    with torch.no_grad():
        for norm in generator.norms:
            norm.scale.normal_(1, 0.3)
            norm.shift.normal_(0, 0.3)
            norm.running_mean.normal_(0, 0.3)
            norm.running_var.uniform_(0.5, 2)
        generator.last.bias.normal_(0, 0.3)
        for up in generator.ups:  # those of the heads, which begin alike
            if isinstance(up, TaskConv):
                up.weight += 0.05 * torch.randn_like(up.weight)
    return generator


@pytest.fixture(params=HEAD_DEPTHS)
def generator(request) -> Generator:
    return make(request.param)


def by_hand(generator: Generator, z: Tensor, per_block: list[Tensor]) -> Tensor:
    """What the generator should draw for one row of task weights per block, from its formulas."""

    def mix(row: Tensor, stacked: Tensor) -> Tensor:
        return sum(w * entry for w, entry in zip(row, stacked, strict=True))

    x = (z @ generator.start.weight.T).reshape(len(z), -1, 4, 4)
    for i, (norm, row) in enumerate(zip(generator.norms, per_block, strict=True)):
        if i:
            up = generator.ups[i - 1]
            kernel = up.weight
            if isinstance(up, TaskConv):
                kernel = (mix(row, kernel) if len(kernel) > 1 else kernel[0]).view(up.kernel_shape)
            x = F.conv_transpose2d(x, kernel, stride=2, padding=1)
        x = (x - norm.running_mean[:, None, None]) / (norm.running_var[:, None, None] + 1e-5).sqrt()
        x = x * mix(row, norm.scale)[:, None, None] + mix(row, norm.shift)[:, None, None]
        x = x.clamp(min=0)
    last = generator.last
    own = len(last.weight) > 1
    kernel = mix(per_block[-1], last.weight) if own else last.weight[0]
    bias = mix(per_block[-1], last.bias) if own else last.bias[0]
    x = F.conv_transpose2d(x, kernel.reshape(x.shape[1], 3, 4, 4), bias, stride=2, padding=1)
    return x.tanh()


# Tasks and weights --------------------------------------------------------------------------


def test_a_blend_is_the_weighted_sum_of_scales_shifts_and_kernels(generator):
    row = weights(*BLEND)
    expected = by_hand(generator, latents(), [row] * generator.n_blocks)
    torch.testing.assert_close(generator(latents(), row), expected)


def test_each_block_follows_its_own_weights_coarse_blocks_first(generator):
    rows = torch.stack([weights(*BLEND), weights(0, 1, 0), weights(0.1, 0.1, 0.8)])
    expected = by_hand(generator, latents(), list(rows))
    torch.testing.assert_close(generator(latents(), rows), expected)
    assert not torch.allclose(generator(latents(), rows), generator(latents(), rows.flip(0)))


@pytest.mark.parametrize("task", range(N_TASKS))
def test_a_task_id_a_one_hot_row_and_one_row_per_block_agree(generator, task):
    ids = torch.full((6,), task)
    row = F.one_hot(torch.tensor(task), N_TASKS).double()
    by_id = generator(latents(), ids)
    torch.testing.assert_close(by_id, by_hand(generator, latents(), [row] * generator.n_blocks))
    torch.testing.assert_close(generator(latents(), row), by_id, rtol=0, atol=1e-14)
    per_block = generator(latents(), row.expand(generator.n_blocks, -1))
    assert torch.equal(per_block, generator(latents(), row))


def test_heads_draw_different_pictures_from_the_same_latents(generator):
    pictures = [generator(latents(), torch.full((6,), task)) for task in range(N_TASKS)]
    for i, one in enumerate(pictures):
        for other in pictures[i + 1 :]:
            assert (one - other).abs().mean() > 0.01


def test_a_blend_of_equal_heads_is_that_head(generator):
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if belongs_to_task(name, generator.head_depth, False, len(generator.ups)):
                parameter[1:] = parameter[0]
    head = generator(latents(), torch.zeros(6, dtype=torch.long))
    torch.testing.assert_close(generator(latents(), weights(*BLEND)), head)


def test_a_batch_of_mixed_tasks_equals_each_task_alone(generator):
    tasks = torch.tensor([2, 0, 1, 1, 0, 2])
    together = generator(latents(), tasks)
    for task in range(N_TASKS):
        rows = tasks == task
        alone = generator(latents()[rows], tasks[rows])
        torch.testing.assert_close(together[rows], alone, rtol=0, atol=1e-14)


def test_a_batch_without_one_of_the_tasks_is_drawn_as_well(generator):
    tasks = torch.tensor([2, 0, 2, 2, 0, 2])
    row = weights(0, 0, 1)
    alone = generator(latents()[tasks == 2], row)
    torch.testing.assert_close(generator(latents(), tasks)[tasks == 2], alone, rtol=0, atol=1e-14)


def test_a_single_task_generator_is_the_one_head_case():
    generator = make(head_depth=0, n_tasks=1)
    by_id = generator(latents(), torch.zeros(6, dtype=torch.long))
    assert torch.equal(by_id, generator(latents(), weights(1.0)))
    torch.testing.assert_close(by_id, by_hand(generator, latents(), [weights(1.0)] * 3))


def test_an_own_last_layer_makes_no_difference_for_a_single_task():
    one, other = make(1, n_tasks=1), make(0, n_tasks=1)
    assert one.state_dict().keys() == other.state_dict().keys()
    ids = torch.zeros(6, dtype=torch.long)
    assert torch.equal(one(latents(), ids), other(latents(), ids))


@pytest.mark.parametrize("shape", [(2,), (4,), (2, 3), (3, 2), (6, 3), (3, 3, 3), ()])
def test_weights_of_another_shape_are_refused_by_name(generator, shape):
    with pytest.raises(ValueError, match=r"give \(3,\), \(3, 3\) or \(3, 6, 3\), or one task id"):
        generator(latents(), torch.ones(shape, dtype=torch.float64))


def test_every_sample_can_have_a_blend_of_its_own_in_every_block(generator):
    z, of_blocks = latents(), torch.rand((3, 6, N_TASKS), generator=seeded(), dtype=torch.float64)
    each = [generator(z[i : i + 1], of_blocks[:, i].contiguous()) for i in range(6)]
    torch.testing.assert_close(generator(z, of_blocks), torch.cat(each))


def test_fractional_weights_per_sample_blend_the_kernels_of_each_sample():
    torch.manual_seed(0)
    layer = TaskConv(8, 3, N_TASKS).double()
    nn.init.normal_(layer.bias)
    x = torch.randn(4, 8, 5, 5, generator=seeded(), dtype=torch.float64)
    rows = torch.stack([weights(*BLEND), weights(0, 1, 0), weights(0.4, 0, 0.6), weights(*BLEND)])
    expected = torch.cat([layer(x[i : i + 1], rows[i]) for i in range(4)])
    torch.testing.assert_close(layer(x, rows), expected)


# Training -----------------------------------------------------------------------------------


def test_gradients_reach_only_the_heads_that_the_batch_uses(generator):
    generator.train()
    generator(latents(), torch.tensor([0, 2, 2, 0, 2, 2])).square().sum().backward()
    heads = [p for norm in generator.norms for p in (norm.scale, norm.shift)]
    if len(generator.last.weight) > 1:
        heads += [generator.last.weight, generator.last.bias]
    for parameter in heads:
        used = parameter.grad.abs().sum(1) > 0
        assert used.tolist() == [True, False, True]
    for parameter in (generator.start.weight, *(up.weight for up in generator.ups)):
        assert parameter.grad.abs().sum() > 0


@pytest.mark.parametrize("per_sample", [False, True])
def test_the_norm_of_a_task_is_a_batch_norm_of_torch_with_its_scale_and_shift(per_sample):
    ours, theirs = TaskBatchNorm(4, 2).double(), nn.BatchNorm2d(4).double()
    with torch.no_grad():
        ours.scale.normal_(1, 0.3, generator=seeded(1))
        ours.shift.normal_(0, 0.3, generator=seeded(2))
        theirs.weight.copy_(ours.scale[1])
        theirs.bias.copy_(ours.shift[1])
    row = weights(0, 1).expand(6, -1) if per_sample else weights(0, 1)
    for batch in range(3):
        x = 3 + 2 * torch.randn(6, 4, 5, 5, generator=seeded(batch), dtype=torch.float64)
        torch.testing.assert_close(ours(x, row), theirs(x))
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    ours.eval(), theirs.eval()
    torch.testing.assert_close(ours(x, row), theirs(x))


def test_in_eval_mode_a_picture_does_not_depend_on_its_neighbours(generator):
    ids = torch.tensor([0, 1, 2, 0, 1, 2])
    statistics = [norm.running_mean.clone() for norm in generator.norms]
    together, alone = generator(latents(), ids), generator(latents()[3:4], ids[3:4])
    torch.testing.assert_close(together[3:4], alone, rtol=0, atol=1e-14)
    for norm, before in zip(generator.norms, statistics, strict=True):
        assert torch.equal(norm.running_mean, before)


# Pictures at the start ----------------------------------------------------------------------


@pytest.mark.parametrize("head_depth", HEAD_DEPTHS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize(
    "more", [{}, {"z_in_blocks": True, "mapping_layers": 3}, {"full_size_width": 16}], ids=str
)
def test_untrained_pictures_fill_the_range_without_saturating(size, channels, head_depth, more):
    torch.manual_seed(0)
    generator = Generator(2, size, channels, 128, 32, head_depth, **more)
    with torch.no_grad():
        pictures = generator(torch.randn(16, 128), torch.arange(16) % 2)
    assert pictures.shape == (16, channels, size, size)
    assert pictures.abs().max() <= 1
    # A mapping makes some latents louder than others.
    low, high, saturated = (0.35, 0.65, 0.02) if "mapping_layers" in more else (0.4, 0.6, 0.01)
    assert low < pictures.std() < high
    assert (pictures.abs() > 0.99).double().mean() < saturated


def test_every_block_is_about_as_loud_at_the_start():
    torch.manual_seed(0)
    generator = Generator(1, 64, 3, 128, 32)
    spreads = []
    for norm in generator.norms[1:]:
        norm.register_forward_pre_hook(lambda _, given: spreads.append(given[0].std().item()))
    with torch.no_grad():
        generator(torch.randn(16, 128), torch.zeros(16, dtype=torch.long))
    assert len(spreads) == 3
    assert all(0.8 < spread < 1.2 for spread in spreads)


@pytest.mark.parametrize(("size", "factors"), [(32, [4, 2, 1]), (64, [4, 4, 2, 1])])
def test_channels_double_at_each_halving_of_the_side_up_to_four_times_the_width(size, factors):
    generator = Generator(1, size, 3, 128, 32)
    assert generator.n_blocks == len(generator.norms) == len(factors)
    widths = [norm.scale.shape[1] for norm in generator.norms]
    assert widths == [32 * factor for factor in factors]


def test_a_norm_that_draws_in_one_go_gives_what_it_gives_in_two():
    norm = TaskBatchNorm(3, 2).eval()
    with torch.no_grad():
        for values in (norm.scale, norm.shift, norm.running_mean):
            values.normal_()
        norm.running_var.uniform_(0.1, 4.0)
    x, weights, style = torch.randn(5, 3, 4, 4), torch.rand(5, 2), torch.randn(5, 6)
    more, then = style[:, :, None, None].chunk(2, dim=1)
    scale, shift = (weights @ each for each in (norm.scale, norm.shift))
    plain = F.batch_norm(x, norm.running_mean, norm.running_var, eps=norm.eps)
    plain = plain * scale[:, :, None, None] + shift[:, :, None, None]
    torch.testing.assert_close(norm(x, weights), plain)
    torch.testing.assert_close(norm(x, weights, style), plain * (1 + more) + then)
