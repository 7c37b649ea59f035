"""`python -m ganlab train` and `resume`, as a shell uses them: status, output, what is on disk."""

import json
import secrets
import shlex
from pathlib import Path

import numpy as np
import pytest
from commands import SMALL, ganlab, last_line
from conftest import drawn, tiny

from ganlab.config import TrainConfig
from ganlab.runs import Run

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
