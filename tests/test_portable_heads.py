"""Edited heads that travel: a download opens elsewhere, edits go on, and nothing is believed."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, load_file, save
from sources import small_source

from ganlab import derived, portable
from ganlab.__main__ import main
from ganlab.checkpoints import CheckpointError
from ganlab.export import export, open_model
from ganlab.heads import MOST_EDITS, Edit
from ganlab.opened import open_checkpoint
from ganlab.portable import open_run
from ganlab.runs import Run
from ganlab.source import open_source, source_of_run
from ganlab.vetting import MAX_TEXT

HALF = Edit.adding(("a", "b"), "half", [0.5, 0.5])


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Edited twice: a new head, and one renamed."""
    run, _ = derived.create(small_source(), [HALF], runs=tmp_path / "runs")
    derived.change(run, Edit("rename", "a", "<b>first</b>"))
    return run


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def weights(run: Run, name: str = "generator") -> dict[str, torch.Tensor]:
    return load_file(run.snapshot() / f"{name}.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_edited_heads_open_elsewhere_as_they_were(run, tmp_path):
    new, token = open_run(export(run, tmp_path / "x"), runs=tmp_path / "there")
    assert new.is_derived and new.is_owned_by(token) and new.id != run.id
    assert (new.config, new.status.state) == (run.config, "finished")
    assert same(weights(new), weights(run))
    assert same(weights(new, "discriminator"), weights(run, "discriminator"))
    for entry in ("edits", "lineage", "model", "data"):
        assert new.about[entry] == run.about[entry]
    assert new.model_at(2) == run.model_at(2)


def test_there_edits_go_on_and_are_undone_to_the_first(run, tmp_path):
    new, _ = open_run(export(run, tmp_path / "x"), runs=tmp_path / "there")
    derived.change(new, Edit("remove", "b"))
    for _ in range(3):
        derived.undo(new)
    assert source_of_run(new).config == small_source().config
    assert same(source_of_run(new).generator, small_source().generator)


def test_what_was_opened_can_be_downloaded_and_opened_again(run, tmp_path):
    first, _ = open_run(export(run, tmp_path / "x"), runs=tmp_path / "there")
    derived.change(first, Edit("remove", "b"))
    second, _ = open_run(export(first, tmp_path / "y"), path=tmp_path / "mine")
    assert same(weights(second), weights(first))
    assert second.about["imported"]["run"] == portable.fingerprint(first.id)
    assert second.about["edits"] == first.about["edits"]


def test_edits_lead_through_no_larger_network_than_there_may_be(tmp_path):
    run, _ = derived.create(small_source(), [HALF], runs=tmp_path / "runs")
    for edit in (Edit.adding(("a", "b", "half"), "more", [1, 0, 0]), Edit("remove", "more")):
        derived.change(run, edit)
    path, sizes = export(run, tmp_path / "x"), []
    open_run(
        path, runs=tmp_path / "there", need_memory=lambda model: sizes.append(len(model.tasks))
    )
    assert max(sizes) == 4 and len(run.about["model"]["tasks"]) == 3


def test_a_download_without_a_discriminator_opens_too(tmp_path):
    source = replace(small_source(), discriminator=None)
    run, _ = derived.create(source, [HALF], runs=tmp_path / "runs")
    new, _ = open_run(export(run, tmp_path / "x"), runs=tmp_path / "there")
    assert source_of_run(new).discriminator is None


def test_the_zip_is_a_checkpoint_to_sample_mix_and_start_from(run, tmp_path):
    path = export(run, tmp_path / "x")
    assert path.name == "ganlab-small-heads-step2.zip"
    tasks = ("<b>first</b>", "b", "half")
    assert open_model(str(path))[1].tasks == tasks
    assert [part.name for part in open_checkpoint(path).parts] == list(tasks)
    source = open_source(str(path))
    assert source.config.tasks == tasks and source.discriminator["logits.weight"].shape[0] == 3
    story = json.loads(members(path)["model.json"])["lineage"]
    assert [edit["words"] for edit in story["edits"]] == [
        "new head 'half' = a 50 %, b 50 %",
        "head 'a' is now called '<b>first</b>'",
    ]
    assert story["goes_on_from"] == {"checkpoint": "small"}
    assert members(path)["preview.jpg"] == run.grid(2)


def test_its_card_tells_what_was_edited(run, tmp_path):
    card = members(export(run, tmp_path / "x"))["README.md"].decode()
    assert "- From: small" in card
    assert "- new head 'half' = a 50 %, b 50 %" in card
    assert "resume" not in card and "steps in" not in card


def test_the_card_of_a_runs_heads_names_the_run_only_by_its_fingerprint(run, tmp_path):
    child, _ = derived.create(
        derived.origin_of_run(run), [Edit("remove", "b")], runs=tmp_path / "runs"
    )
    content = members(export(child, tmp_path / "x"))
    assert (
        f"- From: run {portable.fingerprint(run.id)} at its step 2" in content["README.md"].decode()
    )
    assert not any(
        run.id.encode() in each or child.id.encode() in each for each in content.values()
    )
    new, _ = open_run(tmp_path / "x" / next((tmp_path / "x").iterdir()).name, runs=tmp_path / "t")
    assert new.about["lineage"] == {"run": portable.fingerprint(run.id), "step": 2}


def test_heads_that_are_edited_while_they_are_packed_are_packed_anew(run, tmp_path, monkeypatch):
    from ganlab import export as module

    pack, calls = module.pack, []

    def edited_meanwhile(*args: Any) -> None:
        if not calls:
            derived.change(run, Edit("remove", "b"))
        calls.append(1)
        pack(*args)

    monkeypatch.setattr(module, "pack", edited_meanwhile)
    new, _ = open_run(export(run, tmp_path / "x"), runs=tmp_path / "there")
    assert len(calls) == 2
    assert new.about["model"]["tasks"] == ["<b>first</b>", "half"]


def test_edited_heads_cannot_be_resumed_in_the_shell_either(run, capfd):
    assert main(["resume", str(run.path)]) == 2
    assert "no training state to go on from" in capfd.readouterr().err


def test_the_shell_opens_them_without_a_word_of_resuming(run, tmp_path, capfd):
    path = export(run, tmp_path / "x")
    assert main(["open", str(path), "--out", str(tmp_path / "mine")]) == 0
    assert capfd.readouterr().out == (
        f"edited heads: {tmp_path / 'mine'}\n"
        f"Draw from them: python -m ganlab sample --out pictures {tmp_path / 'mine'}\n"
    )
    assert main(["open", str(path), "--out", str(tmp_path / "two"), "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert "resume" not in told and told["sample"].endswith(str(tmp_path / "two"))


# Nothing is believed --------------------------------------------------------------------------


@pytest.fixture
def damaged(run, tmp_path) -> Callable[..., Path]:
    """A zip with other members: `damaged({name: content})`; None takes one away; and with other
    entries of run.json, of which None takes one away, too."""
    parts = members(export(run, tmp_path / "x"))

    def make(changes: dict[str, bytes | None] | None = None, **entries: Any) -> Path:
        about = {**json.loads(parts["run/run.json"]), **entries}
        about = {key: value for key, value in about.items() if value is not None}
        content = {**parts, "run/run.json": json.dumps(about).encode(), **(changes or {})}
        path = tmp_path / "damaged.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in content.items():
                if data is not None:
                    archive.writestr(name, data)
        return path

    return make


def refused(path: Path, folder: Path, match: str | None = None) -> None:
    with pytest.raises(CheckpointError, match=match):
        open_run(path, runs=folder)
    assert not list(folder.glob("*"))


ADD = HALF.to_dict()


@pytest.mark.parametrize(
    ("edits", "match"),
    [
        ("all", "edits makes no sense"),
        ([None], "an edit of heads"),
        ([{**ADD, "kind": "train"}], "an edit of heads"),
        ([{**ADD, "weights": {"a": 5}}], "an edit of heads"),
        ([{**ADD, "weights": {"a": float("inf")}}], "damaged"),
        ([ADD] * (MOST_EDITS + 1), "edits makes no sense"),
        ([ADD, ADD], "already"),
        ([ADD], "lead to other heads"),
        ([], "lead to other heads"),
        ([{**ADD, "weights": {"z": 1.0}}], "no head 'z'"),
        ([{**ADD, "weights": {"a": [0.5, 0.5]}}], "one in each of 3 blocks"),
        ([{**ADD, "weights": {"a": 0.2}}], "sum to 1"),
        ([{**ADD, "weights": {}}], "sum to 1"),
        ([{**ADD, "name": "x\x1b[2J"}], "cannot be shown"),
    ],
    ids=str,
)
def test_edits_that_do_not_lead_to_its_heads_are_refused(damaged, tmp_path, edits, match):
    refused(damaged(edits=edits), tmp_path / "there", match)


def test_words_and_state_are_told_anew(damaged, run, tmp_path):
    edits = [{**edit, "words": "<script>"} for edit in run.about["edits"]]
    status = {"state": "stopped", "step": 900, "seconds": 5.0, "message": "<script>"}
    path = damaged({"run/status.json": json.dumps(status).encode()}, edits=edits)
    new, _ = open_run(path, runs=tmp_path / "there")
    assert new.about["edits"] == run.about["edits"]
    assert (new.status.state, new.status.step, new.status.message) == ("finished", 2, "")


@pytest.mark.parametrize(
    "lineage",
    [None, {}, {"checkpoint": ""}, {"run": "x"}, {"checkpoint": "x" * 201}, {"checkpoint": []}],
    ids=str,
)
def test_an_origin_that_is_none_is_refused(damaged, tmp_path, lineage):
    refused(damaged(lineage=lineage), tmp_path / "there")


def test_what_they_began_with_has_to_be_there_and_whole(damaged, run, tmp_path):
    source = "run/source/generator.safetensors"
    refused(damaged({source: None}), tmp_path / "there")
    refused(damaged({"run/source/model.json": None}), tmp_path / "there")
    everything = [name for name in members(damaged()) if name.startswith("run/source/")]
    refused(damaged(dict.fromkeys(everything)), tmp_path / "there", "need the folder source")
    tensors = load_file(run.path / "source" / "generator.safetensors")
    tensors["start.weight"][0] = float("nan")
    refused(damaged({source: save(tensors)}), tmp_path / "there", "no longer finite")


@pytest.mark.parametrize("story", [{"lineage": []}, {"lineage": "x"}, {"name": 7}, {"name": None}])
def test_a_story_of_the_source_that_cannot_be_told_is_refused(damaged, tmp_path, story):
    name = "run/source/model.json"
    about = {**json.loads(members(damaged())[name]), **story}
    refused(damaged({name: json.dumps(about).encode()}), tmp_path / "there", "where it comes from")


@pytest.mark.parametrize("change", ["another shape", "no number", "too much", "rubbish"])
def test_a_discriminator_of_another_kind_is_refused(damaged, tmp_path, change):
    name = "run/snapshots/000002/discriminator.safetensors"
    content = members(damaged())[name]
    tensors = load(content)
    if change == "another shape":
        tensors["logits.weight"] = tensors["logits.weight"][:2]
    elif change == "no number":
        tensors["logits.bias"][0] = float("nan")
    elif change == "too much":
        tensors["more"] = torch.zeros(1)
    content = b"rubbish" if change == "rubbish" else save(tensors)
    refused(damaged({name: content}), tmp_path / "there")


@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_weights_that_the_edits_do_not_make_are_refused(damaged, tmp_path, name):
    """One number is enough; what rounding changes is not."""
    top = "generator.safetensors"
    file = top if name == "generator" else f"run/snapshots/000002/{name}.safetensors"
    for change, is_taken in ((1.0, False), (1e-3, False), (1e-7, True)):
        tensors = load(members(damaged())[file])
        for key in [key for key, value in tensors.items() if value.is_floating_point()][-1:]:
            tensors[key].view(-1)[-1] += change
        path = damaged({file: save(tensors)})
        if is_taken:
            assert open_run(path, runs=tmp_path / "taken")[0].is_derived
        else:
            refused(path, tmp_path / "there", f"its {name} is not what its edits make: ")


def test_a_discriminator_is_there_if_the_edits_make_one(damaged, tmp_path):
    file = "run/snapshots/000002/discriminator.safetensors"
    match = "its discriminator is not what its edits make"
    refused(damaged({file: None}), tmp_path / "there", match)
    refused(damaged({"run/source/discriminator.safetensors": None}), tmp_path / "there", match)


def test_a_training_state_has_no_place_among_edited_heads(damaged, tmp_path):
    name = "run/snapshots/000002/training.safetensors"
    refused(damaged({name: save({"rng": torch.zeros(1)})}), tmp_path / "there")


def test_settings_of_a_transfer_are_refused(damaged, run, tmp_path):
    config = {**run.about["config"], "source": "small", "strategy": "head"}
    refused(damaged(config=config), tmp_path / "there", "of no transfer")


def test_a_training_that_only_lacks_its_state_is_still_refused(damaged, tmp_path):
    refused(damaged(edits=None), tmp_path / "there")


def test_a_head_with_a_long_name_of_another_program_is_not_believed(damaged, tmp_path):
    edits = [{"kind": "rename", "name": "a" * (MAX_TEXT + 1), "to": "x"}]
    refused(damaged(edits=edits), tmp_path / "there")


def test_nothing_is_left_in_the_way_of_a_run_that_was_refused(damaged, tmp_path):
    refused(damaged(edits=[]), tmp_path / "there")
    new, _ = open_run(damaged(), runs=tmp_path / "there")
    assert new.status.state == "finished"
