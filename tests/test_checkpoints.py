"""Checkpoints as folders and zips: what was written is read, and nothing else is."""

import json
import pickle
import random
import struct
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from ganlab import checkpoints, sampling
from ganlab.checkpoints import (
    CheckpointError,
    load_generator,
    restore_generator,
    state_bytes,
    write_checkpoint,
    zip_checkpoint,
)
from ganlab.config import ModelConfig
from ganlab.models import build_generator

CONFIG = ModelConfig("multihead", 32, 3, ("cats", "dogs"), 8, 8, head_depth=1)
ABOUT = {"lineage": {"data": "Zoë's zoo", "steps": 7}}


def trained(config: ModelConfig = CONFIG) -> nn.Module:
    """A generator that differs from a fresh one in every parameter and buffer."""
    torch.manual_seed(1)
    generator = build_generator(config).eval()
    with torch.no_grad():
        for tensor in generator.state_dict().values():
            tensor.copy_(torch.rand(tensor.shape) + 0.1)
    return generator


@pytest.fixture(scope="module")
def generator() -> nn.Module:
    return trained()


@pytest.fixture(params=["folder", "zip"])
def write(request, tmp_path, generator):
    """Writes a checkpoint, with some of its parts replaced or (None) left out."""

    def written(files: dict[str, bytes | None] | None = None, **model_json) -> Path:
        source = tmp_path / ("model" if request.param == "folder" else "model.zip")
        about = {"format": 1, "model": asdict(CONFIG), **ABOUT, **model_json}
        parts = {
            "model.json": json.dumps(about).encode(),
            "generator.safetensors": state_bytes(generator),
            "README.md": b"A card.",
            **(files or {}),
        }
        kept = {name: content for name, content in parts.items() if content is not None}
        if request.param == "folder":
            source.mkdir(exist_ok=True)
            for name, content in kept.items():
                (source / name).write_bytes(content)
        else:
            with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, content in kept.items():
                    archive.writestr(name, content)
        return source

    return written


def pictures(generator: nn.Module):
    return sampling.sample(generator, sampling.latents(4, 8, 0), torch.arange(4) % 2)


# What is shipped ----------------------------------------------------------------------------


def test_checkpoints_are_the_folders_that_hold_a_model(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path)
    assert checkpoints.shipped() == []
    for name in ("b", "a"):
        write_checkpoint(tmp_path / name, CONFIG, {}, ABOUT)
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "model.safetensors").write_bytes(b"of a network that draws nothing")
    (tmp_path / "model.json").write_text("{}")
    assert checkpoints.shipped() == [tmp_path / "a", tmp_path / "b"]


def test_every_shipped_checkpoint_can_be_opened():
    for folder in checkpoints.shipped():
        generator, config, about = load_generator(folder)
        assert generator.n_tasks == len(config.tasks)
        assert set(about["metrics"]) == set(config.tasks)


def test_a_model_from_before_z_reached_every_block_still_loads(write, generator):
    model = asdict(CONFIG)
    for name in ("z_in_blocks", "full_size_width"):
        del model[name]
    loaded, config, _ = load_generator(write(model=model))
    assert config == CONFIG
    assert loaded.styles is None
    assert (pictures(loaded) == pictures(generator)).all()


# What was written is read -------------------------------------------------------------------


@pytest.mark.parametrize("writer", [write_checkpoint, zip_checkpoint])
def test_a_checkpoint_gives_back_the_generator_its_config_and_its_story(
    tmp_path, generator, writer
):
    files = {"generator.safetensors": state_bytes(generator), "preview.jpg": b"JPEG"}
    source = tmp_path / "model.zip"
    writer(source, CONFIG, files, ABOUT)
    restored, config, about = load_generator(source)
    assert config == CONFIG
    assert about["lineage"] == ABOUT["lineage"]
    before = generator.state_dict()
    assert before.keys() == restored.state_dict().keys()
    assert all(torch.equal(value, before[key]) for key, value in restored.state_dict().items())
    assert (pictures(restored) == pictures(generator)).all()


def test_folder_and_zip_hold_the_same(tmp_path, generator):
    files = {"generator.safetensors": state_bytes(generator), "README.md": b"A card."}
    write_checkpoint(tmp_path / "model", CONFIG, files, ABOUT)
    zip_checkpoint(tmp_path / "model.zip", CONFIG, files, ABOUT)
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        assert archive.testzip() is None
        zipped = {name: archive.read(name) for name in archive.namelist()}
    in_folder = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    assert zipped.keys() == in_folder.keys() == {*files, "model.json"}
    for name in files:
        assert zipped[name] == in_folder[name] == files[name]
    assert json.loads(zipped["model.json"]) == json.loads(in_folder["model.json"])


def test_a_restored_generator_is_ready_to_sample_and_not_to_train(write):
    generator, _, _ = load_generator(write())
    assert not generator.training
    assert not any(parameter.requires_grad for parameter in generator.parameters())


def test_reading_leaves_the_dice_of_everyone_else_alone(write):
    source, before = write(), torch.random.get_rng_state()
    load_generator(source)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_config_and_a_file_of_weights_are_enough(tmp_path, generator):
    (tmp_path / "generator.safetensors").write_bytes(state_bytes(generator))
    restored = restore_generator(CONFIG, tmp_path)
    assert (pictures(restored) == pictures(generator)).all()


@pytest.mark.parametrize("architecture", ["dcgan", "mlp"])
def test_the_classics_are_restored_as_well(tmp_path, architecture):
    config = replace(CONFIG, architecture=architecture, tasks=("all",))
    generator = trained(config)
    zip_checkpoint(
        tmp_path / "a.zip", config, {"generator.safetensors": state_bytes(generator)}, {}
    )
    restored, _, _ = load_generator(tmp_path / "a.zip")
    before = generator.state_dict()
    assert all(torch.equal(value, before[key]) for key, value in restored.state_dict().items())


def test_weights_of_half_precision_are_restored_in_full(write, generator):
    halves = {key: value.half() for key, value in generator.state_dict().items()}
    restored, _, _ = load_generator(write({"generator.safetensors": save(halves)}))
    assert {parameter.dtype for parameter in restored.parameters()} == {torch.float32}
    assert abs(pictures(restored).astype(int) - pictures(generator)).mean() < 2


def test_the_layout_in_memory_does_not_leak_into_the_file(generator):
    other = trained().to(memory_format=torch.channels_last)
    one, two = load(state_bytes(generator)), load(state_bytes(other))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert state_bytes(generator) == state_bytes(other)


# Nothing else is ----------------------------------------------------------------------------


def refused(source: Path, *words: str) -> None:
    with pytest.raises(CheckpointError) as error:
        load_generator(source)
    message = str(error.value)
    assert source.name in message
    for word in words:
        assert word in message


def test_a_missing_part_is_named(write):
    refused(write({"generator.safetensors": None}), "holds no generator.safetensors")


def test_a_missing_model_json_is_named(write):
    refused(write({"model.json": None}), "holds no model.json", "not a ganlab model")


def test_a_renamed_part_is_not_found(write, generator):
    parts = {"generator.safetensors": None, "weights.safetensors": state_bytes(generator)}
    refused(write(parts), "holds no generator.safetensors")


def test_something_else_than_a_zip_is_refused(tmp_path):
    for content in (b"", b"not a zip", b"\x89PNG\r\n\x1a\n" + bytes(100)):
        (tmp_path / "a.zip").write_bytes(content)
        refused(tmp_path / "a.zip", "cannot be read")


def test_what_does_not_exist_is_refused(tmp_path):
    refused(tmp_path / "nowhere.zip")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_truncated_weights_are_refused(write, generator, share):
    content = state_bytes(generator)
    part = content[: int(share * len(content))]
    refused(write({"generator.safetensors": part}), "generator.safetensors", "damaged")


def test_weights_of_another_shape_are_refused(write):
    for changes in ({"width": 16}, {"tasks": ("cats",)}, {"size": 64}, {"channels": 1}):
        other = state_bytes(build_generator(replace(CONFIG, **changes)))
        refused(write({"generator.safetensors": other}), "weights and model.json differ")


def test_a_tensor_too_many_or_too_few_is_refused(write, generator):
    state = {key: value.contiguous() for key, value in generator.state_dict().items()}
    more = save({**state, "extra": torch.zeros(1)})
    refused(write({"generator.safetensors": more}), "differ", "extra")
    state.pop("start.weight")
    refused(write({"generator.safetensors": save(state)}), "differ", "start.weight")


def test_weights_that_are_no_fractions_are_refused(write, generator):
    state = {key: value.to(torch.int32) for key, value in generator.state_dict().items()}
    refused(write({"generator.safetensors": save(state)}), "differ")


@pytest.mark.parametrize("number", [0, 2, "1", None])
def test_another_format_is_named(write, number):
    refused(write(format=number), f"has format {number}, this version reads 1")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[]",
        b'"text"',
        b"1",
        b"null",
        b"{}",
        b'{"format": 1}',
        b'{"format": 1, "model": 5}',
        b'{"format": 1, "model": {}}',
        b'{"format": 1, "model": {"tasks": ["a"]}}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_model_json_is_refused(write, content):
    refused(write({"model.json": content}), "model.json is damaged")


@pytest.mark.parametrize(
    "changes",
    [
        {"size": "64"},
        {"size": 2**40},
        {"width": -8},
        {"width": 10**12},
        {"channels": 2.5},
        {"architecture": "transformer"},
        {"tasks": []},
        {"surprise": 1},
    ],
)
def test_a_model_that_cannot_be_built_is_refused(write, changes):
    refused(write(model={**asdict(CONFIG), **changes}), "model.json is damaged")


def test_more_tasks_than_there_are_weights_for_cost_no_memory(write, monkeypatch):
    tasks = [str(i) for i in range(100_000)]  # heads of 200 MB in all, in a small file
    made = []
    monkeypatch.setattr(nn.Parameter, "__new__", watched(nn.Parameter.__new__, made))
    refused(write(model={**asdict(CONFIG), "tasks": tasks}), "weights and model.json differ")
    assert max(parameter.numel() for parameter in made) > 10_000_000
    assert all(parameter.is_meta or parameter.numel() < 10_000 for parameter in made)


def watched(make, made: list):
    def new(cls, *args, **kwargs):
        made.append(make(cls, *args, **kwargs))
        return made[-1]

    return new


def test_parts_that_are_too_large_are_refused_unread(write, monkeypatch):
    source = write()
    monkeypatch.setattr(checkpoints, "MAX_TENSOR_BYTES", 1000)
    refused(source, "generator.safetensors", "larger than 1,000 bytes")
    monkeypatch.setattr(checkpoints, "MAX_JSON_BYTES", 10)
    refused(source, "model.json", "larger than 10 bytes")


def test_a_zip_that_unpacks_to_far_more_than_it_promises_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "MAX_TENSOR_BYTES", 100_000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.json", json.dumps({"format": 1, "model": asdict(CONFIG)}))
        archive.writestr("generator.safetensors", bytes(50_000_000))
    refused(tmp_path / "a.zip", "larger than 100,000 bytes")


def test_an_encrypted_zip_is_refused(tmp_path, generator):
    path = tmp_path / "a.zip"
    zip_checkpoint(path, CONFIG, {"generator.safetensors": state_bytes(generator)}, {})
    content = bytearray(path.read_bytes())
    local, central = content.index(b"PK\x03\x04"), content.index(b"PK\x01\x02")
    content[local + 6] |= 1  # "this member is encrypted", in both of its headers
    content[central + 8] |= 1
    path.write_bytes(bytes(content))
    refused(path, "cannot be read")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_damaged_anywhere_is_refused_or_still_right(tmp_path, generator, method):
    path = tmp_path / "a.zip"
    weights = state_bytes(generator)
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("model.json", json.dumps({"format": 1, "model": asdict(CONFIG)}))
        archive.writestr("generator.safetensors", weights)
    whole = path.read_bytes()
    dice = random.Random(0)
    outcomes = set()
    for trial in range(150):
        content = bytearray(whole)
        if trial % 3 == 0:
            content = content[: dice.randrange(len(content))]
        else:  # near the ends are the headers
            near = dice.randrange(200) if trial % 3 == 1 else -1 - dice.randrange(200)
            content[near] = dice.randrange(256)
        path.write_bytes(bytes(content))
        try:
            restored, _, _ = load_generator(path)
        except CheckpointError as error:
            outcomes.add("refused")
            assert str(error)
        else:
            outcomes.add("right")
            assert state_bytes(restored) == weights
    assert outcomes == {"refused", "right"}


def test_a_pickle_is_never_opened(write, monkeypatch):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was opened",))

    trap = pickle.dumps(Trap())
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch.load was called"))
    refused(write({"generator.safetensors": trap}), "damaged")
    refused(write({"model.json": trap}), "damaged")
    with pytest.raises(BaseException, match="a pickle was opened"):
        pickle.loads(trap)


def test_a_safetensors_header_that_lies_about_its_length_is_refused(write):
    lie = struct.pack("<Q", 2**62) + b"{}"
    refused(write({"generator.safetensors": lie}), "damaged")


def test_nothing_is_unpacked_wherever_a_zip_says_it_belongs(tmp_path, generator):
    (tmp_path / "inner").mkdir()
    path = tmp_path / "inner" / "a.zip"
    files = {"generator.safetensors": state_bytes(generator), "../escaped.txt": b"x"}
    zip_checkpoint(path, CONFIG, files, {})
    load_generator(path)
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == [path]
