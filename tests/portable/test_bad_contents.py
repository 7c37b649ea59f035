"""Runs that are refused for their pictures or their weights."""

import io

import pytest
import torch
from PIL import Image
from safetensors.torch import load, save

from ganlab.portable import open_run
from portable.packed import refused


def picture(kind: str, size: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"<script>", picture("PNG", (8, 8)), picture("JPEG", (8, 8))[:200],
     picture("JPEG", (9000, 9000))],
    ids=["empty", "html", "png", "cut", "huge"],
)  # fmt: skip
def test_grids_that_are_no_jpegs_of_sane_size_are_refused(damaged, tmp_path, content):
    path = damaged({"run/samples/000002.jpg": content})
    refused(path, tmp_path / "there", "000002.jpg")


@pytest.mark.parametrize(
    "content", [b"", picture("JPEG", (8, 8)), picture("PNG", (65, 8))], ids=["empty", "jpeg", "big"]
)
def test_pictures_that_no_run_keeps_are_refused(damaged, tmp_path, content):
    path = damaged({"run/data/a/000002.png": content, "run/data/manifest.json": b"{}"})
    refused(path, tmp_path / "there", "000002.png")


def test_pictures_without_their_manifest_are_refused(damaged, tmp_path):
    path = damaged({"run/data/1.png": picture("PNG", (8, 8))})
    refused(path, tmp_path / "there", "data/manifest.json is missing")
    path = damaged({"run/data/manifest.json": b'{"pictures": [NaN]}'})
    refused(path, tmp_path / "there", "data/manifest.json is damaged")


TRAINING = "run/snapshots/000003/training.safetensors"


def without(tensors: dict, name: str) -> dict:
    return {key: value for key, value in tensors.items() if key != name}


def first(tensors: dict, start: str) -> str:
    return next(name for name in sorted(tensors) if name.startswith(start))


TAMPERED = {
    "no rng": lambda t: without(t, "rng"),
    "short rng": lambda t: {**t, "rng": t["rng"][:100].clone()},
    "another rng": lambda t: {**t, "rng": torch.full_like(t["rng"], 255)},
    "no counts": lambda t: without(t, "counts"),
    "counts of another step": lambda t: {**t, "counts": t["counts"] + 1},
    "counts that are none": lambda t: {**t, "counts": t["counts"] * float("nan")},
    "no generator": lambda t: without(t, first(t, "generator/")),
    "a flat generator": lambda t: {
        **t, first(t, "generator/"): t[first(t, "generator/")].flatten()[:1].clone()
    },
    "a long discriminator": lambda t: {**t, first(t, "discriminator/"): torch.zeros(10**6)},
    "an endless generator": lambda t: {
        **t, first(t, "generator/"): t[first(t, "generator/")] * float("inf")
    },
    "half precision": lambda t: {**t, first(t, "generator/"): t[first(t, "generator/")].half()},
    "half an optimiser": lambda t: without(t, first(t, "opt_g/0/exp_avg")),
    "a long optimiser": lambda t: {**t, "opt_d/0/exp_avg": torch.zeros(10**6)},
    "too many parameters": lambda t: {**t, "opt_g/999/exp_avg": torch.zeros(1)},
    "an odd parameter": lambda t: {**t, "opt_g/x/y/z": torch.zeros(1)},
    "something else": lambda t: {**t, "evil": torch.zeros(1)},
    "a large file": lambda t: {**t, "evil": torch.zeros(4 * 10**6)},
}  # fmt: skip


@pytest.mark.parametrize("tamper", TAMPERED.values(), ids=TAMPERED)
def test_a_training_state_that_was_tampered_with_is_refused(damaged, parts, tmp_path, tamper):
    content = save(tamper(load(parts[TRAINING])))
    refused(damaged({TRAINING: content}), tmp_path / "there")


@pytest.mark.parametrize("name", ["generator.safetensors", TRAINING])
@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 8, b"\x02" + b"\0" * 7 + b"{}", b"\x80\x04pickle"], ids=repr
)
def test_weights_of_another_kind_are_refused(damaged, tmp_path, name, content):
    refused(damaged({name: content}), tmp_path / "there")


def test_a_generator_that_is_no_longer_finite_is_refused(damaged, parts, tmp_path):
    tensors = {k: v * float("nan") for k, v in load(parts["generator.safetensors"]).items()}
    path = damaged({"generator.safetensors": save(tensors)})
    refused(path, tmp_path / "there", "no longer finite")


def test_a_source_of_another_network_is_refused(damaged, parts, tmp_path):
    source = {f"run/source/{name}": parts[name] for name in ("model.json", "generator.safetensors")}
    open_run(damaged(source), runs=tmp_path / "fine")
    tensors = load(parts["generator.safetensors"])
    lacking = save(without(tensors, first(tensors, "")))
    refused(damaged({**source, "run/source/generator.safetensors": lacking}), tmp_path / "there")
    other = {**source, "run/source/discriminator.safetensors": parts["generator.safetensors"]}
    refused(damaged(other), tmp_path / "there", "discriminator")


def test_more_snapshots_than_a_run_keeps_are_refused(damaged, parts, tmp_path):
    more = {
        f"run/snapshots/{step:06d}/generator.safetensors": parts["generator.safetensors"]
        for step in range(10, 40)
    }
    refused(damaged(more), tmp_path / "there", "more snapshots")
