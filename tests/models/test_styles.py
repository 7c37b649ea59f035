"""A Generator with the latent in every block, and with a mapping before the blocks."""

import pytest
import torch
import torch.nn.functional as F
from generators import BLEND, N_TASKS, Z_DIM, latents, own, styled, weights

from ganlab.models.generator import Generator

# The latent in every block --------------------------------------------------------------------


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
