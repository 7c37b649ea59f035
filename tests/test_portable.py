"""A run that travels: what a zip of it holds, how it goes on elsewhere, and what is refused."""

import io
import json
import random
import shlex
import shutil
import stat
import struct
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import drawings, tiny
from PIL import Image
from safetensors.torch import load, load_file, save
from sources import small_source, tiny_transfer

from ganlab import kept, portable, transfer, vetting, zips
from ganlab.__main__ import main
from ganlab.checkpoints import CheckpointError, load_generator, state_bytes
from ganlab.config import ModelConfig
from ganlab.estimates import _speeds
from ganlab.export import export, open_model
from ganlab.jobs import Jobs, wait_until_ended
from ganlab.kept import Named
from ganlab.known import NotOwner
from ganlab.models import build_discriminator
from ganlab.perform import perform
from ganlab.portable import open_run
from ganlab.runs import UNDER_WAY, Run, new_id
from ganlab.source import source_of_run, write_source
from ganlab.vectors import to_text

LOOK = {
    "kid": 1.0, "kid_std": 0.1, "samples": 8, "diversity": 0.5, "least_diversity": 0.5,
    "copied": 0.0, "usually_copied": 0.0, "samples_of_task": 4, "kid_of": {"discs": 1.0},
}  # fmt: skip


@pytest.fixture
def run(made_once, new_run, picture_folder) -> Run:
    """A finished run of 6 steps with two tasks."""

    def train() -> Path:
        run = new_run(data=str(picture_folder), steps=6)
        perform(run)
        return run.path

    return Run(made_once("portable", train))


@pytest.fixture
def two_snapshots(run) -> Run:
    """A run whose best snapshot, at step 6, is not its newest, at step 9."""
    run.log_quality({"step": 6, "seconds": 0.5, **LOOK})
    resume(run)
    assert (run.snapshot_steps(), run.best_step()) == ([6, 9], 6)
    return run


def resume(run: Run) -> Run:
    if run.status.state == "finished":
        run.describe(config=run.config.with_more_budget().to_dict())
    run.move("queued")
    perform(run)
    return run


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(path: Path, content: dict[str, bytes], packing: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def weights(run: Run) -> dict[str, torch.Tensor]:
    """All that training changed, but the time it took."""
    tensors = load_file(run.snapshot() / "training.safetensors")
    tensors["counts"] = tensors["counts"][:2]
    averaged = load_file(run.snapshot() / "generator.safetensors")
    return {**tensors, **{f"ema/{name}": tensor for name, tensor in averaged.items()}}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# There and back -------------------------------------------------------------------------------


def test_an_opened_run_is_what_was_downloaded(two_snapshots, tmp_path):
    run = two_snapshots
    new, _ = open_run(export(run, tmp_path / "x"), runs=tmp_path / "there")
    assert (new.config, new.status) == (run.config, run.status)
    assert (new.snapshot_steps(), new.best_step()) == ([6, 9], 6)
    before, after = files(run.path), files(new.path)
    own = {"owner.json", "run.json", ".lock", "status.json"}
    assert {k: v for k, v in before.items() if k not in own} == {
        k: v for k, v in after.items() if k not in own
    }


def test_it_goes_on_to_the_same_bits_as_a_run_that_never_left(run, tmp_path):
    new, _ = open_run(export(run, tmp_path / "x"), runs=tmp_path / "there")
    assert same(weights(resume(new)), weights(resume(run)))
    assert new.status.step == 9
    assert new.about["plan"]["precision"] == "fp32"  # of this machine, as it resumed


def test_a_run_that_left_goes_on_from_its_newest_snapshot_not_its_best(two_snapshots, tmp_path):
    new, _ = open_run(export(two_snapshots, tmp_path / "x"), runs=tmp_path / "there")
    assert same(weights(resume(new)), weights(resume(two_snapshots)))
    assert new.status.step == 13


def test_an_opened_run_can_be_downloaded_and_opened_again(two_snapshots, tmp_path):
    first, _ = open_run(export(two_snapshots, tmp_path / "x"), runs=tmp_path / "there")
    again = export(first, tmp_path / "y")
    second, _ = open_run(again, path=tmp_path / "mine")
    assert same(weights(second), weights(two_snapshots))
    assert second.about["imported"]["run"] == portable.fingerprint(first.id)
    assert (second.metrics(), second.quality()) == (first.metrics(), first.quality())


@pytest.mark.parametrize("preset", ["dcgan", "mlp"])
def test_the_classics_travel_as_well(new_run, picture_folder, tmp_path, preset):
    run = new_run(preset, data=str(picture_folder), steps=2, spectral_norm=preset == "dcgan")
    perform(run)
    new, _ = open_run(export(run, tmp_path / "x"), runs=tmp_path / "there")
    assert same(weights(resume(new)), weights(resume(run)))


def test_a_run_that_was_stopped_before_its_first_step_travels(new_run, picture_folder, tmp_path):
    run = new_run(data=str(picture_folder))
    perform(run, should_stop=iter([False] * 2 + [True] * 9).__next__)
    new, _ = open_run(export(run, tmp_path / "x"), runs=tmp_path / "there")
    assert resume(new).status.step == 20


def test_a_branch_keeps_where_it_comes_from(run, tmp_path):
    branch, _ = run.branch(tiny(data=run.config.data, steps=8), tmp_path / "runs", 6)
    perform(branch)
    new, _ = open_run(export(branch, tmp_path / "x"), runs=tmp_path / "there")
    assert new.about["lineage"] == {"run": portable.fingerprint(run.id), "step": 6}
    assert new.about["versions"] == branch.about["versions"]
    assert new.about["imported"]["step"] == 8
    assert new.about["imported"]["run"] == portable.fingerprint(branch.id)


def test_the_new_run_has_another_id_and_another_owner(picture_folder, tmp_path):
    run, token = Run.create(tiny(data=str(picture_folder), steps=2), runs=tmp_path / "runs")
    perform(run)
    path = export(run, tmp_path / "x")
    one, its_token = open_run(path, runs=tmp_path / "runs")
    other, others_token = open_run(path, runs=tmp_path / "runs")
    assert len({run.id, one.id, other.id}) == len({token, its_token, others_token}) == 3
    assert one.is_owned_by(its_token)
    assert not one.is_owned_by(token) and not one.is_owned_by(others_token)


def test_the_zip_holds_no_secret_no_lock_and_no_path_that_leads_out(run, tmp_path):
    inside = members(export(run, tmp_path))
    step = "run/snapshots/000006"
    grids = {f"run/samples/{grid:06d}.jpg" for grid in run.grid_steps()}
    assert set(inside) == grids | {
        "model.json", "generator.safetensors", "discriminator.safetensors", "preview.jpg",
        "README.md", "run/run.json", "run/status.json", "run/metrics.jsonl", "run/quality.jsonl",
        "run/agreement.jsonl", f"{step}/training.safetensors",
    }  # fmt: skip
    assert "plan" not in json.loads(inside["run/run.json"])


def test_the_best_discriminator_lies_beside_its_generator(two_snapshots, tmp_path):
    inside = members(export(two_snapshots, tmp_path))
    model = ModelConfig.from_dict(two_snapshots.about["model"])
    network = build_discriminator(model)
    network.load_state_dict(load(inside["discriminator.safetensors"]))
    training = load_file(two_snapshots.snapshot(6) / "training.safetensors")
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, training[f"discriminator/{name}"])


def test_a_zip_of_a_run_still_samples_with_its_best_snapshot(two_snapshots, tmp_path):
    path = export(two_snapshots, tmp_path)
    generator, _, _ = load_generator(path)
    assert state_bytes(generator) == state_bytes(open_model(str(two_snapshots.path))[0])


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


def test_every_entry_that_a_run_makes_travels(two_snapshots):
    assert set(two_snapshots.about) - {"plan"} <= set(vetting.ENTRIES)


def test_a_run_under_way_is_downloaded_as_it_was_at_its_newest_snapshot(
    new_run, picture_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr("ganlab.training.SECONDS_BETWEEN_SNAPSHOTS", 0.05)
    run = new_run(data=str(picture_folder), steps=10**6)
    stop, saved = threading.Event(), threading.Event()

    def on_event(_: object) -> None:
        if run.snapshot_steps():
            saved.set()

    options = {"should_stop": stop.is_set, "on_event": on_event}
    thread = threading.Thread(target=perform, args=(run,), kwargs=options)
    thread.start()
    try:
        assert saved.wait(20)
        for turn in range(10):
            path = export(run, tmp_path / "x")
            new, _ = open_run(path, path=tmp_path / f"run{turn}")
            newest = new.snapshot_steps()[-1]
            assert new.status.state == "interrupted"
            assert new.status.step == newest
            assert all(line["step"] <= newest for line in new.metrics())
            assert all(step <= newest for step in new.grid_steps())
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("state", UNDER_WAY)
def test_a_run_that_says_it_is_under_way_is_interrupted(damaged, tmp_path, state):
    new, _ = open_run(damaged(status={"state": state}), runs=tmp_path / "there")
    assert new.status.state == "interrupted"


def test_speeds_of_another_machine_are_not_taken_for_this_ones(new_run, picture_folder, tmp_path):
    run = new_run(data=str(picture_folder), steps=8)
    perform(run)
    for file in (tmp_path / "home").rglob("speeds.json"):
        file.unlink()
    new, _ = open_run(export(run, tmp_path / "x"), runs=tmp_path / "there")
    for step in range(9, 40):
        run.log_metrics({"step": step, "seconds": 1.0, "images_per_second": 1e6})
    new.describe(imported={**new.about["imported"], "step": 10**6})
    (new.path / "metrics.jsonl").write_bytes((run.path / "metrics.jsonl").read_bytes())
    from ganlab import estimates

    estimates.remember(new)
    assert _speeds() == {}


# In the shell and for the page ----------------------------------------------------------------


def test_the_shell_opens_a_run_and_says_how_to_go_on(run, tmp_path, home, capfd):
    path = export(run, tmp_path / "x")
    out = tmp_path / "my run"
    assert main(["open", str(path), "--out", str(out)]) == 0
    first, second = capfd.readouterr().out.splitlines()
    assert first == f"finished at step 6: {out}"
    command = shlex.split(second.removeprefix("Go on with it: "))
    assert command == ["python", "-m", "ganlab", "resume", str(out)]
    assert main(command[3:]) == 0
    assert Run(out).status.step == 9

    assert main(["open", str(path), "--json"]) == 0
    told = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert Path(told["run"]).parent == home / "runs"
    assert (told["state"], told["steps"]) == ("finished", 6)
    assert shlex.split(told["resume"])[-1] == told["run"]


def test_the_shell_says_in_a_line_what_it_cannot_open(run, tmp_path, capfd):
    path = export(run, tmp_path / "x")
    assert main(["open", str(path), "--out", str(run.path)]) == 2
    assert "is not empty: choose a new folder" in capfd.readouterr().err
    assert main(["open", str(tmp_path / "nowhere.zip")]) == 2
    error = capfd.readouterr().err
    assert error == "ganlab: nowhere.zip cannot be unpacked: No such file or directory\n"


@pytest.fixture
def jobs(tmp_path) -> Iterator[Jobs]:
    opened = Jobs(tmp_path / "served")
    yield opened
    opened.close()


def test_the_page_opens_a_run_for_its_new_owner(jobs, run, picture_folder, tmp_path):
    path = export(run, tmp_path / "x")
    run_id, token = jobs.open_run(path)
    view = jobs.view(run_id)
    assert (view.state, view.step, view.tasks) == ("finished", 6, ("discs", "squares"))
    assert jobs.curve(run_id) == run.metrics()
    assert jobs.grid(run_id, 6) == run.grid(6)
    with pytest.raises(NotOwner):
        jobs.resume(run_id, "of somebody else")
    jobs.resume(run_id, token)
    ended = wait_until_ended(jobs, run_id, 20)
    assert (ended.state, ended.step) == ("failed", 6)
    assert "There is no data set 'pictures (elsewhere)'" in ended.message


def test_a_run_of_the_catalogue_goes_on_from_the_page(jobs, new_run, tmp_path):
    run = new_run(data="emoji", size=32, steps=2)
    perform(run)
    run_id, token = jobs.open_run(export(run, tmp_path / "x"))
    jobs.resume(run_id, token)
    assert wait_until_ended(jobs, run_id, 20).state == "finished"
    assert same(weights(jobs.run(run_id)), weights(resume(run)))


@pytest.mark.parametrize("data", ["/etc/secret", "../x", "~root", "C:\\a\\b.zip", "", ".", "a\0b"])
def test_a_visitors_run_names_no_path_of_this_machine(jobs, damaged, data):
    run_id, _ = jobs.open_run(damaged(config={"data": data}))
    named = jobs.view(run_id).config.data
    assert named.endswith(" (elsewhere)") and not set(named) & set("/\\~\0")


# What is refused ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> dict[str, bytes]:
    """The members of a small valid zip."""
    folder = tmp_path_factory.mktemp("small")
    torch.set_num_threads(1)
    from conftest import drawings

    from ganlab import device
    from ganlab.device import Plan
    from ganlab.training import train

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device, "measure", lambda: Plan("cpu", "fp32", 1, 400.0))
        patch.setenv("GANLAB_HOME", str(folder))
        run, _ = Run.create(tiny(steps=3, batch_size=4), runs=folder)
        run.move("running")
        train(run, drawings(("discs",), 8))
        run.log_quality({"step": 3, "seconds": 0.5, **LOOK})
        run.move("stopped")
        return members(export(run, folder / "x"))


@pytest.fixture
def damaged(parts, tmp_path) -> Callable[..., Path]:
    """Zips the parts, some of them replaced or (None) left out; keywords change their JSON."""

    def make(
        changes: dict[str, bytes | None] | None = None,
        *,
        config: dict | None = None,
        **json_changes,
    ) -> Path:
        content = {**parts, **(changes or {})}
        for name, entries in json_changes.items():
            inside = f"run/{name}.json"
            old = json.loads(content[inside])
            kept = {k: v for k, v in {**old, **entries}.items() if v is not DROP}
            content[inside] = json.dumps(kept).encode()
        if config:
            about = json.loads(content["run/run.json"])
            about["config"].update(config)
            content["run/run.json"] = json.dumps(about).encode()
        kept = {name: data for name, data in content.items() if data is not None}
        return zipped(tmp_path / "a.zip", kept)

    return make


DROP = ...


def refused(path: Path, runs: Path, *words: str) -> None:
    """It ends in a sentence, and leaves nothing behind."""
    with pytest.raises(CheckpointError) as caught:
        open_run(path, runs=runs)
    text = str(caught.value)
    assert text.startswith(path.name)
    for word in words:
        assert word in text
    assert not runs.exists() or list(runs.iterdir()) == []


def test_the_parts_make_a_run(damaged, tmp_path):
    run, _ = open_run(damaged(), runs=tmp_path / "there")
    assert run.status.state == "stopped"
    assert [path.name for path in (tmp_path / "there").iterdir()] == [run.id]


def test_a_model_without_a_run_says_what_it_is_good_for(parts, tmp_path):
    model = {name: data for name, data in parts.items() if not name.startswith("run/")}
    path = zipped(tmp_path / "a.zip", model)
    refused(path, tmp_path / "there", "holds a model but no run", "python -m ganlab sample")


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip" * 100, b"PK\x05\x06" + b"\0" * 18])
def test_what_is_no_zip_of_a_run_is_refused(tmp_path, content):
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    refused(path, tmp_path / "there")


@pytest.mark.parametrize(
    "name",
    ["model.json", "generator.safetensors", "run/status.json", "run/run.json",
     "run/snapshots/000003/training.safetensors"],
)  # fmt: skip
def test_what_a_run_needs_is_missed(damaged, tmp_path, name):
    refused(damaged({name: None}), tmp_path / "there")


@pytest.mark.parametrize(
    "name",
    ["/etc/evil.json", "../run/run.json", "run/../../evil.json", "run/samples/../../x.jpg",
     "run/owner.json", "run/.lock", "run/evil.pkl", "run\\run.json", "run/data/../x.png",
     "run/data/.hidden.png", "run/data/a/b/c.png", "run/samples/1.jpg", "run/source/evil.py"],
)  # fmt: skip
def test_members_that_no_run_has_are_left_where_they_are(damaged, tmp_path, name):
    before = files(tmp_path)
    run, token = open_run(damaged({name: b"evil"}), runs=tmp_path / "there")
    assert b"evil" not in files(run.path).values()
    assert run.is_owned_by(token)
    outside = {k: v for k, v in files(tmp_path).items() if not k.startswith("there/")}
    del outside["a.zip"]
    assert outside == before


def test_a_link_is_refused(parts, tmp_path):
    path = zipped(tmp_path / "a.zip", {k: v for k, v in parts.items() if k != "run/metrics.jsonl"})
    link = zipfile.ZipInfo("run/metrics.jsonl")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    refused(path, tmp_path / "there", "holds a link")


def test_a_member_that_is_there_twice_is_refused(damaged, tmp_path):
    path = damaged()
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("run/run.json", "{}")
    refused(path, tmp_path / "there", "run/run.json twice")


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_rare_packings_are_refused(parts, tmp_path, packing):
    path = zipped(tmp_path / "a.zip", parts, packing)
    refused(path, tmp_path / "there", "in an unusual way")


def test_an_encrypted_zip_is_refused(damaged, tmp_path):
    data = bytearray(damaged().read_bytes())
    at = -1
    while (at := data.find(b"PK\x01\x02", at + 1)) >= 0:
        data[at + 8] |= 1
    (tmp_path / "b.zip").write_bytes(data)
    refused(tmp_path / "b.zip", tmp_path / "there", "is encrypted")


def test_a_member_that_unpacks_to_too_much_is_refused(parts, tmp_path):
    lines = {"run/metrics.jsonl": b"\n" * 21_000_000}
    path = zipped(tmp_path / "a.zip", {**parts, **lines}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 5_000_000
    refused(path, tmp_path / "there", "unpacks to more than can be taken, at run/metrics.jsonl")


def test_a_zip_that_lies_about_its_sizes_is_refused(parts, tmp_path):
    lines = {"run/metrics.jsonl": b"\n" * 21_000_000}
    data = zipped(tmp_path / "a.zip", {**parts, **lines}, zipfile.ZIP_DEFLATED).read_bytes()
    (tmp_path / "b.zip").write_bytes(data.replace(struct.pack("<L", 21_000_000), b"\x10\0\0\0"))
    refused(tmp_path / "b.zip", tmp_path / "there")


def test_more_than_all_together_may_be_is_refused(damaged, tmp_path, monkeypatch):
    monkeypatch.setattr(zips, "MAX_BYTES", 50_000)
    refused(damaged(), tmp_path / "there", "unpacks to more than can be taken")


def test_a_disk_that_is_nearly_full_is_left_with_room_for_others(damaged, tmp_path, monkeypatch):
    monkeypatch.setattr(zips, "SPARE_BYTES", 10**18)
    refused(damaged(), tmp_path / "there", "unpacks to more than can be taken")


def test_too_many_members_are_refused_before_they_are_listed(damaged, tmp_path, monkeypatch):
    monkeypatch.setattr(zips, "MAX_MEMBERS", 5)
    refused(damaged(), tmp_path / "there", "holds more than 5 files")
    monkeypatch.setattr(zips, "_WORST_ENTRY", 10)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    with pytest.raises(CheckpointError, match="holds more than 5 files"):
        zips.unpack(tmp_path / "a.zip", tmp_path / "there", {})


@pytest.mark.parametrize(
    ("file", "entries"),
    [
        ("run", {"config": "quick"}),
        ("run", {"config": {"unknown": 1}}),
        ("run", {"config": DROP}),
        ("run", {"model": DROP}),
        ("run", {"model": {"architecture": "mlp"}}),
        ("run", {"created": "today"}),
        ("run", {"created": 1e300}),
        ("run", {"created": float("nan")}),
        ("run", {"versions": ["a"]}),
        ("run", {"versions": {"ganlab": {"deep": 1}}}),
        ("run", {"data": {"name": "x"}}),
        ("run", {"data": None}),
        ("run", {"exploded": "yes"}),
        ("run", {"lineage": "x"}),
        ("run", {"lineage": {"run": 7}}),
        ("run", {"lineage": {"run": "\ud800"}}),
        ("run", {"exported": []}),
        ("run", {"name": 7}),
        ("run", {"name": "two\nlines"}),
        ("run", {"name": " spaced "}),
        ("run", {"name": "x" * 61}),
        ("run", {"ancestors": "x"}),
        ("run", {"ancestors": [7]}),
        ("run", {"ancestors": ["x"] * 2000}),
        ("status", {"state": "paused"}),
        ("status", {"state": ["stopped"]}),
        ("status", {"step": -1}),
        ("status", {"step": 1.5}),
        ("status", {"step": True}),
        ("status", {"seconds": float("inf")}),
        ("status", {"seconds": None}),
        ("status", {"message": 5}),
        ("status", {"message": "x" * 10_000}),
        ("status", {"step": DROP}),
    ],
    ids=str,
)
def test_descriptions_that_make_no_sense_are_refused(damaged, tmp_path, file, entries):
    refused(damaged(**{file: entries}), tmp_path / "there")


@pytest.mark.parametrize(
    "settings",
    [{"width": 10**9}, {"learning_rate": "fast"}, {"seconds": None, "steps": None},
     {"tasks": [1]}, {"data": 5}, {"data": "x" * 10_000}, {"preset": "best"}, {"seed": 1e300}],
    ids=str,
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(damaged, tmp_path, settings):
    refused(damaged(config=settings), tmp_path / "there")


@pytest.mark.parametrize("name", ["model.json", "run/run.json", "run/status.json"])
@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"null", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a": NaN}', b"9" * 10_000],
    ids=lambda content: str(content[:8]),
)  # fmt: skip
def test_json_of_another_kind_is_refused(damaged, tmp_path, name, content):
    refused(damaged({name: content}), tmp_path / "there")


def test_another_model_at_the_top_than_in_the_run_is_refused(damaged, parts, tmp_path):
    about = json.loads(parts["model.json"])
    about["model"]["z_dim"] += 1
    path = damaged({"model.json": json.dumps(about).encode()})
    refused(path, tmp_path / "there", "describe different models")


@pytest.mark.parametrize("name", ["metrics", "quality"])
@pytest.mark.parametrize(
    "change",
    [{"step": -1}, {"step": 0.5}, {"step": "1"}, {"seconds": float("nan")}, {"seconds": 1e400},
     {"seconds": [1]}, {"seconds": DROP}, {"<script>": 1}, {"x": 10**400}, {"copied": 7},
     {"images_per_second": -1}, {"samples": 0}, {"x": True}, {"x": None}, {"x": {"discs": 1}},
     {"kid_of": 1}, {"kid_of": {"discs": "1"}}, {"kid_of": {"discs": [1]}}, {"kid_of": [1]},
     {"d_right_of": {"discs": 1.5}}, {"kid_of": {"x" * 3000: 1}}],
    ids=str,
)  # fmt: skip
def test_curves_that_are_no_numbers_are_refused(damaged, parts, tmp_path, name, change):
    line = json.loads(parts[f"run/{name}.jsonl"].splitlines()[-1])
    line = {k: v for k, v in {**line, **change}.items() if v is not DROP}
    path = damaged({f"run/{name}.jsonl": (json.dumps(line) + "\n").encode()})
    refused(path, tmp_path / "there", f"line 1 of {name}.jsonl")


@pytest.mark.parametrize("content", [b"\xff\n", b"7\n", b"{}\n", b"{\n", b"\n"])
def test_curves_that_are_no_lines_are_refused(damaged, tmp_path, content):
    refused(damaged({"run/metrics.jsonl": content}), tmp_path / "there", "metrics.jsonl")


def test_curves_that_go_back_or_are_cut_off_are_refused(damaged, parts, tmp_path):
    curve = parts["run/metrics.jsonl"]
    last = curve.splitlines(keepends=True)[-1]
    refused(damaged({"run/metrics.jsonl": curve + last}), tmp_path / "there", "out of order")
    refused(damaged({"run/metrics.jsonl": curve[:-1]}), tmp_path / "there", "cut off")


def agreement(**changes) -> bytes:
    line = {"step": 1, "seconds": 0.5, "moments": 1, "cosines": [[1, 0.5], [0.5, 1]], **changes}
    return (json.dumps(line) + "\n").encode()


@pytest.mark.parametrize(
    "content",
    [b"{}\n", b"7\n", agreement()[:-1], agreement() + agreement(), agreement(cosines=[[1]]),
     agreement(cosines=[[1, 2], [2, 1]]), agreement(cosines=[[1, "x"], [0, 1]]),
     agreement(cosines=7), agreement(cosines=[1, 1]), agreement(moments=0), agreement(step=0.5),
     agreement(seconds=-1), agreement(more=1), agreement(seen=[[1, 1]]), agreement(seen=7),
     agreement(seen=[[1, -1], [1, 1]]), agreement(seen=[[1, "x"], [1, 1]]), agreement(seen=None)],
)  # fmt: skip
def test_an_agreement_of_other_tasks_or_none_at_all_is_refused(tmp_path, content):
    path = tmp_path / "agreement.jsonl"
    path.write_bytes(agreement())
    vetting.agreement(path, 2)  # an older run's
    path.write_bytes(agreement(seen=[[1, 0.0], [0.0, 1]]))
    vetting.agreement(path, 2)
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"agreement\.jsonl"):
        vetting.agreement(path, 2)


def test_what_is_no_agreement_is_refused_with_the_run(damaged, tmp_path):
    path = damaged({"run/agreement.jsonl": agreement(cosines="<script>")})
    refused(path, tmp_path / "there", "agreement.jsonl")


def test_the_agreement_of_tasks_and_what_is_known_of_each_travel(two_snapshots, tmp_path):
    opened, _ = open_run(export(two_snapshots, tmp_path), path=tmp_path / "there")
    assert two_snapshots.agreement() and opened.agreement() == two_snapshots.agreement()
    assert opened.metrics()[-1]["d_right_of"] == two_snapshots.metrics()[-1]["d_right_of"]
    assert opened.quality()[0]["kid_of"] == {"discs": 1.0}


def test_a_run_from_before_tasks_were_compared_still_opens(run, tmp_path):
    old = members(export(run, tmp_path))
    del old["run/agreement.jsonl"]
    lines = [json.loads(line) for line in old["run/metrics.jsonl"].splitlines()]
    for line in lines:
        del line["d_right_of"]
    old["run/metrics.jsonl"] = "".join(json.dumps(line) + "\n" for line in lines).encode()
    opened, _ = open_run(zipped(tmp_path / "old.zip", old), path=tmp_path / "there")
    assert opened.agreement() == [] and opened.metrics() == lines


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


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_damaged_anywhere_is_refused_or_still_a_run(parts, tmp_path, packing):
    whole = zipped(tmp_path / "a.zip", parts, packing).read_bytes()
    list_at = whole.rfind(b"PK\x05\x06") - 46 * len(parts)
    dice, refusals = random.Random(0), 0
    for turn in range(300):
        data = bytearray(whole)
        if turn % 3 == 0:
            del data[dice.randrange(len(data)) :]
        else:  # anywhere, or in the list of members, which is small and tells the most
            low = 0 if turn % 3 == 1 else list_at
            for _ in range(dice.choice((1, 3))):
                data[dice.randrange(low, len(data))] ^= 1 << dice.randrange(8)
        path = tmp_path / "b.zip"
        path.write_bytes(data)
        try:
            run, _ = open_run(path, path=tmp_path / "opened" / str(turn))
        except CheckpointError as error:
            assert str(error).startswith("b.zip")
            refusals += 1
        else:
            assert run.snapshot_steps() == [3] and run.config and run.status.state == "stopped"
    assert refusals > 150
    left = sorted(path.name for path in (tmp_path / "opened").iterdir())
    assert len(left) == 300 - refusals and all(name.isdigit() for name in left)


def test_json_damaged_behind_the_checksums_is_refused_or_still_a_run(damaged, parts, tmp_path):
    dice = random.Random(1)
    for turn in range(150):
        name = dice.choice(["model.json", "run/run.json", "run/status.json", "run/metrics.jsonl"])
        data = bytearray(parts[name])
        for _ in range(dice.choice((1, 2, 5))):
            data[dice.randrange(len(data))] = dice.choice(b'0129-.e"{}[],:truefalsnN\\\n\xff')
        try:
            run, _ = open_run(damaged({name: bytes(data)}), path=tmp_path / "opened" / str(turn))
        except CheckpointError:
            continue
        assert run.config and run.metrics() and np.isfinite(run.status.seconds)


def test_named_directions_travel_and_are_checked(run, tmp_path):
    z_dim = run.model_at(6).z_dim
    found = [Named("hair", to_text(np.ones(z_dim)))]
    kept.write(run, found)
    path = export(run, tmp_path / "out")
    opened, _ = open_run(path, runs=tmp_path / "runs")
    assert kept.of_run(opened, z_dim) == found
    for broken in (b"{}", b"[]", b'{"directions": [{"name": "a", "vector": "AAAA"}]}'):
        content = {**members(path), "run/directions.json": broken}
        with pytest.raises(CheckpointError, match=r"directions\.json"):
            open_run(zipped(tmp_path / "broken.zip", content), runs=tmp_path / "runs")
