"""`python -m ganlab sample`: pictures of a run, a download or a snapshot."""

import json
from pathlib import Path

import numpy as np
import pytest
from commands import SMALL, ganlab, sampled
from PIL import Image

from ganlab.export import export
from ganlab.runs import Run


def test_without_a_step_the_best_snapshot_is_sampled(trained, tmp_path):
    first = sampled(trained, tmp_path / "a.npz", "--n", 4)["images"]
    Run(trained).log_quality({"step": 20, "seconds": 1.0, "kid": 1.0})
    ganlab("resume", trained)
    assert Run(trained).snapshot_steps() == [20, 30]
    np.testing.assert_array_equal(sampled(trained, tmp_path / "b.npz", "--n", 4)["images"], first)
    Run(trained).log_quality({"step": 30, "seconds": 2.0, "kid": 0.5})
    assert (sampled(trained, tmp_path / "c.npz", "--n", 4)["images"] != first).any()


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
