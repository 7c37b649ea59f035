"""A generator that paints each picture in a few colours of its own."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganlab.models.colour import SHARPNESS, paint
from ganlab.models.generator import Generator

N_TASKS, Z_DIM, COLOURS = 3, 16, 5


def painter(n_tasks: int = N_TASKS, **options) -> Generator:
    """In doubles and in eval mode, with palettes that differ from head to head, as if trained."""
    torch.manual_seed(0)
    options = {"z_in_blocks": True, "own_styles": True, "palette": COLOURS, **options}
    generator = Generator(n_tasks, 32, 3, Z_DIM, 8, **options).double().eval()
    with torch.no_grad():
        generator.palette.weight.add_(torch.randn_like(generator.palette.weight), alpha=0.1)
        generator.palette.bias.add_(torch.randn_like(generator.palette.bias), alpha=0.3)
    return generator


def latents(n: int = 6) -> Tensor:
    return torch.randn(n, Z_DIM, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def test_a_pixel_is_its_shares_of_the_pictures_colours():
    torch.manual_seed(0)
    shares = torch.randn(2, COLOURS, 4, 4, dtype=torch.float64)
    colours = torch.randn(2, 3 * COLOURS, dtype=torch.float64)
    images = paint(shares, colours)
    assert images.shape == (2, 3, 4, 4)
    for n, channel, y, x in [(0, 0, 0, 0), (0, 2, 3, 1), (1, 1, 2, 2)]:
        weights = (SHARPNESS * shares[n, :, y, x]).exp()
        palette = colours[n, channel * COLOURS : (channel + 1) * COLOURS].tanh()
        expected = (weights * palette).sum() / weights.sum()
        assert images[n, channel, y, x].item() == pytest.approx(expected.item())


def test_where_one_share_leads_the_picture_is_flat():
    shares = torch.zeros(1, COLOURS, 8, 8)
    shares[:, 1, :, :4], shares[:, 3, :, 4:] = 5, 7
    shares += 0.1 * torch.randn(shares.shape, generator=torch.Generator().manual_seed(0))
    image = paint(shares, torch.linspace(-1, 1, 3 * COLOURS)[None])
    left, right = image[..., :4].flatten(2), image[..., 4:].flatten(2)
    assert left.std(2).max() < 1e-6 and right.std(2).max() < 1e-6
    assert (left.mean(2) - right.mean(2)).abs().min() > 0.1


@pytest.mark.parametrize("head_depth", [0, 1, 2])
def test_ids_one_hot_rows_and_a_mixed_batch_agree(head_depth):
    generator, z = painter(head_depth=head_depth), latents()
    ids = torch.arange(6) % N_TASKS
    mixed = generator(z, ids)
    for task in range(N_TASKS):
        row = F.one_hot(torch.tensor(task), N_TASKS).double()
        torch.testing.assert_close(mixed[ids == task], generator(z, row)[ids == task])
    assert not torch.allclose(generator(z, ids), generator(z, ids.roll(1)))


def test_a_blend_mixes_the_palettes_of_the_heads():
    generator, single, z = painter(z_in_blocks=False), painter(1, z_in_blocks=False), latents()
    row = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    with torch.no_grad():  # fresh norms are equal, so heads differ only in their palettes
        state = {k: v for k, v in generator.state_dict().items() if not k.startswith("palette")}
        state |= {k: v for k, v in single.state_dict().items() if k.startswith("norms")}
        for part in ("weight", "bias"):
            stacked = getattr(generator.palette, part)
            mixed = sum(w * entry for w, entry in zip(row, stacked, strict=True))
            state[f"palette.{part}"] = mixed[None]
        single.load_state_dict(state)
    expected = single(z, torch.zeros(6, dtype=torch.long))
    torch.testing.assert_close(generator(z, row), expected)


def test_palettes_start_equal_in_all_heads_and_differ_between_pictures():
    torch.manual_seed(0)
    generator = Generator(N_TASKS, 64, 3, 128, 32, own_styles=True, mapping_layers=2, palette=16)
    z = generator.mapping(torch.randn(64, 128))
    with torch.no_grad():
        heads = [generator.palette(z, row).tanh() for row in torch.eye(N_TASKS)]
    assert torch.equal(heads[0], heads[1]) and torch.equal(heads[0], heads[2])
    assert heads[0].std(0).mean() > 0.3  # between pictures
    assert heads[0].std(1).mean() > 0.3  # within one
    assert generator(torch.randn(4, 128), torch.arange(4) % 3).abs().max() <= 1


def test_gradients_reach_only_the_palettes_that_the_batch_uses():
    generator = painter().train()
    generator(latents(), torch.tensor([0, 0, 2, 2, 0, 2])).square().sum().backward()
    by_task = generator.palette.weight.grad.flatten(1).abs().amax(1)
    assert by_task[0] > 0 and by_task[1] == 0 and by_task[2] > 0


def test_heads_share_one_palette_where_they_share_styles():
    assert len(painter(own_styles=False).palette.weight) == 1


def test_without_it_a_generator_has_not_a_tensor_more():
    keys = Generator(N_TASKS, 32, 3, Z_DIM, 8).state_dict()
    assert not [key for key in keys if key.startswith("palette")]
