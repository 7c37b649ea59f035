"""`python -m ganlab export`, as a shell uses it."""

import json
import zipfile

import onnxruntime
import pytest
from safetensors import safe_open

from ganlab.__main__ import main
from ganlab.config import ModelConfig


def ganlab(*words: object) -> int:
    return main([str(word) for word in words])


def test_the_ending_says_what_is_written(shelf, tmp_path, capfd):
    for ending in ("onnx", "safetensors", "zip"):
        out = tmp_path / "made" / f"small.{ending}"
        assert ganlab("export", shelf / "small", "--out", out) == 0
        assert f"{ending}, " in capfd.readouterr().out
    session = onnxruntime.InferenceSession(tmp_path / "made" / "small.onnx")
    assert json.loads(session.get_modelmeta().custom_metadata_map["tasks"]) == ["a", "b"]
    with safe_open(tmp_path / "made" / "small.safetensors", "pt") as file:
        assert ModelConfig.from_dict(json.loads(file.metadata()["model"])).tasks == ("a", "b")
    with zipfile.ZipFile(tmp_path / "made" / "small.zip") as archive:
        assert {"model.json", "generator.safetensors"} <= set(archive.namelist())
    assert {path.suffix for path in (tmp_path / "made").iterdir()} == {
        ".onnx", ".safetensors", ".zip",
    }  # fmt: skip


def test_a_format_may_be_named(shelf, tmp_path):
    out = tmp_path / "generator.bin"
    assert ganlab("export", shelf / "grey", "--format", "safetensors", "--out", out) == 0
    with safe_open(out, "pt") as file:
        assert "start.weight" in file.keys()  # noqa: SIM118 (it is no dict)


@pytest.mark.parametrize(
    ("source", "out", "said"),
    [
        ("small", "x.tar", "one of the endings .onnx, .safetensors, .zip"),
        ("nothing", "x.onnx", "neither"),
        ("small/model.json", "x.zip", "a file already"),
        ("small", "", "name a file"),
    ],
)
def test_what_cannot_be_is_said(shelf, tmp_path, capfd, source, out, said):
    words = ["export", shelf / source, "--out", tmp_path / out]
    assert ganlab(*words, *([] if out else ["--format", "zip"])) == 2
    assert said in capfd.readouterr().err
