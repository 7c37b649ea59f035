"""The command line, as a shell uses it: exit status, stdout, stderr, and what is left on disk."""

import json
import secrets
import shlex
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import drawn, tiny
from PIL import Image
from safetensors.torch import load_file
from sources import write_small_checkpoint

from ganlab import __version__, bench, contest, device, quality
from ganlab.__main__ import main
from ganlab.config import PRESETS, TrainConfig
from ganlab.data import saved
from ganlab.export import export
from ganlab.runs import Run
from ganlab.transfer_config import DEFAULT

ROOT = Path(__file__).parents[1]
SMALL = ["--width", 8, "--z-dim", 8, "--batch-size", 8, "--precision", "fp32"]


def ganlab(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture
def trained(made_once, picture_folder, tmp_path, capfd) -> Path:
    """The folder of a run of 20 steps with two tasks."""

    def train() -> Path:
        ganlab("train", "--data", picture_folder, "--steps", 20, "--out", tmp_path / "run", *SMALL)
        capfd.readouterr()
        return tmp_path / "run"

    return made_once("trained by the command", train)


# train ----------------------------------------------------------------------------------------


def test_training_prints_one_json_line_and_shows_its_progress_beside_it(
    picture_folder, tmp_path, capfd
):
    out = tmp_path / "run"
    words = ["train", "--data", picture_folder, "--steps", 20, "--out", out, "--json", *SMALL]
    assert ganlab(*words) == 0
    printed, progress = capfd.readouterr()
    assert printed.endswith("}\n")
    assert printed.count("\n") == 1
    told = json.loads(printed)
    assert told["state"] == "finished"
    assert told["steps"] == 20
    assert told["images"] == 160
    assert told["precision"] == "fp32"
    assert told["run"] == str(out)
    run = Run(out)
    assert told["seconds"] == pytest.approx(run.status.seconds, abs=0.01)
    assert told["images_per_second"] == pytest.approx(160 / run.status.seconds, rel=0.01)
    assert "100%" in progress
    assert "step 20" in progress
    assert run.status.state == "finished"
    assert run.snapshot_steps() == [20]


def test_without_json_a_sentence_says_how_it_went_and_where_it_is(picture_folder, home, capfd):
    assert ganlab("train", "--data", picture_folder, "--steps", 3, *SMALL) == 0
    (run,) = (home / "runs").iterdir()  # the default: a new one in runs/
    printed = capfd.readouterr().out
    assert printed.startswith("finished at step 3, ")
    assert printed.rstrip().endswith(str(run))


def test_every_setting_of_a_run_can_be_given_as_a_flag(picture_folder, tmp_path):
    flags = [
        "--preset", "better", "--seconds", 30, "--steps", 2, "--tasks", "squares",
        "--architecture", "dcgan", "--size", 32, "--width", 8, "--z-dim", 9, "--head-depth", 1,
        "--no-z-in-blocks", "--full-size-width", 0, "--d-steps", 2,
        "--loss", "hinge", "--r1", 0.5, "--r2", 0, "--penalty-every", 3, "--spectral-norm",
        "--learning-rate", 2e-4, "--beta1", 0.5, "--beta2", 0.9, "--no-lr-decay",
        "--batch-size", 4, "--ema-halflife-kimg", 0, "--no-flips", "--diffaugment", "--seed", 5,
        "--precision", "fp32",
    ]  # fmt: skip
    assert ganlab("train", "--data", picture_folder, "--out", tmp_path / "run", *flags) == 0
    assert Run(tmp_path / "run").config == TrainConfig(
        data=str(picture_folder), tasks=("squares",), preset="better", seconds=30, steps=2,
        architecture="dcgan", size=32, width=8, z_dim=9, head_depth=1, loss="hinge",
        r1=0.5, r2=0, penalty_every=3, spectral_norm=True, learning_rate=2e-4, beta1=0.5,
        beta2=0.9, lr_decay=False, batch_size=4, ema_halflife_kimg=0, flips=False,
        diffaugment=True, seed=5, precision="fp32",
        simultaneous=TrainConfig.from_preset("better").simultaneous, z_in_blocks=False,
        full_size_width=0, d_steps=2,
    )  # fmt: skip


@pytest.fixture
def oddly_named(tmp_path) -> Path:
    """Pictures in folders that a shell would stumble over."""
    rng = np.random.default_rng(0)
    for task in ("it's", "a b", "$HOME; rm *", "naïve 猫"):
        folder = tmp_path / 'pictures "of" everything' / task
        folder.mkdir(parents=True)
        for number in range(2):
            drawn("discs", 32, rng).save(folder / f"{number}.png")
    return tmp_path / 'pictures "of" everything'


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("quick", {}),
        ("quick", {"tasks": ("it's", "a b", "$HOME; rm *", "naïve 猫")}),
        ("quick", {"tasks": ("a b",), "seconds": 60, "r1": 1 / 3, "loss": "hinge"}),
        ("better", {"lr_decay": True, "flips": False, "spectral_norm": True, "seed": 2**31 - 1}),
        ("dcgan", {"learning_rate": 0.000123456789, "diffaugment": True}),
    ],
)
def test_the_command_that_a_run_shows_trains_the_same_run_again(
    oddly_named, capfd, preset, changes
):
    config = tiny(preset, data=str(oddly_named), **{"steps": 2, **changes})
    program, *words = shlex.split(config.command())
    assert [program, *words[:2]] == ["python", "-m", "ganlab"]
    assert ganlab(*words[2:], "--json") == 0
    assert Run(Path(json.loads(capfd.readouterr().out)["run"])).config == config


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--width", 4], "width is 4: choose between 8 and 128"),
        (["--steps", 0], "steps is 0: choose between 1 and 100000000"),
        (["--seconds", "nan"], "seconds is nan: give a number"),
        (["--learning-rate", "inf"], "learning rate is inf: give a number"),
        (["--r1", -1], "r1 is -1: choose between 0 and 1000"),
    ],
)
def test_a_bad_value_is_one_line_on_stderr(picture_folder, home, capfd, flags, message):
    assert ganlab("train", "--data", picture_folder, *SMALL, *flags) == 2
    assert capfd.readouterr() == ("", f"ganlab: {message}\n")
    assert not (home / "runs").exists()


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["paint"],
        ["train", "--steps", "many"],
        ["train", "--steps", "2.5"],
        ["train", "--architecture", "vae"],
        ["train", "--preset", "best"],
        ["train", "--size", "48"],
        ["train", "--colour", "red"],
        ["train", "--tasks"],
        ["sample"],
        ["sample", "somewhere"],
        ["resume"],
        ["evaluate", "somewhere"],
        ["evaluate", "somewhere", "--data", "avatars", "--features", "vgg"],
        ["bench"],
        ["bench", "patience"],
    ],
)
def test_what_the_parser_does_not_know_ends_with_status_2(capfd, words):
    with pytest.raises(SystemExit) as ending:
        ganlab(*words)
    printed, complaint = capfd.readouterr()
    assert ending.value.code == 2
    assert printed == ""
    assert "error: " in complaint.splitlines()[-1]


def last_line(text: str) -> str:
    return text.replace("\r", "\n").splitlines()[-1]


def test_pictures_that_are_not_there_are_one_line_on_stderr(tmp_path, capfd):
    gone = tmp_path / "gone"
    assert ganlab("train", "--data", gone, "--out", tmp_path / "run", "--json", *SMALL) == 2
    printed, complaint = capfd.readouterr()
    assert printed == ""
    assert last_line(complaint).startswith(f"ganlab: There is no data set '{gone}'; choose ")
    assert "Traceback" not in complaint


def test_a_task_that_the_pictures_do_not_have_is_named(picture_folder, tmp_path, capfd):
    words = ["--data", picture_folder, "--tasks", "discs", "stars", "--out", tmp_path / "run"]
    assert ganlab("train", *words, *SMALL) == 2
    assert "has no task 'stars'; choose from discs, squares" in last_line(capfd.readouterr().err)


def test_nothing_is_written_where_something_is_already(trained, picture_folder, capfd):
    before = sorted(trained.rglob("*"))
    assert ganlab("train", "--data", picture_folder, "--out", trained, *SMALL) == 2
    assert "is not empty: choose a new folder for the run" in capfd.readouterr().err
    assert sorted(trained.rglob("*")) == before


def test_a_file_in_place_of_the_folder_is_one_line_on_stderr(picture_folder, tmp_path, capfd):
    (tmp_path / "notes.txt").write_text("mine")
    words = ["--data", picture_folder, "--out", tmp_path / "notes.txt", *SMALL]
    assert ganlab("train", *words) == 2
    complaint = capfd.readouterr().err
    assert complaint.startswith("ganlab: ")
    assert complaint.count("\n") == 1
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_training_that_explodes_says_what_to_do(picture_folder, tmp_path, capfd):
    explosive = [
        "--learning-rate", 1, "--beta1", 0.999, "--beta2", 0, "--r1", 1000, "--r2", 1000,
        "--loss", "wasserstein", "--penalty-every", 1,
    ]  # fmt: skip
    words = ["--data", picture_folder, "--seconds", 60, "--out", tmp_path / "run"]
    assert ganlab("train", *words, "--json", *SMALL, *explosive) == 2
    printed, complaint = capfd.readouterr()
    assert printed == ""
    assert last_line(complaint).startswith("ganlab: The training exploded: ")
    assert "lower learning rate" in last_line(complaint)
    assert "Traceback" not in complaint
    assert Run(tmp_path / "run").status.state == "failed"


# resume ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["folder", "id"])
def test_a_finished_run_goes_on_with_more_budget(picture_folder, home, capfd, by):
    ganlab("train", "--data", picture_folder, "--steps", 20, "--json", *SMALL)
    path = Path(json.loads(capfd.readouterr().out)["run"])
    assert path.parent == home / "runs"
    assert ganlab("resume", path if by == "folder" else path.name, "--json") == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["state"], told["steps"], told["images"]) == ("finished", 30, 240)
    assert Run(path).snapshot_steps() == [20, 30]
    steps = [line["step"] for line in Run(path).metrics()]
    assert steps == sorted(set(steps))


def test_no_id_looks_like_a_flag(picture_folder, home, capfd, monkeypatch):
    monkeypatch.setattr(secrets, "token_urlsafe", lambda n: "--json-and-more-"[: n * 4 // 3])
    ganlab("train", "--data", picture_folder, "--steps", 2, *SMALL)
    (run,) = (home / "runs").iterdir()
    assert len(run.name) == 16
    assert ganlab("resume", run.name) == 0


def test_the_speed_of_a_resumed_run_is_that_of_what_was_added(trained, capfd):
    before = Run(trained).status
    ganlab("resume", trained, "--json")
    told, after = json.loads(capfd.readouterr().out), Run(trained).status
    expected = 80 / (after.seconds - before.seconds)
    assert told["images_per_second"] == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("state", ["queued", "running", "stopping"])
def test_a_run_that_was_broken_off_goes_on(new_run, picture_folder, capfd, state):
    run = new_run(data=str(picture_folder))
    for step in ("running", "stopping"):
        if run.status.state != state:
            run.move(step)
    assert run.status.state == state
    assert ganlab("resume", run.path, "--json") == 0
    assert json.loads(capfd.readouterr().out)["steps"] == 20


def test_a_run_that_learns_elsewhere_is_left_alone(new_run, capfd):
    run = new_run()
    run.move("running")
    with run.held():
        assert ganlab("resume", run.path) == 2
    assert capfd.readouterr().err == "ganlab: another process is training this run\n"
    assert run.status.state == "running"


@pytest.mark.parametrize("source", ["nowhere", "a" * 16, ""])
def test_what_is_no_run_cannot_be_resumed(home, capfd, source):
    assert ganlab("resume", source) == 2
    assert capfd.readouterr().err == f"ganlab: {source} is not a run: give its folder or its id\n"


# sample ---------------------------------------------------------------------------------------


def test_without_a_step_the_best_snapshot_is_sampled(trained, tmp_path):
    first = sampled(trained, tmp_path / "a.npz", "--n", 4)["images"]
    Run(trained).log_quality({"step": 20, "seconds": 1.0, "kid": 1.0})
    ganlab("resume", trained)
    assert Run(trained).snapshot_steps() == [20, 30]
    np.testing.assert_array_equal(sampled(trained, tmp_path / "b.npz", "--n", 4)["images"], first)
    Run(trained).log_quality({"step": 30, "seconds": 2.0, "kid": 0.5})
    assert (sampled(trained, tmp_path / "c.npz", "--n", 4)["images"] != first).any()


def sampled(source: object, file: Path, *flags: object) -> dict[str, np.ndarray]:
    assert ganlab("sample", source, "--out", file, *flags) == 0
    with np.load(file) as arrays:  # allows no pickle
        return dict(arrays)


def test_samples_are_pictures_with_their_tasks(trained, tmp_path, capfd):
    arrays = sampled(trained, tmp_path / "new" / "a.npz", "--n", 5)
    assert arrays["images"].shape == (5, 32, 32, 3)
    assert arrays["images"].dtype == np.uint8
    assert arrays["images"].std() > 0
    assert arrays["task_ids"].tolist() == [0, 1, 0, 1, 0]
    assert arrays["tasks"].tolist() == ["discs", "squares"]
    assert capfd.readouterr().out.startswith("5 pictures of 32x32 in ")


def test_64_samples_are_the_default(trained, tmp_path):
    assert len(sampled(trained, tmp_path / "a.npz")["images"]) == 64


def test_the_same_seed_gives_the_same_pictures_and_another_seed_others(trained, tmp_path):
    a, b, c = (
        sampled(trained, tmp_path / "a.npz", "--n", 4, "--seed", seed)["images"]
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(a, b)
    assert (a != c).any(axis=(1, 2, 3)).all()


def test_one_task_can_be_asked_for(trained, tmp_path):
    both = sampled(trained, tmp_path / "a.npz", "--n", 6)
    squares = sampled(trained, tmp_path / "b.npz", "--n", 6, "--task", "squares")
    assert squares["task_ids"].tolist() == [1] * 6
    np.testing.assert_array_equal(squares["images"][1::2], both["images"][1::2])
    assert (squares["images"][::2] != both["images"][::2]).any()


def test_run_id_and_exported_zip_give_what_the_folder_gives(picture_folder, home, tmp_path, capfd):
    ganlab("train", "--data", picture_folder, "--steps", 5, "--json", *SMALL)
    path = Path(json.loads(capfd.readouterr().out)["run"])
    zipped = export(Run(path), tmp_path / "exports")
    expected = sampled(path, tmp_path / "a.npz", "--n", 4)
    for source in (path.name, zipped):
        found = sampled(source, tmp_path / "b.npz", "--n", 4)
        np.testing.assert_array_equal(found["images"], expected["images"])
        assert found["tasks"].tolist() == ["discs", "squares"]


def test_an_earlier_snapshot_can_be_asked_for(trained, tmp_path, capfd):
    before = sampled(trained, tmp_path / "a.npz", "--n", 4)["images"]
    ganlab("resume", trained)
    capfd.readouterr()
    newest = sampled(trained, tmp_path / "b.npz", "--n", 4)["images"]
    assert (newest != before).any()
    earlier = sampled(trained, tmp_path / "c.npz", "--n", 4, "--step", 20)["images"]
    np.testing.assert_array_equal(earlier, before)
    assert ganlab("sample", trained, "--step", 7, "--out", tmp_path / "d.npz") == 2
    expected = "ganlab: there is no snapshot at step 7: choose one of [20, 30]\n"
    assert capfd.readouterr().err == expected


@pytest.mark.parametrize("grey", [False, True])
def test_png_files_hold_the_same_pictures(picture_folder, tmp_path, grey):
    if grey:
        for file in picture_folder.rglob("*.png"):
            with Image.open(file) as picture:
                picture.convert("L").save(file)
    ganlab("train", "--data", picture_folder, "--steps", 2, "--out", tmp_path / "run", *SMALL)
    assert ganlab("sample", tmp_path / "run", "--n", 3, "--out", tmp_path / "drawn") == 0
    arrays = sampled(tmp_path / "run", tmp_path / "a.npz", "--n", 3)
    files = sorted((tmp_path / "drawn").iterdir())
    assert [file.name for file in files] == ["000000.png", "000001.png", "000002.png"]
    for file, expected in zip(files, arrays["images"], strict=True):
        with Image.open(file) as picture:
            assert picture.mode == ("L" if grey else "RGB")
            np.testing.assert_array_equal(np.asarray(picture), expected.squeeze())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--n", 0], "--n is 0: give at least 1"),
        (["--n", -3], "--n is -3: give at least 1"),
        (["--task", "stars"], "--task is 'stars': this model has discs, squares"),
        (["--step", 19], "there is no snapshot at step 19: choose one of [20]"),
    ],
)
def test_what_cannot_be_sampled_is_one_line_on_stderr(trained, tmp_path, capfd, flags, message):
    assert ganlab("sample", trained, "--out", tmp_path / "a.npz", *flags) == 2
    assert capfd.readouterr() == ("", f"ganlab: {message}\n")
    assert not (tmp_path / "a.npz").exists()


def test_a_source_that_is_not_there_is_named(home, tmp_path, capfd):
    assert ganlab("sample", "nowhere", "--out", tmp_path / "a.npz") == 2
    complaint = capfd.readouterr().err
    assert complaint.startswith("ganlab: nowhere is neither a run's id nor a folder or zip")


def test_a_run_that_never_began_has_nothing_to_sample(new_run, tmp_path, capfd):
    assert ganlab("sample", new_run().path, "--out", tmp_path / "a.npz") == 2
    complaint = "ganlab: this run has no snapshot yet: let it train for a few seconds\n"
    assert capfd.readouterr().err == complaint


def test_a_file_that_is_no_model_is_named(tmp_path, capfd):
    (tmp_path / "notes.txt").write_text("not a zip")
    assert ganlab("sample", tmp_path / "notes.txt", "--out", tmp_path / "a.npz") == 2
    assert capfd.readouterr().err.startswith("ganlab: notes.txt cannot be read: ")


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


# As a program of its own ------------------------------------------------------------------------


def test_the_program_tells_its_version():
    words = [sys.executable, "-m", "ganlab", "--version"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, f"ganlab {__version__}\n")


def test_ctrl_c_stops_and_saves(picture_folder, tmp_path):
    device.plan()  # in the home that both share, so that the program need not time
    out = tmp_path / "run"
    settings = [str(word) for word in SMALL]
    process = subprocess.Popen(
        [sys.executable, "-m", "ganlab", "train", "--data", picture_folder, "--seconds", "600",
         "--out", out, "--json", *settings],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        end = time.monotonic() + 60
        while not (out / "metrics.jsonl").exists() or not Run(out).metrics():
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        before = time.monotonic()
        printed, complaint = process.communicate(timeout=20)
    finally:
        process.kill()
    assert time.monotonic() - before < 5
    assert process.returncode == 0
    assert "Traceback" not in complaint
    told, run = json.loads(printed), Run(out)
    assert told["state"] == run.status.state == "stopped"
    assert told["steps"] > 0
    assert run.snapshot_steps() == [told["steps"]]
    assert torch.tensor([line["step"] for line in run.metrics()]).diff().gt(0).all()


# transfer -------------------------------------------------------------------------------------


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """The folder of a generator of 32 px with the heads a and b."""
    return write_small_checkpoint(tmp_path / "checkpoint")


@pytest.fixture
def transferred(made_once, checkpoint, picture_folder, tmp_path, capfd) -> Path:
    """The folder of a transfer of 10 steps to two tasks."""

    def transfer() -> Path:
        words = ["--data", picture_folder, "--strategy", "head", "--heads", "a", *TEN_STEPS]
        assert ganlab("transfer", checkpoint, *words, "--out", tmp_path / "new") == 0
        capfd.readouterr()
        return tmp_path / "new"

    return made_once("transferred by the command", transfer)


TEN_STEPS = ["--steps", 10, "--precision", "fp32"]
NAMES = [f"{task}/{number}.png" for task in ("discs", "squares") for number in range(8)]


def names_in(run: Run) -> list[str]:
    manifest = saved.read_manifest(run.path / "data")
    return [picture["name"] for picture in manifest["pictures"]]


def test_a_transfer_prints_one_json_line_and_keeps_its_pictures(
    checkpoint, picture_folder, tmp_path, capfd
):
    out = tmp_path / "new"
    words = ["--data", picture_folder, "--strategy", "head", "--heads", "a", "--out", out]
    assert ganlab("transfer", checkpoint, *words, "--json", *TEN_STEPS) == 0
    printed, progress = capfd.readouterr()
    assert printed.endswith("}\n")
    assert printed.count("\n") == 1
    told, run = json.loads(printed), Run(out)
    assert (told["state"], told["steps"], told["run"]) == ("finished", 10, str(out))
    assert "16 pictures, 0 of them mended" in progress
    assert "step 10" in progress
    assert (run.status.state, run.snapshot_steps()) == ("finished", [10])
    assert (run.config.strategy, run.config.heads) == ("head", ("a", "a"))
    assert run.config.source == str(checkpoint)
    assert run.about["model"]["tasks"] == ["discs", "squares"]
    assert run.about["data"]["name"] == "pictures"
    manifest = json.loads((out / "data" / "manifest.json").read_text())
    assert [picture["name"] for picture in manifest["pictures"]] == NAMES
    for picture in manifest["pictures"]:
        given = picture_folder / picture["name"]
        with Image.open(out / "data" / picture["file"]) as kept, Image.open(given) as original:
            np.testing.assert_array_equal(np.asarray(kept), np.asarray(original))


def test_without_json_a_transfer_says_who_learns_what_and_where_it_is(
    checkpoint, picture_folder, home, capfd
):
    words = ["--data", picture_folder, "--heads", "b", "a", "--steps", 2, "--precision", "fp32"]
    assert ganlab("transfer", checkpoint, *words) == 0
    (run,) = (home / "runs").iterdir()
    first, last = capfd.readouterr().out.splitlines()
    assert first == "small (b, a) learns pictures: 16 pictures"
    assert last.startswith("finished at step 2, ") and last.endswith(str(run))
    assert (Run(run).config.strategy, Run(run).config.heads) == (DEFAULT, ("b", "a"))


def test_a_zip_of_the_pictures_will_do(checkpoint, picture_folder, tmp_path, capfd):
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for file in sorted(picture_folder.rglob("*.png")):
            archive.write(file, file.relative_to(picture_folder))
    for data, out in ((tmp_path / "mine.zip", "zipped"), (picture_folder, "plain")):
        words = ["--data", data, "--heads", "a", "--out", tmp_path / out, *TEN_STEPS]
        assert ganlab("transfer", checkpoint, *words) == 0
    zipped, plain = Run(tmp_path / "zipped"), Run(tmp_path / "plain")
    assert names_in(zipped) == names_in(plain) == NAMES
    assert zipped.about["data"]["name"] == "mine"
    assert zipped.about["data"]["tasks"] == {"discs": 8, "squares": 8}
    one, other = (load_file(run.snapshot() / "generator.safetensors") for run in (zipped, plain))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_files_that_are_no_pictures_are_told_and_left_out(
    checkpoint, picture_folder, tmp_path, capfd
):
    (picture_folder / "discs" / "notes.png").write_text("no picture")
    words = ["--data", picture_folder, "--heads", "a", "--steps", 1, "--out", tmp_path / "new"]
    assert ganlab("transfer", checkpoint, *words, "--precision", "fp32") == 0
    (told,) = (line for line in capfd.readouterr().err.splitlines() if "left out: " in line)
    assert "left out: discs/notes.png: " in told
    assert names_in(Run(tmp_path / "new")) == NAMES


def test_a_run_of_ones_own_is_a_source_too(trained, picture_folder, tmp_path, capfd):
    words = ["--data", picture_folder, "--strategy", "freezed", "--heads", "squares"]
    out = tmp_path / "new"
    assert ganlab("transfer", trained, *words, "--out", out, "--json", *TEN_STEPS) == 0
    assert json.loads(capfd.readouterr().out)["state"] == "finished"
    start, run = load_file(trained / "snapshots/000020/training.safetensors"), Run(out)
    now = load_file(run.snapshot() / "training.safetensors")
    kept, free = "discriminator/downs.0.weight", "discriminator/downs.2.weight"
    assert torch.equal(now[kept], start[kept]) and not torch.equal(now[free], start[free])


def test_the_command_that_a_transfer_shows_makes_the_same_run_again(transferred, tmp_path, capfd):
    config = Run(transferred).config
    program, *words = shlex.split(config.command())
    assert [program, *words[:2]] == ["python", "-m", "ganlab"]
    assert ganlab(*words[2:], "--out", tmp_path / "again", "--json") == 0
    again = Run(Path(json.loads(capfd.readouterr().out)["run"]))
    assert again.config == config
    one, other = (load_file(r.snapshot() / "generator.safetensors") for r in (
        Run(transferred), again,
    ))  # fmt: skip
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_transfer_takes_the_flags_of_the_machine(
    checkpoint, picture_folder, tmp_path, monkeypatch
):
    words = ["--data", picture_folder, "--heads", "a", "--out", tmp_path / "new", *TEN_STEPS]
    flags = ["--threads", 1, "--layout", "contiguous", "--device", "cpu"]
    for name in ("GANLAB_THREADS", "GANLAB_LAYOUT", "GANLAB_DEVICE"):
        monkeypatch.setenv(name, "")  # so that what the flags set is undone
    assert ganlab("transfer", checkpoint, *words, *flags) == 0
    assert Run(tmp_path / "new").about["plan"]["layout"] == "contiguous"


def test_samples_of_a_transfer_are_of_its_tasks(transferred, tmp_path):
    arrays = sampled(transferred, tmp_path / "a.npz", "--n", 6)
    assert arrays["images"].shape == (6, 32, 32, 3)
    assert arrays["images"].std() > 0
    assert arrays["tasks"].tolist() == ["discs", "squares"]
    squares = sampled(transferred, tmp_path / "b.npz", "--n", 6, "--task", "squares")["images"]
    np.testing.assert_array_equal(squares[1::2], arrays["images"][1::2])


def test_an_exported_transfer_opens_and_goes_on_elsewhere(transferred, tmp_path, capfd):
    zipped = export(Run(transferred), tmp_path / "exports")
    with zipfile.ZipFile(zipped) as archive:
        card = archive.read("README.md").decode()
    assert "(a, a), by New head" in card
    drawn_before = sampled(transferred, tmp_path / "a.npz", "--n", 4)["images"]
    np.testing.assert_array_equal(sampled(zipped, tmp_path / "b.npz", "--n", 4)["images"],
                                  drawn_before)  # fmt: skip
    capfd.readouterr()
    there = tmp_path / "elsewhere" / "run"
    assert ganlab("open", zipped, "--out", there, "--json") == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["state"], told["steps"], told["run"]) == ("finished", 10, str(there))
    for run in (there, transferred):  # the one that left, and the one that stayed
        assert ganlab("resume", run, "--json") == 0
        assert json.loads(capfd.readouterr().out)["steps"] == 15
    assert names_in(Run(there)) == NAMES
    one, other = (
        load_file(Run(run).snapshot() / "generator.safetensors") for run in (there, transferred)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_command_in_a_transfers_download_needs_only_what_is_in_it(
    transferred, tmp_path, capfd, monkeypatch
):
    with zipfile.ZipFile(export(Run(transferred), tmp_path / "exports")) as archive:
        archive.extractall(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path / "elsewhere")
    (line,) = (
        line for line in Path("README.md").read_text().splitlines() if "ganlab transfer" in line
    )
    assert ganlab(*shlex.split(line)[3:], "--out", "again", "--json") == 0
    one, other = (
        load_file(run.snapshot() / "generator.safetensors")
        for run in (Run(transferred), Run(Path("again")))
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_all_heads_of_a_new_heads_download_can_be_sampled(transferred, tmp_path):
    zipped = export(Run(transferred), tmp_path / "exports")
    with zipfile.ZipFile(zipped) as archive:
        archive.extractall(tmp_path / "unpacked")
    arrays = sampled(tmp_path / "unpacked" / "all-heads", tmp_path / "a.npz", "--n", 8)
    assert arrays["tasks"].tolist() == ["a", "b", "discs", "squares"]
    before = sampled(tmp_path / "checkpoint", tmp_path / "b.npz", "--n", 8)
    assert before["tasks"].tolist() == ["a", "b"]
    np.testing.assert_array_equal(arrays["images"][:2], before["images"][:2])


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("{good} --data {mine} --heads c", "small has no head 'c'; choose from a, b."),
        ("{good} --data {mine} --heads a b a", "3 heads for 2 tasks: give one for each"),
        ("{gone} --data {mine}", "{gone} is neither avatars64 nor fashion32, nor a run's id"),
        ("nowhere --data {mine}", "nowhere is neither avatars64 nor fashion32, nor a run's id"),
        ("{mine} --data {mine}", "pictures holds no model.json: it is not a ganlab model"),
        ("{good} --data {gone}", "there is no folder or zip at {gone}, and no data set"),
        ("{good} --data {few}", "Only one picture can be used, and training needs at least 2."),
        ("{good} --data {empty}", "No picture can be used, and training needs at least 2."),
        (
            "{good} --data {mine} --background plaid",
            "Background 'plaid' is no colour; choose white",
        ),
        ("{good} --data {mine} --frozen-layers 9", "frozen layers is 9: choose between 1 and 3"),
        ("{good} --data {mine} --strategy race --racers ewc", "one strategy alone is no race"),
        ("{good} --data {mine} --strategy race --racers magic ewc", "no strategy 'magic': choose"),
    ],
)
@pytest.mark.parametrize("where", ["", "--out {new}"])
def test_what_cannot_be_transferred_is_one_line_on_stderr_and_leaves_no_run(
    checkpoint, picture_folder, home, tmp_path, capfd, words, complaint, where
):
    places = {name: tmp_path / name for name in ("few", "empty", "gone", "new")}
    places |= {"good": checkpoint, "mine": picture_folder}
    places["empty"].mkdir()
    places["few"].mkdir()
    (picture_folder / "discs" / "7.png").rename(places["few"] / "only.png")
    given = f"{words} {where} --json".format(**places).split()
    assert ganlab("transfer", *given, *TEN_STEPS) == 2
    printed, told = capfd.readouterr()
    assert printed == ""
    assert last_line(told).startswith("ganlab: " + complaint.format(**places))
    assert "Traceback" not in told
    assert not places["new"].exists()
    assert not list(home.glob("runs/*"))


@pytest.mark.parametrize(
    "words",
    [[], ["somewhere", "--strategy", "magic"], ["somewhere", "--fit", "bend"],
     ["somewhere", "--width", "8"], ["somewhere", "--size", "64"]],
)  # fmt: skip
def test_what_a_transfer_does_not_know_ends_with_status_2(capfd, words):
    with pytest.raises(SystemExit) as ending:
        ganlab("transfer", *words)
    assert ending.value.code == 2
    assert "error: " in capfd.readouterr().err.splitlines()[-1]


# A race -----------------------------------------------------------------------------------------


@pytest.fixture
def race(checkpoint, picture_folder, monkeypatch) -> list[object]:
    """The words of a race of two."""
    monkeypatch.setattr(contest, "SAMPLES", 32)
    words = ["transfer", checkpoint, "--data", picture_folder, "--heads", "a", *TEN_STEPS]
    return [*words, "--strategy", "race", "--racers", "finetune", "freezed"]


def test_a_race_prints_what_each_strategy_reached(race, tmp_path, capfd):
    out = tmp_path / "race"
    assert ganlab(*race, "--out", out, "--json") == 0
    printed, progress = capfd.readouterr()
    assert printed.count("\n") == 1
    told, run = json.loads(printed), Run(out)
    assert (told["state"], told["run"]) == ("finished", str(out))
    assert list(told["results"]) == ["finetune", "freezed"]
    assert told["results"] == contest.results_of(run)
    for row in told["results"].values():
        assert row["kid"] > 0 and row["step"] == 10
    assert "Fine-tune all" in progress and "FreezeD" in progress
    assert "100%" in progress
    assert run.status.message == contest.winner(told["results"]) != ""


def test_without_json_a_race_prints_a_table_and_who_won(race, tmp_path, capfd):
    out = tmp_path / "race"
    assert ganlab(*race, "--out", out) == 0
    first, heads, *rows, words, last = capfd.readouterr().out.splitlines()
    assert first == "small (a) learns pictures: 16 pictures"
    assert heads.split() == [
        "strategy", "kid", "coverage", "diversity", "memorisation", "seconds",
    ]  # fmt: skip
    results = contest.results_of(Run(out))
    for row, title, found in zip(rows, ("Fine-tune all", "FreezeD"), results.values(), strict=True):
        assert row.startswith(title) and len(row) == len(heads)
        cells = row.removeprefix(title).split()
        assert float(cells[0]) == pytest.approx(found["kid"], rel=0.01)
        assert float(cells[2]) == pytest.approx(found["diversity"], rel=0.01)
    assert words == contest.winner(results) != ""
    assert last == f"finished: {out}"


def test_a_race_that_is_over_is_not_resumed_but_a_lap_of_it_is(race, tmp_path, capfd):
    ganlab(*race, "--out", tmp_path / "race")
    config = Run(tmp_path / "race").config
    capfd.readouterr()
    assert ganlab("resume", tmp_path / "race") == 2
    complaint = capfd.readouterr().err
    laps = tmp_path / "race" / "laps"
    assert complaint == f"ganlab: this race is over: go on with one of its laps in {laps}\n"
    race_after = Run(tmp_path / "race")
    assert (race_after.config, race_after.status.state) == (config, "finished")
    assert ganlab("resume", laps / "freezed", "--json") == 0
    assert json.loads(capfd.readouterr().out)["steps"] == 15


def test_a_race_that_failed_keeps_its_laps_when_it_is_started_again(race, tmp_path, capfd):
    out = tmp_path / "race"

    def full(lap: Run) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as disk:
        disk.setattr(contest, "measure", full)
        assert ganlab(*race, "--out", out) == 2
    assert Run(out).status.state == "failed"
    assert Run(out / "laps" / "finetune").snapshot_steps() == [10]
    assert ganlab(*race, "--out", out) == 2
    assert "is not empty: choose a new folder for the run" in capfd.readouterr().err
    assert Run(out / "laps" / "finetune").snapshot_steps() == [10]
    assert ganlab("resume", out, "--json") == 0
    assert list(json.loads(capfd.readouterr().out)["results"]) == ["finetune", "freezed"]
