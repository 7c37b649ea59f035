"""`python -m ganlab evaluate` and `bench`: numbers as a table and as JSON."""

import json
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from commands import SMALL, ganlab, last_line
from conftest import tiny
from PIL import Image

from ganlab import bench, quality
from ganlab.config import PRESETS, TrainConfig
from ganlab.export import export
from ganlab.runs import Run

# evaluate -------------------------------------------------------------------------------------


def evaluated(source: object, data: object, capfd, *flags: object) -> dict:
    assert ganlab("evaluate", source, "--data", data, "--n", 50, "--json", *flags) == 0
    printed = capfd.readouterr().out
    assert printed.count("\n") == 1
    return json.loads(printed)


@pytest.fixture
def rows(monkeypatch):
    """Numbers at once, instead of those that are measured."""

    def evaluate(generator, tasks, dataset, *, n, **_) -> dict:
        return {task: {"kid": n / 4, "pictures": len(dataset)} for task in tasks}

    monkeypatch.setattr(quality, "evaluate", evaluate)


def test_a_run_is_evaluated_head_by_head(trained, picture_folder, capfd):
    told = evaluated(trained, picture_folder, capfd)
    assert (told["features"], told["data"]) == ("EfficientNet-Lite0", "pictures")
    assert list(told["tasks"]) == ["discs", "squares"]
    for row in told["tasks"].values():
        assert (row["samples"], row["pictures"]) == (50, 8)
        assert row["copies"] == round(50 * row["copied"]) < 10  # it has hardly trained
        assert row["kid"] > 1


def test_the_table_has_a_column_per_head_and_a_row_per_number(trained, picture_folder, capfd):
    assert ganlab("evaluate", trained, "--data", picture_folder, "--n", 50) == 0
    title, heads, *lines = capfd.readouterr().out.splitlines()
    assert title == "50 samples per task against pictures; features: EfficientNet-Lite0"
    assert heads.split() == ["discs", "squares"]
    names = [line.split()[0] for line in lines]
    assert {"kid", "fid", "precision", "coverage", "diversity", "copies"} < set(names)
    assert all(len(line.split()) == 3 and len(line) == len(heads) for line in lines)


def test_one_head_can_be_evaluated(trained, picture_folder, capfd):
    both = evaluated(trained, picture_folder, capfd)["tasks"]
    (only,) = evaluated(trained, picture_folder, capfd, "--task", "squares")["tasks"].items()
    assert only == ("squares", pytest.approx(both["squares"], rel=1e-3))


def test_a_classic_is_evaluated_against_its_tasks_together(picture_folder, tmp_path, capfd):
    words = ["--preset", "dcgan", "--data", picture_folder, "--steps", 2, "--out", tmp_path / "run"]
    ganlab("train", *words, *SMALL)
    capfd.readouterr()
    for flags in ([], ["--task", "discs + squares"]):
        (only,) = evaluated(tmp_path / "run", picture_folder, capfd, *flags)["tasks"].items()
        assert only[0] == "discs + squares"
        assert only[1]["pictures"] == 16


def test_folder_id_zip_and_snapshot_are_evaluated_as_they_are_sampled(
    picture_folder, home, tmp_path, capfd, rows
):
    ganlab("train", "--data", picture_folder, "--steps", 5, "--json", *SMALL)
    path = Path(json.loads(capfd.readouterr().out)["run"])
    zipped = export(Run(path), tmp_path / "exports")
    with zipfile.ZipFile(zipped) as archive:
        archive.extractall(tmp_path / "unpacked")
    expected = {task: {"kid": 12.5, "pictures": 16} for task in ("discs", "squares")}
    for source in (path, path.name, zipped, tmp_path / "unpacked"):
        assert evaluated(source, picture_folder, capfd)["tasks"] == expected
    assert evaluated(path, picture_folder, capfd, "--step", 5)["tasks"] == expected


def test_the_best_snapshot_is_evaluated_unless_another_is_asked_for(
    trained, picture_folder, capfd, monkeypatch
):
    Run(trained).log_quality({"step": 20, "seconds": 1.0, "kid": 1.0})
    ganlab("resume", trained)
    capfd.readouterr()
    seen = []

    def evaluate(generator, *_, **__) -> dict:
        seen.append(generator.start.weight)
        return {}

    monkeypatch.setattr(quality, "evaluate", evaluate)
    for flags in ([], ["--step", 20], ["--step", 30]):
        evaluated(trained, picture_folder, capfd, *flags)
    best, earlier, newest = seen
    assert torch.equal(best, earlier)
    assert not torch.equal(best, newest)


def test_a_number_that_one_head_lacks_is_a_gap_in_the_table(
    trained, picture_folder, capfd, monkeypatch
):
    found = {"discs": {"kid": 1.5, "memorisation": 0.75}, "squares": {"kid": 2.5}}
    monkeypatch.setattr(quality, "evaluate", lambda *_, **__: found)
    assert ganlab("evaluate", trained, "--data", picture_folder) == 0
    *_, kid, memorisation = capfd.readouterr().out.splitlines()
    assert kid.split() == ["kid", "1.5", "2.5"]
    assert memorisation.split() == ["memorisation", "0.75", "nan"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--n", 49], "--n is 49: give at least 50 for numbers that mean anything"),
        (["--task", "stars"], "--task is 'stars': this model has discs, squares"),
        (["--step", 19], "there is no snapshot at step 19: choose one of [20]"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line_on_stderr(
    trained, picture_folder, capfd, flags, message
):
    assert ganlab("evaluate", trained, "--data", picture_folder, *flags) == 2
    printed, complaint = capfd.readouterr()
    assert printed == ""
    assert last_line(complaint) == f"ganlab: {message}"


def test_pictures_of_other_tasks_say_so(trained, picture_folder, tmp_path, capfd):
    other = tmp_path / "others"
    (picture_folder / "discs").rename(picture_folder / "stars")
    picture_folder.rename(other)
    (other / "squares").rename(other / "moons")
    assert ganlab("evaluate", trained, "--data", other, "--n", 50) == 2
    assert last_line(capfd.readouterr().err) == (
        "ganlab: others has moons, stars, and the model makes discs, squares: they share no task "
        "to compare"
    )


def test_grey_pictures_do_not_measure_a_model_of_colours(trained, picture_folder, capfd):
    for file in picture_folder.rglob("*.png"):
        with Image.open(file) as picture:
            grey = picture.convert("L")
        grey.save(file)
    assert ganlab("evaluate", trained, "--data", picture_folder, "--n", 50) == 2
    complaint = last_line(capfd.readouterr().err)
    assert "makes pictures of (3, 32, 32), the data set has (1, 32, 32)" in complaint


def test_features_that_are_not_installed_say_how_to_install_them(
    trained, picture_folder, capfd, monkeypatch
):
    for name in ("torch_fidelity", "torch_fidelity.feature_extractor_inceptionv3"):
        monkeypatch.setitem(sys.modules, name, None)
    words = ["evaluate", trained, "--data", picture_folder, "--features", "inception"]
    assert ganlab(*words) == 2
    assert "pip install torch-fidelity==" in last_line(capfd.readouterr().err)


# bench ----------------------------------------------------------------------------------------


@pytest.fixture
def two_presets(monkeypatch) -> None:
    of_presets = {name: tiny(name, penalty_every=1) for name in ("dcgan", "mlp")}
    monkeypatch.setattr(bench, "PRESETS", {name: PRESETS[name] for name in ("dcgan", "mlp")})
    monkeypatch.setattr(bench, "ROUNDS", 3)
    monkeypatch.setattr(TrainConfig, "from_preset", lambda name: of_presets[name])


def test_the_speed_of_every_preset_is_told_beside_dcgans(picture_folder, capfd, two_presets):
    words = ["bench", "speed", "--data", picture_folder, "--seconds", 0.3, "--precision", "fp32"]
    assert ganlab(*words, "--json") == 0
    rows = json.loads(capfd.readouterr().out)
    assert [row["preset"] for row in rows] == ["dcgan", "mlp"]
    for row in rows:
        assert row["precision"] == "fp32"
        assert 0 < row["slowest_round"] <= row["images_per_second"] <= row["fastest_round"]
    assert rows[0]["times_dcgan"] == 1
    faster = rows[1]["images_per_second"] / rows[0]["images_per_second"]
    assert rows[1]["times_dcgan"] == pytest.approx(faster, abs=0.02)

    assert ganlab(*words) == 0
    title, heads, *lines = capfd.readouterr().out.splitlines()
    assert title == f"{picture_folder} at 32 px, fp32, 1 threads"
    assert heads.split() == ["preset", "images/s", "x", "DCGAN", "rounds"]
    assert [line.split()[0] for line in lines] == ["dcgan", "mlp"]
