"""Editing heads as a server does it: whose they are, what becomes of a run, and who waits."""

import threading
from dataclasses import replace

import pytest
import torch
from sources import own_run, write_small_checkpoint

from ganlab import checkpoints, derived
from ganlab.heads import Edit
from ganlab.jobs import Jobs
from ganlab.known import NotOwner, UnknownRun
from ganlab.opened import open_run
from ganlab.runs import IllegalMove, Run
from ganlab.source import source_of_run


@pytest.fixture
def mixed(jobs) -> tuple[str, str]:
    """A run with the heads of `small` and half of both; its id and token."""
    return jobs.save_head("small", "half", [0.5, 0.5], None)


def test_the_first_edit_of_a_shipped_checkpoint_makes_a_run_of_the_visitors_own(jobs, mixed):
    run_id, token = mixed
    assert jobs.run(run_id).is_owned_by(token)
    view = jobs.view(run_id)
    assert (view.state, view.tasks, view.progress) == ("finished", ("a", "b", "half"), 1.0)
    assert (view.derived_from, view.edits) == ("small", ("new head 'half' = a 50 %, b 50 %",))
    assert view.has_snapshot and view.grid_steps == (1,) and not view.is_under_way
    assert jobs.grid(run_id, 1)[:2] == b"\xff\xd8"
    assert jobs.curve(run_id) == jobs.quality(run_id) == []


def test_a_checkpoint_on_the_shelf_is_never_changed(jobs, shelf, mixed):
    before = {path: path.read_bytes() for path in shelf.rglob("*") if path.is_file()}
    jobs.remove_head("small", "a", None)
    jobs.rename_head("small", "a", "x", None)
    assert before == {path: path.read_bytes() for path in shelf.rglob("*") if path.is_file()}


def test_later_edits_happen_in_place_and_the_page_is_told(jobs, mixed):
    run_id, token = mixed
    versions = [jobs.view(run_id).version]
    for edit in (
        lambda: jobs.rename_head(run_id, "half", "mid", token),
        lambda: jobs.save_head(run_id, "more", torch.eye(3), token),
        lambda: jobs.remove_head(run_id, "a", token),
    ):
        assert edit() == (run_id, None)
        versions.append(jobs.view(run_id).version)
    view = jobs.view(run_id)
    assert versions == sorted(set(versions))
    assert view.tasks == ("b", "mid", "more") and len(view.edits) == 4
    assert view.grid_steps == (view.best_step,) == (4,)
    assert [part.name for part in open_run(jobs.run(run_id)).parts] == ["b", "mid", "more"]


def test_edits_are_undone_one_by_one(jobs, mixed):
    run_id, token = mixed
    jobs.remove_head(run_id, "b", token)
    jobs.undo_edit(run_id, token)
    assert jobs.view(run_id).tasks == ("a", "b", "half")
    jobs.undo_edit(run_id, token)
    assert (jobs.view(run_id).tasks, jobs.view(run_id).edits) == (("a", "b"), ())
    with pytest.raises(ValueError, match="Nothing is left to undo"):
        jobs.undo_edit(run_id, token)


def test_a_run_of_ones_own_is_an_origin_and_stays_as_it_was(jobs):
    origin, token = own_run(jobs, data="avatars")
    run_id, new_token = jobs.save_head(origin, "half", [0.5, 0.5], token)
    assert run_id != origin and new_token != token
    assert jobs.view(run_id).derived_from == ""
    assert jobs.run(run_id).about["lineage"] == {"run": origin, "step": 7}
    assert jobs.run(origin).about["model"]["tasks"] == ["a", "b"]
    assert not jobs.view(origin).is_derived


def test_what_belongs_to_others_is_neither_read_nor_changed(jobs, mixed):
    origin, _ = own_run(jobs)
    for run_id in (origin, mixed[0]):
        for token in (None, "wrong", 7):
            for act in (
                lambda run_id=run_id, token=token: jobs.save_head(run_id, "x", [1, 0, 0], token),
                lambda run_id=run_id, token=token: jobs.rename_head(run_id, "a", "x", token),
                lambda run_id=run_id, token=token: jobs.remove_head(run_id, "a", token),
                lambda run_id=run_id, token=token: jobs.undo_edit(run_id, token),
            ):
                with pytest.raises(NotOwner):
                    act()
    assert jobs.view(mixed[0]).edits == ("new head 'half' = a 50 %, b 50 %",)


@pytest.mark.parametrize("origin", [None, "", 7, [], {}, "../small", "SMALL", "x" * 16])
def test_what_is_no_origin_is_refused(jobs, origin):
    with pytest.raises(UnknownRun):
        jobs.save_head(origin, "half", [0.5, 0.5], None)


@pytest.mark.parametrize("name", [None, 7, [], {}, "", "a", "x" * 41, "a\nb", "\ud800"])
def test_names_from_a_page_are_checked(jobs, mixed, name):
    run_id, token = mixed
    for act in (
        lambda: jobs.save_head("small", name, [0.5, 0.5], None),
        lambda: jobs.rename_head(run_id, "b", name, token),
        lambda: jobs.rename_head(run_id, name if name != "a" else None, "new", token),
        lambda: jobs.remove_head(run_id, name if name != "a" else None, token),
    ):
        with pytest.raises(ValueError, match=r"^(The head needs|This name|There is (a|no) head)"):
            act()
    assert len(list(jobs.folder.glob("*/run.json"))) == 1


def test_a_name_with_spaces_around_it_can_be_read_back(jobs):
    run_id, token = jobs.save_head("small", " " * 30 + "half" + " " * 30, [0.5, 0.5], None)
    jobs.rename_head(run_id, "half", " " * 30 + "mid" + " " * 30, token)
    assert jobs.view(run_id).tasks == ("a", "b", "mid")


def test_edited_heads_are_never_trained_longer(jobs, mixed):
    run_id, token = mixed
    before = jobs.run(run_id).about
    with pytest.raises(IllegalMove, match="no training state to go on from"):
        jobs.resume(run_id, token)
    with pytest.raises(IllegalMove, match="nothing to remedy"):
        jobs.remedy(run_id, token)
    assert jobs.view(run_id).state == "finished" and jobs.run(run_id).about == before


def test_what_was_not_edited_cannot_be_undone(jobs):
    run_id, token = own_run(jobs)
    with pytest.raises(IllegalMove, match="nothing to undo"):
        jobs.undo_edit(run_id, token)


def test_a_run_that_has_learnt_nothing_yet_says_so(jobs):
    run_id, token = own_run(jobs, snapshot=False)
    with pytest.raises(ValueError, match="no snapshot yet"):
        jobs.save_head(run_id, "half", [0.5, 0.5], token)


def test_edited_heads_are_found_again_by_the_next_server(jobs, mixed):
    view = jobs.view(mixed[0])
    other = Jobs(jobs.folder, workers=0)
    assert other.view(mixed[0]) == replace(view, version=0)
    other.close()


def test_edited_heads_can_be_deleted(jobs, mixed):
    run_id, token = mixed
    jobs.delete(run_id, token)
    for act in (lambda: jobs.view(run_id), lambda: jobs.undo_edit(run_id, token)):
        with pytest.raises(UnknownRun):
            act()


def test_edits_at_the_same_time_are_all_made(jobs, mixed):
    run_id, token = mixed
    threads = [
        threading.Thread(target=jobs.rename_head, args=(run_id, head, f"new {head}", token))
        for head in ("a", "b", "half")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    view = jobs.view(run_id)
    assert view.tasks == ("new a", "new b", "new half") and len(view.edits) == 4
    assert source_of_run(jobs.run(run_id)).config.tasks == view.tasks


def test_while_heads_are_edited_views_are_quick_and_the_run_is_not_deleted(
    jobs, mixed, monkeypatch
):
    run_id, token = mixed
    begun, go_on = threading.Event(), threading.Event()
    change = derived.change

    def slowly(run: Run, edit: Edit) -> None:
        begun.set()
        assert go_on.wait(20)
        change(run, edit)

    monkeypatch.setattr(derived, "change", slowly)
    editing = threading.Thread(target=jobs.remove_head, args=(run_id, "a", token))
    editing.start()
    assert begun.wait(20)
    assert jobs.view(run_id).tasks == ("a", "b", "half")  # does not wait
    with pytest.raises(IllegalMove, match="just being edited"):
        jobs.delete(run_id, token)
    go_on.set()
    editing.join(20)
    assert jobs.view(run_id).tasks == ("b", "half")
    jobs.delete(run_id, token)


def test_a_generator_without_a_discriminator_is_edited_as_well(jobs, tmp_path, monkeypatch):
    folder = write_small_checkpoint(tmp_path / "shelf" / "alone")
    (folder / "discriminator.safetensors").unlink()
    monkeypatch.setattr(checkpoints, "SHIPPED", folder.parent)
    run_id, _ = jobs.save_head("alone", "half", [0.5, 0.5], None)
    assert source_of_run(jobs.run(run_id)).discriminator is None
