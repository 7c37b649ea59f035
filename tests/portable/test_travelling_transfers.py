"""Transfers that travel with their pictures and their source."""

import json
import shutil
import zipfile
from dataclasses import replace

import pytest
from conftest import drawings
from sources import small_source, tiny_transfer

from ganlab import portable, transfer
from ganlab.checkpoints import CheckpointError
from ganlab.export import export
from ganlab.perform import perform
from ganlab.portable import open_run
from ganlab.runs import new_id
from ganlab.source import source_of_run, write_source
from portable.packed import files


@pytest.fixture
def transferred(tmp_path, dataset):
    """A finished transfer of two tasks."""
    run, _ = transfer.create(tiny_transfer(), dataset, small_source(), path=tmp_path / new_id())
    perform(run)
    return run


def test_a_transfer_travels_with_its_pictures_and_its_source(transferred, tmp_path):
    (transferred.path / "source" / ".generator.safetensors.1234").write_bytes(b"half of a file")
    new, _ = open_run(export(transferred, tmp_path / "y"), runs=tmp_path / "there")
    for name in ("data", "source"):
        kept = {k: v for k, v in files(transferred.path / name).items() if not k.startswith(".")}
        assert len(kept) >= 3
        assert files(new.path / name) == kept
    for run in (transferred, new):
        run.describe(config={**run.about["config"], "steps": 15})
        run.move("queued")
        perform(run)
    first, second = (files(run.snapshot()) for run in (transferred, new))
    assert first["generator.safetensors"] == second["generator.safetensors"]


def test_a_task_with_a_long_name_travels(tmp_path):
    name = "n" * 80
    pictures = drawings(("discs",), 12)
    pictures = replace(pictures, tasks=(name,))
    run, _ = transfer.create(tiny_transfer(), pictures, small_source(), path=tmp_path / "transfer")
    perform(run)
    new, _ = open_run(export(run, tmp_path / "y"), runs=tmp_path / "there")
    assert new.config.tasks == (name,) and len(files(new.path / "data")) == 13


@pytest.mark.parametrize("what", ["again", "other path", "elsewhere", "size"])
def test_a_list_of_pictures_that_would_fill_the_memory_is_refused(transferred, tmp_path, what):
    manifest = transferred.path / "data" / "manifest.json"
    values = json.loads(manifest.read_text())
    first = values["pictures"][0]
    more = {
        "again": [first] * 3,
        "other path": [{**first, "file": f"./{first['file']}"}],
        "elsewhere": [{**first, "file": "nowhere.png"}],
        "size": [],
    }[what]
    values["pictures"] += more
    if what == "size":
        values["size"] = 20_000
    manifest.write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=r"and the pictures differ|of another size"):
        open_run(export(transferred, tmp_path / "y"), runs=tmp_path / "there")


def test_a_transfer_with_more_heads_than_tasks_is_refused(transferred, tmp_path):
    about = transferred.about
    transferred.describe(config={**about["config"], "heads": ["a"]})
    with pytest.raises(CheckpointError, match="not one head for each task"):
        open_run(export(transferred, tmp_path / "y"), runs=tmp_path / "there")


def test_a_download_names_no_run_that_could_be_watched(transferred, tmp_path):
    child, _ = transfer.create(
        tiny_transfer(source=transferred.id, heads=()),
        drawings(("discs",), 12),
        source_of_run(transferred),
        path=tmp_path / "child",
    )
    perform(child)
    packed = export(child, tmp_path / "y")
    assert transferred.id in json.dumps(child.about)
    with zipfile.ZipFile(packed) as archive:
        for name in archive.namelist():
            assert transferred.id.encode() not in archive.read(name), name
    new, _ = open_run(packed, runs=tmp_path / "there")
    assert new.config.source == portable.fingerprint(transferred.id)


def test_a_transfer_without_its_pictures_is_refused(transferred, tmp_path):
    shutil.rmtree(transferred.path / "data")
    packed = export(transferred, tmp_path / "y")
    with pytest.raises(CheckpointError, match="the folder data, which is missing"):
        open_run(packed, runs=tmp_path / "there")


def test_a_transfer_from_another_source_than_it_says_is_refused(transferred, tmp_path):
    write_source(small_source(mapping_layers=2), transferred.path)
    packed = export(transferred, tmp_path / "y")
    with pytest.raises(CheckpointError, match="leads to another network"):
        open_run(packed, runs=tmp_path / "there")
