"""Strategies say of every part of both networks, at every moment, whether it learns."""

import pytest
import torch
from sources import SHAPE, small_source

from ganlab.config import ModelConfig
from ganlab.models import build_discriminator, build_generator
from ganlab.strategies import (
    D_PARTS,
    G_PARTS,
    STRATEGIES,
    THAWS,
    WHOLE_D,
    WHOLE_G,
    Strategy,
    part_of_d,
    part_of_g,
    phase_at,
)
from ganlab.transfer_config import DEFAULT


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_phases_follow_each_other_to_the_end_and_name_parts_that_exist(strategy: Strategy) -> None:
    ends = [phase.until for phase in strategy.phases]
    assert ends == sorted(set(ends)) and ends[-1] == 1
    for phase in strategy.phases:
        assert set(phase.g) <= set(G_PARTS) and set(phase.d) <= set(D_PARTS)
        assert phase.g or phase.d, "somebody learns"
    assert strategy.phases[-1].g, "G learns in the end"


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_a_strategy_is_told_in_one_or_two_sentences(strategy: Strategy) -> None:
    assert strategy.title and strategy.summary.endswith(".")
    assert len(strategy.summary) < 160


def test_the_default_is_one_of_them_and_keeps_what_the_source_knows() -> None:
    assert STRATEGIES[DEFAULT].keeps


def test_a_phase_ends_where_it_says() -> None:
    strategy = STRATEGIES["thaw"]
    first, last = strategy.phases
    assert phase_at(strategy, 0.0) is first
    assert phase_at(strategy, first.until - 1e-9) is first
    assert phase_at(strategy, first.until) is last
    assert phase_at(strategy, 1.0) is last


@pytest.mark.parametrize("size", [32, 64])
def test_every_parameter_has_a_part_and_every_part_has_parameters(size: int) -> None:
    shape = {**SHAPE, "full_size_width": 8 if size == 64 else 0, "palette": 4}
    config = ModelConfig("multihead", size, 3, ("a", "b"), 8, 8, head_depth=1, **shape)
    with torch.device("meta"):
        generator, discriminator = build_generator(config), build_discriminator(config)
    blocks = len(generator.ups)
    assert {part_of_g(name, blocks) for name, _ in generator.named_parameters()} == set(WHOLE_G)
    assert {part_of_d(name) for name, _ in discriminator.named_parameters()} == set(WHOLE_D)


def test_coarse_blocks_come_before_fine_ones() -> None:
    generator = small_source().build()
    blocks = len(generator.ups)
    parts = [part_of_g(f"ups.{i}.weight", blocks) for i in range(blocks)]
    assert parts == sorted(parts) and set(parts) == {"coarse", "fine"}


def test_a_thaw_never_leaves_the_head_frozen() -> None:
    assert all("head" in parts for _, parts in THAWS.values())
