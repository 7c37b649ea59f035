"""`python -m ganlab heads`, as a shell uses it, and what other commands make of the result."""

import json
import shlex
import zipfile
from pathlib import Path

import numpy as np
import pytest
from sources import write_small_checkpoint

from ganlab.__main__ import main
from ganlab.export import export
from ganlab.runs import Run


def ganlab(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_small_checkpoint(tmp_path / "small")


def heads_of(folder: Path) -> list[str]:
    return Run(folder).about["model"]["tasks"]


def test_blends_are_saved_as_heads_and_heads_renamed_and_removed(small, tmp_path, capfd):
    out = tmp_path / "mine"
    words = ["--add", "half", "a=1,b=1", "--rename", "half", "mid", "--add", "more", "mid=3,b=1"]
    assert ganlab("heads", small, *words, "--remove", "a", "--out", out) == 0
    assert capfd.readouterr().out.splitlines() == [
        "new head 'half' = a 50 %, b 50 %",
        "head 'half' is now called 'mid'",
        "new head 'more' = mid 75 %, b 25 %",
        "head 'a' removed",
        f"b, mid, more: {out}",
    ]
    assert heads_of(out) == ["b", "mid", "more"]


def test_with_json_one_line_tells_the_same(small, tmp_path, capfd):
    out = tmp_path / "mine"
    assert ganlab("heads", small, "--add", "half", "a=0.5,b=0.5", "--out", out, "--json") == 0
    assert json.loads(capfd.readouterr().out) == {
        "run": str(out),
        "heads": ["a", "b", "half"],
        "edits": ["new head 'half' = a 50 %, b 50 %"],
    }


def test_the_result_is_sampled_edited_again_and_taken_along(small, tmp_path, capfd):
    out, more = tmp_path / "mine", tmp_path / "more"
    assert ganlab("heads", small, "--add", "half", "a=1,b=1", "--out", out) == 0
    sheet = tmp_path / "x.npz"
    assert ganlab("sample", out, "--task", "half", "--n", 4, "--out", sheet) == 0
    assert np.load(sheet)["images"].shape == (4, 32, 32, 3)
    assert ganlab("heads", out, "--remove", "a", "--out", more) == 0
    assert heads_of(out) == ["a", "b", "half"] and heads_of(more) == ["b", "half"]
    path = export(Run(more), tmp_path / "zips")
    assert ganlab("heads", path, "--rename", "half", "mid", "--out", tmp_path / "third") == 0
    assert heads_of(tmp_path / "third") == ["b", "mid"]
    assert ganlab("open", path, "--out", tmp_path / "opened") == 0
    assert heads_of(tmp_path / "opened") == ["b", "half"]


def test_the_result_is_evaluated_where_the_data_have_such_tasks(tmp_path, picture_folder, capfd):
    small, out = write_small_checkpoint(tmp_path / "s", tasks=("discs", "squares")), tmp_path / "m"
    assert ganlab("heads", small, "--add", "half", "discs=1,squares=1", "--out", out) == 0
    capfd.readouterr()
    assert ganlab("evaluate", out, "--data", picture_folder, "--n", 50, "--json") == 0
    assert set(json.loads(capfd.readouterr().out)["tasks"]) == {"discs", "squares"}


def test_the_result_is_a_source_of_transfers(small, tmp_path, picture_folder, capfd):
    out = tmp_path / "mine"
    assert ganlab("heads", small, "--add", "half", "a=1,b=1", "--out", out) == 0
    words = ["--data", picture_folder, "--heads", "half", "--steps", 2, "--precision", "fp32"]
    assert ganlab("transfer", out, *words, "--out", tmp_path / "child") == 0
    assert Run(tmp_path / "child").config.heads == ("half", "half")


ODD = ("robots, before", "a=b", "a=b, c", "1,2", "-x", "--out", "it's <b>&", "猫,犬", "a:1")


def test_heads_of_any_name_are_blended_renamed_and_removed(tmp_path):
    small, out = write_small_checkpoint(tmp_path / "small", tasks=ODD), tmp_path / "mine"
    recipe = ",".join(f"{name}=1" for name in ODD)
    words = [
        "--add",
        "x=1, y",
        recipe,
        "--rename",
        "x=1, y",
        "-y, z=2",
        "--add",
        " -w",
        " -y, z=2=3",
    ]
    for name in ODD:
        words += ["--remove", f" {name}" if name.startswith("-") else name]
    words += ["--rename", " -y, z=2", "y"]
    assert ganlab("heads", small, *words, "--out", out) == 0
    assert heads_of(out) == ["y", "-w"]
    weights = Run(out).about["edits"][0]["weights"]
    assert weights == dict.fromkeys(ODD, pytest.approx(1 / len(ODD)))


@pytest.mark.parametrize("name", ODD)
def test_the_command_in_the_card_of_a_download_works(tmp_path, name):
    small, out = write_small_checkpoint(tmp_path / "small", tasks=("z", name)), tmp_path / "mine"
    assert ganlab("heads", small, "--rename", "z", "y", "--out", out) == 0
    path = export(Run(out), tmp_path / "zips")
    with zipfile.ZipFile(path) as archive:
        card = archive.read("README.md").decode()
    (line,) = (line for line in card.splitlines() if " ganlab heads " in line)
    words = [str(path) if word == "THIS.zip" else word for word in shlex.split(line)[3:]]
    words[words.index("more")] = str(tmp_path / "more")
    assert ganlab(*words) == 0
    assert heads_of(tmp_path / "more") == ["y", "another name"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say what to edit: --add NAME HEAD=SHARE,…, --rename OLD NEW, --remove NAME"),
        (["--add", "half", "z=1"], "--add half: 'z=1' does not name a part and its share"),
        (["--add", "half", "a=0"], "--add half: give at least one a share above zero"),
        (["--add", "half", "a=-1,b=2"], "from 0 upwards"),
        (["--add", "a", "b=1"], "There is a head 'a' already"),
        (["--remove", "a", "--remove", "b"], "'b' is the only head"),
        (["--rename", "a", ""], "needs a name"),
        (["--rename", "z", "y"], "There is no head 'z': choose one of a, b"),
        (["--add", "h", "a=x"], "--add h: the share of a is 'x': give a number"),
        (["--add", "h", "a:1"], "--add h: 'a:1' does not name a part and its share: write a=0.5,"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_said_in_a_line_and_nothing_is_written(
    small, tmp_path, capfd, words, message
):
    assert ganlab("heads", small, *words, "--out", tmp_path / "mine") == 2
    error = capfd.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("words", [["--add", "half"], ["--rename", "a"], ["--remove"]])
def test_what_cannot_be_read_is_refused_with_the_form(small, tmp_path, capfd, words):
    with pytest.raises(SystemExit):
        ganlab("heads", small, *words, "--out", tmp_path / "mine")
    assert "expected" in capfd.readouterr().err


def test_a_folder_with_something_in_it_is_left_alone(small, capfd):
    assert ganlab("heads", small, "--add", "half", "a=1,b=1", "--out", small) == 2
    assert "is not empty" in capfd.readouterr().err
