"""The comparison of strategies: what is compared, what judges it, and the table it ends in."""

import json
from pathlib import Path

import pytest
import torch

from ganlab.models import features
from ganlab.strategies import STRATEGIES
from scripts import compare_strategies
from scripts.compare_strategies import COUNTS, MINUTES, ROWS, SEEDS, SETS, domain_of, some_of, table


@pytest.mark.parametrize("name", SETS)
def test_what_judges_holds_no_picture_that_trained(name: str) -> None:
    learnt = {picture.numpy().tobytes() for picture in some_of(name, 60, 0).images}
    judges = domain_of(name, 64)
    assert len(judges) >= 30 and len(learnt) == 60
    assert not learnt & {picture.numpy().tobytes() for picture in judges.images}


@pytest.mark.parametrize("name", SETS)
def test_what_judges_is_of_the_same_kind(name: str) -> None:
    means = {n: features.extract(domain_of(n, 64).images[:30]).mean(0) for n in SETS}
    own = features.extract(some_of(name, 30, 0).images).mean(0)
    far = {n: float((own - mean).square().mean()) for n, mean in means.items()}
    assert min(far, key=far.get) == name


def test_every_seed_draws_other_pictures_and_the_same_ones_again() -> None:
    first, second = some_of("robots", 10, 0), some_of("robots", 10, 1)
    assert len(first) == len(second) == 10
    assert torch.equal(first.images, some_of("robots", 10, 0).images)
    assert not torch.equal(first.images, second.images)


def test_a_minute_is_known_for_every_row() -> None:
    assert json.loads(MINUTES.read_text()).keys() == ROWS.keys() >= STRATEGIES.keys()


def test_the_table_has_means_over_seeds_and_ratios_to_from_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def row(name: str, strategy: str, seed: int, kid: float) -> dict:
        about = {"set": name, "pictures": 60, "strategy": strategy, "seed": seed}
        return {**about, "kid": kid, "diversity": 0.8, "light": "Memorising" if seed else ""}

    rows = [row(name, "scratch", seed, 9.0 + seed) for name in SETS for seed in SEEDS]
    rows += [row(name, "finetune", seed, 2.0 + seed / 2) for name in SETS for seed in SEEDS]
    kept = tmp_path / "strategies.jsonl"
    kept.write_text("".join(json.dumps(each) + "\n" for each in rows))
    monkeypatch.setattr(compare_strategies, "RESULTS", kept)
    table()
    printed = capsys.readouterr().out
    assert all(f"{count} pictures" in printed for count in COUNTS)
    (line,) = (line for line in printed.splitlines() if "Fine-tune all" in line and "2.50" in line)
    assert line.count("2.50 (0.80)") == len(SETS)
    assert "| 0.25 | 6 of 9 |" in line
