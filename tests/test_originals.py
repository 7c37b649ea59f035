"""The pictures that a head learnt from are found, wherever they are."""

import json

import pytest
import torch
from conftest import drawings
from sources import own_run, small_source, tiny_transfer

from ganlab import checkpoints, derived, originals, transfer
from ganlab.copies import COPIED
from ganlab.originals import KEPT, NoOriginals
from ganlab.perform import perform
from ganlab.runs import Run


@pytest.fixture
def adapted(tmp_path) -> Run:
    """A transfer's run, which keeps its pictures."""
    dataset = drawings(("discs",), 24)
    run, _ = transfer.create(tiny_transfer(steps=2), dataset, small_source(), path=tmp_path / "run")
    perform(run)
    return run


def test_a_transfer_has_its_own_pictures_less_those_that_were_held_out(adapted):
    found = originals.of_run(adapted, "discs")
    pictures = drawings(("discs",), 24)
    trained, held_out = pictures.split()
    near = found.originals.nearest(trained.images[3])
    assert near.verdict == COPIED and near.compared == len(trained)
    assert found.originals.nearest(held_out.images[0]).distances[0] > 0
    assert found.usually_copied is None  # of five one cannot tell
    assert originals.of_run(adapted, "discs") is found  # from memory
    with pytest.raises(NoOriginals):
        originals.of_run(adapted, "b")  # of the source, of which nothing is known


def test_a_run_of_the_catalogue_reads_its_task_and_keeps_few_in_memory(jobs):
    run_id, _ = own_run(jobs, data="robots")
    run = jobs.run(run_id)
    about = run.about
    about["model"]["tasks"] = ["robots"]
    (run.path / "run.json").write_text(json.dumps(about))
    found = originals.of_run(run, "robots")
    assert found.originals.nearest(torch.zeros(3, 64, 64, dtype=torch.uint8)).compared == 54
    for i in range(KEPT + 2):
        about["model"]["tasks"] = ["robots"]
        about["config"]["size"] = 32 if i % 2 else 64
        (run.path / "run.json").write_text(json.dumps(about))
        originals.of_run(run, "robots")
    assert len(originals._cache) <= KEPT


def test_a_folder_of_the_machines_owner_is_not_looked_into(jobs, tmp_path):
    run_id, _ = own_run(jobs, data=str(tmp_path))
    with pytest.raises(NoOriginals, match="not on this machine"):
        originals.of_run(jobs.run(run_id), "a")


def test_edited_heads_have_those_of_what_they_began_with(tmp_path):
    run, _ = derived.create(small_source(), [], path=tmp_path / "edited")
    with pytest.raises(NoOriginals, match="Nothing is known"):
        originals.of_run(run, "a")


def test_shipped_checkpoints_know_their_data():
    for folder in checkpoints.shipped():
        _, about = checkpoints.read_model_json(folder)
        assert about["lineage"]["trained_with"]["data"] in ("avatars", "fashion")
    found = originals.of_checkpoint("fashion32", "bag")
    assert 0 <= found.usually_copied < 0.5
