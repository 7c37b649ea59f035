"""`python -m ganlab transfer`, as a shell uses it, and what other commands make of the result."""

import json
import shlex
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import TEN_STEPS, ganlab, last_line, sampled
from PIL import Image
from safetensors.torch import load_file

from ganlab.data import saved
from ganlab.export import export
from ganlab.runs import Run
from ganlab.transfer_config import DEFAULT


@pytest.fixture
def transferred(made_once, checkpoint, picture_folder, tmp_path, capfd) -> Path:
    """The folder of a transfer of 10 steps to two tasks."""

    def transfer() -> Path:
        words = ["--data", picture_folder, "--strategy", "head", "--heads", "a", *TEN_STEPS]
        assert ganlab("transfer", checkpoint, *words, "--out", tmp_path / "new") == 0
        capfd.readouterr()
        return tmp_path / "new"

    return made_once("transferred by the command", transfer)


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
