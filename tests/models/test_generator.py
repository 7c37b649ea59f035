"""The Generator: heads, blends of heads, and what a batch of mixed tasks must not change."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganlab.config import HEAD_DEPTHS
from ganlab.models.generator import Generator, TaskBatchNorm, TaskConv, belongs_to_task

N_TASKS, Z_DIM = 3, 16
BLEND = (0.5, 0.2, 0.3)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def latents(n: int = 6) -> Tensor:
    return torch.randn(n, Z_DIM, generator=seeded(5), dtype=torch.float64)


def weights(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


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


# The latent in every block --------------------------------------------------------------------


def styled(n_tasks: int = N_TASKS, **options) -> Generator:
    """In doubles and in eval mode, with z in every block and heads that differ."""
    torch.manual_seed(0)
    generator = Generator(n_tasks, 32, 3, Z_DIM, 8, z_in_blocks=True, **options).double().eval()
    with torch.no_grad():
        for norm in generator.norms:
            norm.scale.normal_(1, 0.3)
            norm.shift.normal_(0, 0.3)
        for style in generator.styles:
            style.bias.normal_(0, 0.1)
    return generator


def test_z_scales_and_shifts_the_channels_of_every_block_by_its_formula():
    generator, z = styled(1), latents()
    x = (z @ generator.start.weight.T).reshape(len(z), -1, 4, 4)
    for i, (norm, style) in enumerate(zip(generator.norms, generator.styles, strict=True)):
        if i:
            x = F.conv_transpose2d(x, generator.ups[i - 1].weight, stride=2, padding=1)
        x = x / (1 + 1e-5) ** 0.5 * norm.scale[0][:, None, None] + norm.shift[0][:, None, None]
        more, then = (z @ style.weight[0].T + style.bias[0]).chunk(2, dim=1)
        x = (x * (1 + more[:, :, None, None]) + then[:, :, None, None]).clamp(min=0)
    kernel = generator.last.weight[0].reshape(x.shape[1], 3, 4, 4)
    x = F.conv_transpose2d(x, kernel, generator.last.bias[0], stride=2, padding=1).tanh()
    torch.testing.assert_close(generator(z, torch.zeros(6, dtype=torch.long)), x)


def test_gradients_reach_the_style_of_every_block():
    generator = styled().train()
    generator(latents(), torch.arange(6) % N_TASKS).square().sum().backward()
    assert len(generator.styles) == generator.n_blocks == 3
    for style in generator.styles:
        assert (style.weight.grad[0].abs().sum(1) > 0).double().mean() > 0.9
        assert style.bias.grad.abs().sum() > 0


@pytest.mark.parametrize("block", range(3))
def test_z_moves_the_picture_through_any_block_alone(block):
    generator = styled()
    with torch.no_grad():
        generator.start.weight.zero_()
        for i, style in enumerate(generator.styles):
            if i != block:
                style.weight.zero_()
        ids = torch.zeros(6, dtype=torch.long)
        assert (generator(latents(), ids).std(0) > 1e-4).any()
        generator.styles[block].weight.zero_()
        assert generator(latents(), ids).std(0).max() < 1e-12


@pytest.mark.parametrize("task", range(N_TASKS))
def test_with_z_in_every_block_a_task_id_and_a_one_hot_row_agree(task):
    generator, z = styled(), latents()
    row = F.one_hot(torch.tensor(task), N_TASKS).double()
    by_id = generator(z, torch.full((6,), task))
    torch.testing.assert_close(generator(z, row), by_id, rtol=0, atol=1e-12)
    per_block = generator(z, row.expand(generator.n_blocks, -1))
    torch.testing.assert_close(per_block, by_id, rtol=0, atol=1e-12)


def test_with_z_in_every_block_a_blend_is_still_the_weighted_sum_of_heads():
    generator, mixed, z = styled(), styled(1), latents()
    row = weights(*BLEND)
    with torch.no_grad():
        for own, norm in zip(generator.norms, mixed.norms, strict=True):
            norm.scale.copy_((row[:, None] * own.scale).sum(0, keepdim=True))
            norm.shift.copy_((row[:, None] * own.shift).sum(0, keepdim=True))
        theirs = {k: v for k, v in generator.state_dict().items() if "norms" not in k}
        mixed.load_state_dict(theirs, strict=False)
    expected = mixed(z, torch.zeros(6, dtype=torch.long))
    torch.testing.assert_close(generator(z, row), expected)
    assert not torch.allclose(generator(z, weights(0, 0.5, 0.5)), expected)


def test_at_the_start_z_moves_scales_by_a_fifth_or_so():
    torch.manual_seed(0)
    generator = Generator(1, 64, 3, 128, 32, z_in_blocks=True)
    with torch.no_grad():
        for style in generator.styles:
            assert 0.15 < style(torch.randn(256, 128), torch.ones(1)).std() < 0.3


def test_without_it_a_generator_has_not_a_tensor_more():
    names = Generator(2, 32, 3, Z_DIM, 8).state_dict().keys()
    more = Generator(2, 32, 3, Z_DIM, 8, z_in_blocks=True).state_dict().keys() - names
    assert more == {f"styles.{i}.{part}" for i in range(3) for part in ("weight", "bias")}


def own(**options) -> Generator:
    """With styles that differ from head to head, as if trained."""
    generator = styled(own_styles=True, **options)
    with torch.no_grad():
        for style in generator.styles:
            style.weight.add_(torch.randn(style.weight.shape, generator=seeded()), alpha=0.1)
            style.bias.add_(torch.randn(style.bias.shape, generator=seeded(1)), alpha=0.1)
    return generator


def test_own_styles_start_as_shared_ones():
    shared, ids = styled(), torch.arange(6) % N_TASKS
    generator = styled(own_styles=True)
    state = {k: v[:1] if "styles" in k else v for k, v in generator.state_dict().items()}
    with torch.no_grad():
        for style in generator.styles:
            style.bias[1:] = style.bias[0]
    state |= {k: v[:1] for k, v in generator.state_dict().items() if "styles" in k}
    shared.load_state_dict(state)
    torch.testing.assert_close(generator(latents(), ids), shared(latents(), ids))


@pytest.mark.parametrize("task", range(N_TASKS))
def test_with_own_styles_a_task_id_a_one_hot_row_and_a_mixed_batch_agree(task):
    generator, z = own(), latents()
    row = F.one_hot(torch.tensor(task), N_TASKS).double()
    by_id = generator(z, torch.full((6,), task))
    torch.testing.assert_close(generator(z, row), by_id, rtol=0, atol=1e-12)
    mixed = generator(z, torch.tensor([task, 0, 1, 2, 0, 1]))
    torch.testing.assert_close(mixed[:1], by_id[:1], rtol=0, atol=1e-12)


def test_a_blend_of_own_styles_is_the_weighted_sum_of_their_maps():
    generator, row = own(), weights(*BLEND)
    for style in generator.styles:
        expected = latents() @ (row[:, None, None] * style.weight).sum(0).T + row @ style.bias
        torch.testing.assert_close(style(latents(), row), expected)


def test_own_styles_leave_the_other_heads_alone():
    generator, ids = own(), torch.arange(6) % N_TASKS
    before = generator(latents(), ids)
    with torch.no_grad():
        for style in generator.styles:
            style.weight[1].mul_(2)
    changed = (generator(latents(), ids) - before).abs().amax((1, 2, 3)) > 1e-6
    assert changed.tolist() == [False, True, False] * 2


# A mapping before the blocks --------------------------------------------------------------------


def mapped(**options) -> Generator:
    return styled(mapping_layers=2, **options)


def test_the_mapping_is_a_chain_of_dense_layers_before_everything_else():
    generator, plain, z = mapped(), styled(), latents()
    shared = {k: v for k, v in generator.state_dict().items() if not k.startswith("mapping")}
    plain.load_state_dict(shared)
    bent = z
    for layer in (generator.mapping[0], generator.mapping[2]):
        bent = F.leaky_relu(bent @ layer.weight.T + layer.bias, 0.2)
    ids = torch.arange(6) % N_TASKS
    torch.testing.assert_close(generator(z, ids), plain(bent, ids))
    assert not torch.allclose(generator(z, ids), plain(z, ids))


def test_gradients_reach_every_layer_of_the_mapping():
    generator = mapped().train()
    generator(latents(), torch.arange(6) % N_TASKS).square().sum().backward()
    for parameter in generator.mapping.parameters():
        assert parameter.grad.abs().sum() > 0


def test_what_leaves_the_mapping_is_about_as_large_as_z():
    torch.manual_seed(0)
    bent = Generator(1, 64, mapping_layers=3).mapping(torch.randn(512, 128))
    assert 0.7 < bent.square().mean().sqrt() < 1.3


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
