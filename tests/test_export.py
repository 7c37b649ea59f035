"""What a visitor takes home: a zip that samples anywhere, tells its story, and no secret."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tiny
from PIL import Image

from ganlab import portable, sampling
from ganlab.checkpoints import load_generator
from ganlab.config import ModelConfig
from ganlab.data.catalog import CATALOG
from ganlab.export import download_name, export, open_model
from ganlab.paths import runs_dir
from ganlab.perform import perform
from ganlab.runs import Run


@pytest.fixture
def run(made_once, new_run, picture_folder) -> Run:
    """A finished run of 20 steps with two tasks."""

    def train() -> Path:
        run = new_run(data=str(picture_folder))
        perform(run)
        return run.path

    return Run(made_once("exported", train))


def pictures(generator, model: ModelConfig, n: int = 8) -> np.ndarray:
    tasks = sampling.spread_tasks(n, len(model.tasks))
    return sampling.sample(generator, sampling.latents(n, model.z_dim, 1), tasks)


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


# The zip --------------------------------------------------------------------------------------


def test_an_exported_zip_draws_what_the_runs_snapshot_draws(run, tmp_path):
    expected = pictures(*open_model(str(run.path)))
    generator, model, _ = load_generator(export(run, tmp_path / "exports"))
    np.testing.assert_array_equal(pictures(generator, model), expected)
    assert model == ModelConfig.from_dict(run.about["model"])
    assert model.tasks == ("discs", "squares")


def test_a_zip_holds_weights_shape_preview_and_card(run, tmp_path):
    inside = members(export(run, tmp_path))
    at_the_top = {name for name in inside if not name.startswith("run/")}
    weights = {"generator.safetensors", "discriminator.safetensors"}
    assert at_the_top == weights | {"model.json", "preview.jpg", "README.md"}
    assert (
        inside["generator.safetensors"] == (run.snapshot() / "generator.safetensors").read_bytes()
    )
    assert inside["preview.jpg"] == run.grid(20)


def test_a_branch_tells_where_it_comes_from(run, tmp_path):
    new, _ = run.branch(tiny(data=run.config.data, steps=22), runs_dir(), 20)
    perform(new)
    path = export(new, tmp_path)
    before = portable.fingerprint(run.id)
    origin = {"run": before, "step": 20}
    assert load_generator(path)[2]["lineage"]["goes_on_from"] == origin
    card = members(path)["README.md"].decode()
    assert f"Goes on from: run {before} at its step 20" in card
    assert "The same settings from nothing:" in card
    whole = members(export(run, tmp_path))["README.md"].decode()
    assert "Goes on from" not in whole and "The same training again:" in whole


def test_the_best_snapshot_is_exported_with_its_own_preview_and_time(run, tmp_path):
    run.log_quality({"step": 20, "seconds": 0.625, "kid": 1.0})
    run.describe(config=run.config.with_more_budget().to_dict())
    run.move("queued")
    perform(run)
    assert run.snapshot_steps() == [20, 30]
    assert run.status.seconds != 0.625
    path = export(run, tmp_path)
    inside = members(path)
    assert path.name == download_name(run) == "ganlab-pictures-step20.zip"
    weights = (run.snapshot(20) / "generator.safetensors").read_bytes()
    assert inside["generator.safetensors"] == weights
    assert inside["preview.jpg"] == run.grid(20)
    lineage = load_generator(path)[2]["lineage"]
    assert (lineage["step"], lineage["seconds"]) == (20, 0.625)
    assert "Trained: 20 steps in 1 s (256 pictures/s)" in inside["README.md"].decode()
    np.testing.assert_array_equal(
        pictures(*open_model(str(run.path))), pictures(*open_model(str(run.path), step=20))
    )


def test_an_unmeasured_run_gives_its_newest_snapshot_and_a_preview_that_is_not_younger(
    run, tmp_path
):
    run.save_grid(25, b"of a snapshot that was never made")
    assert members(export(run, tmp_path))["preview.jpg"] == run.grid(20)
    run.describe(config=run.config.with_more_budget().to_dict())
    run.move("queued")
    perform(run)
    path = export(run, tmp_path)
    assert "step30" in path.name
    assert members(path)["preview.jpg"] == run.grid(30)


def test_the_model_tells_where_it_comes_from(run, tmp_path):
    _, _, about = load_generator(export(run, tmp_path))
    lineage = about["lineage"]
    assert lineage["trained_with"] == run.config.to_dict()
    assert lineage["data"]["tasks"] == {"discs": 8, "squares": 8}
    assert lineage["step"] == 20
    assert lineage["seconds"] == run.status.seconds
    assert lineage["versions"]["torch"] == torch.__version__


def test_the_card_tells_people_data_licence_speed_and_how_to_do_it_again(run, tmp_path):
    card = members(export(run, tmp_path))["README.md"].decode()
    assert "![samples](preview.jpg)" in card
    assert "Data: pictures, 16 pictures" in card
    assert "Tasks: discs, squares" in card
    assert "Licence of the data: The pictures' own; ask whoever provided them." in card
    assert "Preset: quick; changed: " in card and "width 8" in card
    assert "Trained: 20 steps in " in card
    assert run.config.command() in card
    assert "python -m ganlab sample" in card
    assert "python -m ganlab open" in card


@pytest.mark.parametrize("name", ["fashion", "emoji"])
def test_the_licence_of_bundled_pictures_goes_with_the_model(new_run, tmp_path, name):
    run = new_run(data=name, tasks=CATALOG[name].tasks[:1], size=32, steps=1)
    perform(run)
    path = export(run, tmp_path)
    assert CATALOG[name].licence in members(path)["README.md"].decode()
    assert load_generator(path)[2]["lineage"]["data_licence"] == CATALOG[name].licence


def test_no_token_leaves_with_the_model(picture_folder, tmp_path):
    run, token = Run.create(tiny(data=str(picture_folder)), runs=tmp_path / "runs")
    perform(run)
    path = export(run, tmp_path)
    hashed = json.loads((run.path / "owner.json").read_text())["token_sha256"]
    assert len(hashed) == 64
    for content in (path.read_bytes(), *members(path).values()):
        assert token.encode() not in content
        assert hashed.encode() not in content
        assert run.id.encode() not in content  # with which anybody could watch it


def test_a_run_without_a_snapshot_has_nothing_to_take_home(new_run, tmp_path):
    with pytest.raises(ValueError, match="this run has no snapshot yet"):
        export(new_run(), tmp_path / "exports")
    assert not (tmp_path / "exports").exists()


def test_a_run_that_is_deleted_meanwhile_says_so(run, tmp_path, monkeypatch):
    add = portable.add

    def add_and_delete(archive, name, content) -> None:
        add(archive, name, content)
        shutil.rmtree(run.path, ignore_errors=True)

    monkeypatch.setattr(portable, "add", add_and_delete)
    with pytest.raises(ValueError, match="this run has just been deleted"):
        export(run, tmp_path / "exports")
    assert not [*(tmp_path / "exports").glob("*")]


@pytest.mark.parametrize("preset", ["dcgan", "mlp"])
def test_the_classics_can_be_taken_home_as_well(new_run, picture_folder, tmp_path, preset):
    run = new_run(preset, data=str(picture_folder), steps=2)
    perform(run)
    generator, model, _ = load_generator(export(run, tmp_path))
    assert model.tasks == ("discs + squares",)
    np.testing.assert_array_equal(pictures(generator, model), pictures(*open_model(str(run.path))))


# Its name -------------------------------------------------------------------------------------


def test_the_name_tells_data_tasks_and_step(run, new_run, picture_folder):
    assert download_name(run) == "ganlab-pictures-step20.zip"
    one = new_run(data=str(picture_folder), tasks=("squares",), steps=2)
    perform(one)
    assert download_name(one) == "ganlab-pictures-squares-step2.zip"


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd", "a\\b", 'x"; filename="evil.exe', "CON", "a\nb\r\nSet-Cookie: c=d",
        "\0", "..", "", ".hidden", "-rf *", "<script>", "n" * 300, "猫" * 300, "aux.", "a:b|c?*",
    ],
    ids=ascii,
)  # fmt: skip
def test_names_are_safe_whatever_data_and_tasks_are_called(new_run, tmp_path, name):
    run = new_run(data=name or "x", tasks=(name, name))
    run.save_snapshot(7, b"", b"")
    text = download_name(run)
    assert text.startswith("ganlab-")
    assert text.endswith("-step7.zip")
    assert all(c.isalnum() or c in "-_" for c in text.removesuffix(".zip"))
    assert len(text.encode()) <= 255
    (tmp_path / text).write_bytes(b"")  # in this folder and no other
    assert [file.name for file in tmp_path.glob("*.zip")] == [text]


# Opening --------------------------------------------------------------------------------------


def test_a_model_is_opened_by_folder_by_id_or_as_a_zip(picture_folder, home, tmp_path):
    run, _ = Run.create(tiny(data=str(picture_folder)), runs=runs_dir())
    perform(run)
    zipped = export(run, tmp_path)
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(zipped) as archive:
        archive.extractall(unpacked)
    expected = pictures(*open_model(str(run.path)))
    for source in (run.id, str(zipped), str(unpacked)):
        np.testing.assert_array_equal(pictures(*open_model(source)), expected)


def test_any_snapshot_of_a_run_can_be_opened(run):
    first = pictures(*open_model(str(run.path)))
    run.describe(config=run.config.with_more_budget().to_dict())
    run.move("queued")
    perform(run)
    assert (pictures(*open_model(str(run.path))) != first).any()
    np.testing.assert_array_equal(pictures(*open_model(str(run.path), step=20)), first)
    with pytest.raises(ValueError, match="there is no snapshot at step 21"):
        open_model(str(run.path), step=21)


@pytest.mark.parametrize("source", ["nowhere", "a" * 16, "../runs/nowhere"])
def test_what_is_not_there_cannot_be_opened(home, source):
    with pytest.raises(ValueError, match="is neither a run's id nor a folder or zip that exists"):
        open_model(source)


def test_a_run_without_a_snapshot_cannot_be_opened(new_run):
    with pytest.raises(ValueError, match="this run has no snapshot yet"):
        open_model(str(new_run().path))


def test_a_preview_is_a_picture_that_others_can_open(run, tmp_path):
    path = export(run, tmp_path)
    with zipfile.ZipFile(path) as archive, Image.open(archive.open("preview.jpg")) as picture:
        assert picture.size == (8 * 32, 2 * 32)  # a row for each task
