"""Runs as things that one has: named, copied, deleted and brought back, each by its owner alone."""

import json
import os
import time

import pytest
import torch
from conftest import tiny
from sources import own_run

from ganlab import kinship, room, trash
from ganlab.caps import CapReached, Caps
from ganlab.export import export
from ganlab.jobs import Jobs, wait_until_ended
from ganlab.known import NotOwner, UnknownRun
from ganlab.opened import open_run, together
from ganlab.room import TRASH, size_of
from ganlab.runs import IllegalMove, Run, all_runs
from ganlab.titles import LONGEST_NAME


def ended_run(jobs: Jobs, **changes) -> tuple[str, str]:
    run_id, token = own_run(jobs, **changes)
    for state in ("running", "stopped"):
        Run(jobs.folder / run_id).move(state)
    return run_id, token


def contents(folder) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


# Names ------------------------------------------------------------------------------------------


def test_a_name_is_kept_with_the_run_and_taken_back(jobs):
    run_id, token = ended_run(jobs)
    version = jobs.view(run_id).version
    jobs.rename(run_id, "  Robots & Co  ", token)
    view = jobs.view(run_id)
    assert view.name == "Robots & Co" and view.version > version
    assert jobs.run(run_id).about["name"] == "Robots & Co"
    again = Jobs(jobs.folder, workers=0)
    assert again.view(run_id).name == "Robots & Co"
    again.close()
    jobs.rename(run_id, "", token)
    assert jobs.view(run_id).name == ""


@pytest.mark.parametrize(
    "name", [None, 7, ["x"], "x" * (LONGEST_NAME + 1), "two\nlines", "a\0b", "\u202etxt"]
)
def test_what_is_no_name_is_refused(jobs, name):
    run_id, token = ended_run(jobs)
    with pytest.raises(ValueError, match="name"):
        jobs.rename(run_id, name, token)
    assert jobs.view(run_id).name == ""


def test_a_name_travels_with_a_download(tmp_path, picture_folder):
    jobs = Jobs(tmp_path / "runs")
    run_id, token = jobs.submit(tiny(data=str(picture_folder), steps=2))
    wait_until_ended(jobs, run_id, 20)
    jobs.rename(run_id, "Robots", token)
    opened, _ = jobs.open_run(export(jobs.run(run_id), tmp_path / "exports"))
    assert jobs.view(opened).name == "Robots"
    jobs.close()


# Copies -----------------------------------------------------------------------------------------


def test_a_copy_of_an_ended_run_is_independent_and_akin(jobs):
    run_id, token = ended_run(jobs)
    jobs.rename(run_id, "Robots", token)
    before = contents(jobs.run(run_id).path)
    copy_id, its_token = jobs.duplicate(run_id, token)
    copy = jobs.run(copy_id)
    assert its_token != token and copy.is_owned_by(its_token) and not copy.is_owned_by(token)
    assert jobs.view(copy_id).state == "stopped" and jobs.view(copy_id).has_snapshot
    same = {name: content for name, content in before.items() if "owner" not in name}
    del same["run.json"]
    assert same.items() <= contents(copy.path).items()
    assert copy.about["lineage"] == {"run": run_id, "step": 7}
    together(open_run(jobs.run(run_id)), open_run(copy))  # they can be mixed
    jobs.delete(copy_id, its_token)
    assert contents(jobs.run(run_id).path) == before


def test_a_copy_of_a_run_under_way_is_its_newest_snapshot_ended(jobs):
    run_id, token = own_run(jobs)
    run = jobs.run(run_id)
    run.move("running")
    copy_id, _ = jobs.duplicate(run_id, token)
    copy, view = jobs.run(copy_id), jobs.view(copy_id)
    assert (view.state, view.step) == ("stopped", 7) and "A copy of a run" in view.message
    assert copy.snapshot_steps() == [7] and kinship.fingerprint(run_id) in kinship.of_run(copy)
    assert run.status.state == "running"


def test_nothing_learnt_yet_is_not_copied(jobs):
    run_id, token = own_run(jobs, snapshot=False)
    with pytest.raises(ValueError, match="no snapshot yet"):
        jobs.duplicate(run_id, token)
    assert [run.id for run in all_runs(jobs.folder)] == [run_id]


def test_a_copy_of_what_is_shipped_is_the_visitors_own_and_can_be_edited(jobs):
    run_id, token = jobs.duplicate("small", None)
    view = jobs.view(run_id)
    assert view.derived_from == "small" and view.edits == () and view.tasks == ("a", "b")
    jobs.rename_head(run_id, "a", "first", token)
    assert jobs.view(run_id).tasks == ("first", "b")

    copy_id, its_token = jobs.duplicate(run_id, token)  # with its edits
    jobs.undo_edit(copy_id, its_token)
    assert jobs.view(copy_id).tasks == ("a", "b") and jobs.view(run_id).tasks == ("first", "b")
    assert jobs.view(copy_id).derived_from == "small"


def test_a_copy_goes_on_learning_by_itself(tmp_path, picture_folder):
    jobs = Jobs(tmp_path / "runs")
    run_id, token = jobs.submit(tiny(data=str(picture_folder), steps=3))
    wait_until_ended(jobs, run_id, 20)
    copy_id, its_token = jobs.duplicate(run_id, token)
    jobs.resume(copy_id, its_token)
    assert wait_until_ended(jobs, copy_id, 20).step > jobs.view(run_id).step == 3
    jobs.close()


# Deleting and bringing back -----------------------------------------------------------------------


def test_a_deleted_run_comes_back_as_it_was(jobs):
    run_id, token = ended_run(jobs)
    jobs.rename(run_id, "Robots", token)
    before = contents(jobs.run(run_id).path)
    jobs.delete(run_id, token)
    with pytest.raises(UnknownRun):
        jobs.view(run_id)
    assert all_runs(jobs.folder) == [] and not (jobs.folder / run_id).exists()
    jobs.undelete(run_id, token)
    assert jobs.view(run_id).name == "Robots" and contents(jobs.run(run_id).path) == before
    jobs.delete(run_id, token)  # and can go again
    jobs.undelete(run_id, token)


@pytest.mark.parametrize("stranger", [None, "", "wrong", 7])
def test_strangers_bring_nothing_back_and_rename_nothing(jobs, stranger):
    run_id, token = ended_run(jobs)
    _, of_another = ended_run(jobs)
    for each in (stranger, of_another):
        with pytest.raises(NotOwner):
            jobs.rename(run_id, "mine", each)
    jobs.delete(run_id, token)
    for each in (stranger, of_another):
        with pytest.raises(NotOwner):
            jobs.undelete(run_id, each)
    assert (jobs.folder / TRASH / run_id).exists()


@pytest.mark.parametrize("run_id", [None, "", "..", "../x", "a" * 16, 7, ["x"], TRASH])
def test_what_was_not_deleted_cannot_be_brought_back(jobs, run_id):
    with pytest.raises(UnknownRun, match="cannot be brought back"):
        jobs.undelete(run_id, "token")


def test_what_lies_in_the_trash_is_destroyed_after_its_time(jobs):
    (old, token), (fresh, its_token), (third, last) = (ended_run(jobs) for _ in range(3))
    bin_ = jobs.folder / TRASH
    jobs.delete(old, token)
    hours_ago = time.time() - trash.TRASH_SECONDS - 1
    os.utime(bin_ / old, (hours_ago, hours_ago))
    jobs.delete(fresh, its_token)
    assert {path.name for path in bin_.iterdir()} == {fresh}
    os.utime(bin_ / fresh, (hours_ago, hours_ago))
    Jobs(jobs.folder, workers=0).close()  # the next server
    assert list(bin_.iterdir()) == []
    jobs.delete(third, last)  # however old its folder was, its time begins now
    assert [path.name for path in bin_.iterdir()] == [third]


def test_what_lies_in_the_trash_goes_before_its_time_where_it_is_too_much(jobs):
    few = [ended_run(jobs) for _ in range(3)]
    size = size_of(jobs.folder) / 3
    filler = jobs.folder.parent / "uploads" / "x"
    filler.parent.mkdir()
    filler.write_bytes(bytes(int(1e6 - 2.5 * size)))
    for age, (run_id, token) in zip((20, 40, 30), few, strict=True):
        jobs.delete(run_id, token)
        then = time.time() - age
        os.utime(jobs.folder / TRASH / run_id, (then, then))
    jobs.caps = Caps(disk_mb=1)
    jobs.tidy()
    assert {path.name for path in (jobs.folder / TRASH).iterdir()} == {few[0][0], few[2][0]}
    jobs.undelete(*few[2])


def test_what_is_made_at_once_leaves_room_for_what_is_trained(jobs, tmp_path):
    run_id, token = ended_run(jobs)
    copy_id, copy_token = jobs.duplicate(run_id, token)
    (jobs.folder / copy_id / "filler").write_bytes(bytes(1_000_000))
    jobs.caps = Caps(made_mb=1, disk_mb=100)
    zipped = export(jobs.run(run_id), tmp_path)
    refused = r"take all of the 1 MB that they may.*GANLAB_MAX_MADE_MB"
    for make in (
        lambda: jobs.duplicate(run_id, token),
        lambda: jobs.duplicate("small", None),
        lambda: jobs.save_head("small", "half", torch.tensor([0.5, 0.5]), None),
        lambda: jobs.open_run(zipped),
    ):
        with pytest.raises(CapReached, match=refused):
            make()
    assert {run.id for run in all_runs(jobs.folder)} == {run_id, copy_id}
    jobs.submit(tiny())
    jobs.delete(copy_id, copy_token)
    jobs.duplicate(run_id, token)


def test_a_run_under_way_is_not_deleted(jobs):
    run_id, token = own_run(jobs)
    jobs.run(run_id).move("running")
    with pytest.raises(IllegalMove, match="stop the run"):
        jobs.delete(run_id, token)


def test_ids_of_runs_stay_out_of_what_a_copy_gives_away(jobs, tmp_path):
    run_id, token = ended_run(jobs)
    copy_id, _ = jobs.duplicate(run_id, token)
    about = json.dumps(jobs.run(copy_id).about["ancestors"])
    assert run_id not in about and kinship.fingerprint(run_id) in about


def test_what_does_not_belong_in_the_trash_stops_nobody(jobs, caplog):
    odd = jobs.folder / TRASH / ".DS_Store"
    odd.parent.mkdir(exist_ok=True)
    odd.write_bytes(b"x")
    hours_ago = time.time() - trash.TRASH_SECONDS - 1
    os.utime(odd, (hours_ago, hours_ago))
    trash.purge(jobs.folder)
    assert "stays in the trash" in caplog.text


def test_a_full_disk_takes_no_copy(jobs, monkeypatch):
    monkeypatch.setattr(room, "SPARE_BYTES", 10**15)
    with pytest.raises(ValueError, match="disk is full"):
        jobs.duplicate("small", None)
    assert not list(jobs.folder.glob("[!.]*"))
