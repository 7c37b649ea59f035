"""A run that is downloaded, opened and goes on elsewhere."""

import json
import threading

import numpy as np
import pytest
import torch
from conftest import tiny
from safetensors.torch import load, load_file

from ganlab import kept, portable, vetting
from ganlab.checkpoints import CheckpointError, load_generator, state_bytes
from ganlab.config import ModelConfig
from ganlab.estimates import _speeds
from ganlab.export import export, open_model
from ganlab.kept import Named
from ganlab.models import build_discriminator
from ganlab.perform import perform
from ganlab.portable import open_run
from ganlab.runs import UNDER_WAY, Run
from ganlab.vectors import to_text
from portable.packed import files, members, resume, same, weights, zipped


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
