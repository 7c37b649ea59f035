"""Blends: the rules that any mix of heads or relatives keeps, in every mode."""

import math
from dataclasses import replace

import pytest
import torch
from sources import small_source

from ganlab import blending, sampling
from ganlab.blending import (
    FEATURES,
    MODES,
    PARAMETERS,
    PIXELS,
    Mix,
    Part,
    block_of,
    by_block,
    drawn_between,
    mixed,
    mixture_logits,
    one_hot,
    task_weights,
)
from ganlab.source import Source, carve, with_deeper_heads

Z = sampling.latents(4, 8, 1)
MIX = torch.tensor([0.5, 0.2, 0.3])


def three_heads(**changes) -> Source:
    """A source whose heads differ in all that a head can have of its own."""
    source = small_source(tasks=("a", "b", "c"), **{"head_depth": 1, **changes})
    torch.manual_seed(3)
    state = {
        name: value + 0.1 * torch.randn_like(value) if "running_var" not in name else value
        for name, value in source.generator.items()
    }
    return replace(source, generator=state)


def heads(source: Source) -> list[Part]:
    network = source.build()
    return [Part(t, source.config, network, i) for i, t in enumerate(source.config.tasks)]


def relatives() -> list[Part]:
    """Three generators of one head, each a little way from the same ancestor."""
    source = carve(three_heads(), ("b",), ("b",))
    parts = []
    for seed in range(3):
        torch.manual_seed(seed)
        state = {k: v + 0.05 * torch.rand_like(v) for k, v in source.generator.items()}
        child = replace(source, generator=state)
        parts.append(Part(f"child {seed}", child.config, child.build()))
    return parts


def relatives_of_any_depth() -> list[Part]:
    """The same, whose heads go deeper and deeper."""
    deeper = []
    for depth, part in zip((1, 2, 3), relatives(), strict=True):
        child = Source("it", part.config, part.generator.state_dict())
        child = with_deeper_heads(child, depth)
        deeper.append(Part(part.name, child.config, child.build()))
    return deeper


KINDS = {
    "heads with blocks of their own": lambda: heads(three_heads(head_depth=3)),
    "relatives with heads of any depth": relatives_of_any_depth,
    "heads": lambda: heads(three_heads()),
    "heads with a palette": lambda: heads(three_heads(palette=4, own_styles=True)),
    "relatives": relatives,
}
kinds = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
modes = pytest.mark.parametrize("mode", MODES)


def picture(parts: list[Part], weights: torch.Tensor, mode: str = PARAMETERS) -> torch.Tensor:
    of_blocks = weights if weights.ndim == 2 else weights.expand(parts[0].generator.n_blocks, -1)
    return Mix(parts, of_blocks, mode)(Z)


def alone(part: Part) -> torch.Tensor:
    return part.generator(Z, torch.full((len(Z),), part.task))


@kinds
@modes
def test_a_one_hot_weight_gives_that_parts_picture_exactly(make, mode: str) -> None:
    parts = make()
    for place, part in enumerate(parts):
        weights = task_weights([float(i == place) for i in range(3)])
        assert torch.equal(picture(parts, weights, mode), Mix([part], torch.ones(3, 1), mode)(Z))
        torch.testing.assert_close(picture(parts, weights, mode), alone(part))
        shown = sampling.to_uint8(picture(parts, weights, mode))
        assert torch.equal(shown, sampling.to_uint8(alone(part)))


@kinds
@modes
def test_a_permutation_of_the_parts_permutes_nothing_but_names(make, mode: str) -> None:
    parts, order = make(), [2, 0, 1]
    one = picture(parts, MIX, mode)
    other = picture([parts[i] for i in order], MIX[order], mode)
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@kinds
@modes
def test_blending_is_continuous(make, mode: str) -> None:
    """A small step changes little, and one of a tenth about a tenth of that."""
    parts = make()
    here, there = task_weights([1, 0, 0]), task_weights([0, 1, 2])
    whole = (picture(parts, there, mode) - picture(parts, here, mode)).abs().mean()
    assert whole > 0.002
    for near in (0.0, 0.4, 0.999):
        base = picture(parts, torch.lerp(here, there, near), mode)
        changes = [
            float((picture(parts, torch.lerp(here, there, near + e), mode) - base).abs().mean())
            for e in (1e-4, 1e-5)
        ]
        assert changes[0] < 0.02 * whole
        assert changes[1] < changes[0] / 4


@kinds
@modes
def test_the_average_of_equal_parts_is_that_part(make, mode: str) -> None:
    part = make()[1]
    twin = carve(
        Source("it", part.config, part.generator.state_dict()),
        (part.config.tasks[part.task],),
        ("twin",),
    )
    parts = [Part("one", twin.config, twin.build()), Part("two", twin.config, twin.build())]
    for shares in ([1, 1], [1, 3]):
        torch.testing.assert_close(
            picture(parts, task_weights(shares), mode), alone(part), atol=1e-5, rtol=1e-4
        )


def test_relatives_mix_alike_however_deep_their_heads_go() -> None:
    same, deeper = relatives(), relatives_of_any_depth()
    for mode in MODES:
        torch.testing.assert_close(
            picture(same, MIX, mode), picture(deeper, MIX, mode), atol=1e-5, rtol=1e-4
        )


@kinds
def test_the_modes_agree_at_the_ends_alone(make) -> None:
    parts = make()
    ends = [picture(parts, MIX, mode) for mode in MODES]
    for i, one in enumerate(ends):
        for other in ends[i + 1 :]:
            assert (one - other).abs().max() > 1e-3


def test_pixels_are_the_plain_cross_fade() -> None:
    parts = heads(three_heads())
    expected = sum(float(w) * alone(part) for w, part in zip(MIX, parts, strict=True))
    torch.testing.assert_close(picture(parts, MIX, PIXELS), expected)


def test_no_network_is_mixed_for_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    parts, calls = relatives(), []
    monkeypatch.setattr(blending, "mixed", lambda *args: calls.append(1) or mixed(*args))
    expected = sum(float(w) * alone(part) for w, part in zip(MIX, parts, strict=True))
    torch.testing.assert_close(picture(parts, MIX, PIXELS), expected)
    assert not calls
    picture(parts, MIX, FEATURES)
    assert calls


def test_features_are_mixed_before_a_last_layer_that_is_mixed_too() -> None:
    parts = heads(three_heads())
    network = parts[0].generator
    mapped = network.mapping(Z)
    each = [network.features(mapped, list(one_hot(part))) for part in parts]
    features = sum(float(w) * x for w, x in zip(MIX, each, strict=True))
    torch.testing.assert_close(
        picture(parts, MIX, FEATURES), network.to_images(features, mapped, MIX)
    )


def test_heads_and_their_carved_copies_mix_to_the_same_picture() -> None:
    """Task weights within a network and interpolation between networks are one rule."""
    source = three_heads(own_styles=True, palette=4)
    copies = []
    for task in source.config.tasks:
        carved = carve(source, (task,), (task,))
        copies.append(Part(task, carved.config, carved.build()))
    weights = by_block(MIX, MIX.flip(0), 3)
    torch.testing.assert_close(
        picture(copies, weights), picture(heads(source), weights), atol=1e-5, rtol=1e-4
    )


def test_a_mix_of_relatives_lies_on_the_line_between_and_changes_neither() -> None:
    parts = relatives()[:2]
    before = [v.clone() for part in parts for v in part.generator.state_dict().values()]
    network, tasks = mixed(parts, task_weights([1, 3]).expand(3, -1))
    assert torch.equal(tasks, torch.ones(3, 1)) and not network.training
    states = [part.generator.state_dict() for part in parts]
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, states[0][name] / 4 + 3 * states[1][name] / 4)
    after = [v for part in parts for v in part.generator.state_dict().values()]
    assert all(map(torch.equal, before, after))


def test_each_block_of_a_swap_comes_from_the_one_or_the_other() -> None:
    parts = relatives()[:2]
    ends = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    weights = by_block(*ends, n_blocks=3, at=2, softness=0)
    network, _ = mixed(parts, weights)
    first, second = (part.generator.state_dict() for part in parts)
    for name, value in network.state_dict().items():
        assert torch.equal(value, (first if block_of(name, 3) < 2 else second)[name]), name
    assert {block_of(name, 3) for name in first} == {0, 1, 2}


def test_a_soft_swap_goes_over_in_equal_steps() -> None:
    ends = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    for at, softness, expected in (
        (2, 4, [0.125, 0.375, 0.625, 0.875]),
        (4, 0, [0.0] * 4),
        (0, 0, [1.0] * 4),
        (3, 0, [0.0, 0.0, 0.0, 1.0]),
    ):
        weights = by_block(*ends, n_blocks=4, at=at, softness=softness)
        assert weights[:, 1].tolist() == expected


@pytest.mark.parametrize("softness", [5e-324, 1e-300, 1e-40, 1e-7])
def test_a_change_over_next_to_nothing_is_a_step(softness: float) -> None:
    """A block in the very middle would be 0 / 0."""
    ends = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    for blocks in (4, 5):
        weights = by_block(*ends, n_blocks=blocks, softness=softness)
        assert torch.equal(weights, by_block(*ends, n_blocks=blocks, softness=0))
        assert weights.isfinite().all()


def test_structure_leads_coarse_blocks_and_texture_fine_ones() -> None:
    ends = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    assert by_block(*ends, 4)[:, 1].tolist() == [0, 0, 1, 1]
    assert by_block(*ends, 5)[:, 1].tolist() == [0, 0, 0.5, 1, 1]
    tied = by_block(MIX, MIX, 5)
    torch.testing.assert_close(tied, MIX.expand(5, -1))


def test_weights_sum_to_one_whatever_the_scale() -> None:
    for scale in (1e-300, 1e-3, 1.0, 100.0, 1e300):
        weights = task_weights([3 * scale, 0.0, scale])
        assert torch.allclose(weights, torch.tensor([0.75, 0.0, 0.25]))


@pytest.mark.parametrize("shares", [[-1, 2], [math.nan, 1], [math.inf, 1]])
def test_what_cannot_be_a_share_is_refused(shares: list[float]) -> None:
    with pytest.raises(ValueError, match="from 0 upwards"):
        task_weights(shares)


@pytest.mark.parametrize("shares", [[], [0.0], [0, 0, 0]])
def test_something_has_to_be_mixed(shares: list[float]) -> None:
    with pytest.raises(ValueError, match="above zero"):
        task_weights(shares)


def test_some_pictures_are_drawn_between_their_own_task_and_others() -> None:
    generator, rng = three_heads().build(), torch.Generator().manual_seed(0)
    tasks = torch.arange(3).repeat(4000)
    weights = drawn_between(tasks, generator, 0.5, rng)
    assert weights.shape == (3, 12000, 3)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 12000))
    own = weights.gather(2, tasks.expand(3, -1)[..., None])[..., 0]
    blended = own[0] < 1
    assert blended.float().mean() == pytest.approx(0.5, abs=0.02)
    assert (own[0][blended] > 0).all()
    apart = (weights[0] != weights[2]).any(1)[blended].float().mean()
    assert apart == pytest.approx(0.25, abs=0.02)


def test_blends_are_most_often_half_way_and_as_often_on_either_side() -> None:
    """Of two tasks, the weight of one is Beta(2, 2), whose deviation is 1 / sqrt(20)."""
    generator, rng = three_heads().build(), torch.Generator().manual_seed(0)
    tasks = torch.arange(3).repeat(20_000)
    weights = drawn_between(tasks, generator, 1.0, rng)[0]
    of_two = (weights > 0).sum(1) == 2
    assert of_two.float().mean() == pytest.approx(0.75, abs=0.01)  # half, and half of the others
    own = weights.gather(1, tasks[:, None])[of_two, 0]
    assert own.mean() == pytest.approx(0.5, abs=0.01)
    assert own.std() == pytest.approx(20**-0.5, abs=0.01)


@pytest.mark.parametrize("tasks", [[0], [2, 2, 2], [0, 2, 2, 0]])
def test_blends_are_of_tasks_that_the_batch_has(tasks: list[int]) -> None:
    """Of the others, D has no real pictures to compare with."""
    generator, rng = three_heads().build(), torch.Generator().manual_seed(0)
    for _ in range(20):
        weights = drawn_between(torch.tensor(tasks), generator, 1.0, rng)
        assert set(weights.sum((0, 1)).nonzero()[:, 0].tolist()) == set(tasks)
        torch.testing.assert_close(weights.sum(-1), torch.ones(3, len(tasks)))


def test_a_mixture_is_judged_by_what_its_pictures_would_be() -> None:
    """D's logits for two Gaussians against a third, and for their mixture, all known exactly."""
    x = torch.linspace(-4, 4, 41)
    densities = torch.stack([torch.exp(-((x - mean) ** 2) / 2) for mean in (-2.0, 2.0)], 1)
    generated = torch.exp(-(x**2) / 8)
    weights = torch.tensor([0.3, 0.7]).expand(41, 2)
    told = mixture_logits((densities / generated[:, None]).log(), weights)
    torch.testing.assert_close(told, ((densities * weights).sum(1) / generated).log())


def test_what_is_no_blend_is_judged_exactly_as_its_task() -> None:
    scores = torch.randn(5, 3, requires_grad=True)
    tasks = torch.tensor([0, 1, 2, 1, 0])
    told = mixture_logits(scores, torch.nn.functional.one_hot(tasks, 3).float())
    assert torch.equal(told, scores.gather(1, tasks[:, None])[:, 0])
    told.sum().backward()
    assert torch.equal(scores.grad, torch.nn.functional.one_hot(tasks, 3).float())


def test_all_or_none_can_be_drawn_between() -> None:
    generator, rng = three_heads().build(), torch.Generator().manual_seed(0)
    tasks = torch.arange(3).repeat(10)
    corners = torch.nn.functional.one_hot(tasks, 3).float()
    assert torch.equal(drawn_between(tasks, generator, 0.0, rng), corners.expand(3, -1, -1))
    assert (drawn_between(tasks, generator, 1.0, rng)[0] != corners).any(1).all()
