"""The task bench: its turns, its table, and what it refuses."""

import json

import pytest
from conftest import drawings

from ganlab import task_bench
from ganlab.__main__ import main
from ganlab.task_bench import Cell, Lap, compare, table


@pytest.fixture
def fake_laps(monkeypatch) -> list[tuple[int, str, int]]:
    """Laps of no time, whose KID follows from depth and seed; gives what ran, in order."""
    ran = []

    def lap(config, trained, real) -> Lap:
        ran.append((config.head_depth, config.conflicts, config.seed))
        kid = 10.0 - config.head_depth + 2 * config.seed
        return Lap(100.0, {task: kid + place for place, task in enumerate(trained.tasks)})

    monkeypatch.setattr(task_bench, "_lap", lap)
    monkeypatch.setattr(task_bench.features, "extract", lambda images: images)
    return ran


def test_all_cells_take_turns_seed_by_seed(dataset, fake_laps) -> None:
    heard = []
    cells = compare(
        dataset, seconds=1, seeds=2, depths=[0, 2], conflicts=["none", "pcgrad"],
        on_lap=lambda *told: heard.append(told[:3]),
    )  # fmt: skip
    once = [(0, "none"), (0, "pcgrad"), (2, "none"), (2, "pcgrad")]
    assert fake_laps == heard == [(*cell, seed) for seed in (0, 1) for cell in once]
    assert [(cell.head_depth, cell.conflicts) for cell in cells] == once
    assert cells[0].kid == {"discs": 11.0, "squares": 12.0}
    assert (cells[0].mean, cells[0].spread) == (11.5, pytest.approx(2**0.5))


def test_the_table_has_a_row_per_cell_and_a_column_per_head() -> None:
    cells = [
        Cell(0, "none", 123.4, {"a": 1.234, "b": 2.0}, 1.617, 0.0),
        Cell(3, "cagrad", 50.0, {"a": 1.0, "b": 3.0}, 2.0, 0.25),
    ]
    assert table(cells).splitlines() == [
        "| head depth | conflicts | images/s | a | b | mean |",
        "| --- | --- | --- | --- | --- | --- |",
        "| 0 | none | 123 | 1.23 | 2.00 | 1.62 |",
        "| 3 | cagrad | 50 | 1.00 | 3.00 | 2.00 ± 0.25 |",
    ]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"depths": [7]}, "head depth is 7: choose from 0, 1, 2, 3"),
        ({"conflicts": ["war"]}, "conflicts is 'war': choose from none, pcgrad, cagrad"),
        ({"seeds": 0}, "at least one seed"),
        ({"seconds": 0}, "some time"),
        ({"depths": []}, "a depth"),
    ],
)
def test_what_cannot_be_compared_is_refused(dataset, changes, complaint) -> None:
    asked = {"seconds": 1, "seeds": 1, "depths": [0], "conflicts": ["none"], **changes}
    with pytest.raises(ValueError, match=complaint):
        compare(dataset, **asked)


def test_one_task_has_nothing_to_compare(one_task) -> None:
    with pytest.raises(ValueError, match="one task here"):
        compare(one_task, seconds=1, seeds=1, depths=[0], conflicts=["none"])


def test_a_lap_trains_for_its_time_and_measures_every_head(monkeypatch) -> None:
    monkeypatch.setattr(task_bench, "SAMPLES", 8)
    data = drawings(("discs", "squares"), 8)
    (cell,) = compare(data, seconds=1, seeds=1, depths=[2], conflicts=["pcgrad"])
    assert set(cell.kid) == {"discs", "squares"}
    assert cell.images_per_second > 0 and cell.mean > 0.1  # as good as untrained


def test_the_shell_prints_the_table(picture_folder, fake_laps, capsys) -> None:
    command = ["bench", "tasks", "--data", str(picture_folder), "--seeds", "1"]
    assert main([*command, "--depths", "0", "1", "--conflicts", "none"]) == 0
    out, told = capsys.readouterr()
    assert "| 1 | none | 100 | 9.00 | 10.00 | 9.50 |" in out
    assert "depth 1, none, seed 0: mean KID 9.50" in told
    assert main([*command, "--depths", "1", "--conflicts", "none", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["kid"] == {"discs": 9.0, "squares": 10.0}
