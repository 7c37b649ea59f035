"""The gallery: every model with what tells it from others, and who comes from whom."""

import io
import shutil
import time

import numpy as np
import pytest
from PIL import Image
from sources import own_run, small_source, tiny_transfer

from ganlab import transfer
from ganlab.gallery import Ancestor, Gallery, cut, forest, lineages
from ganlab.runs import Run
from ganlab.sampling import to_jpeg


@pytest.fixture
def reads(jobs) -> Gallery:
    return Gallery(jobs)


def by_name(entries) -> dict:
    return {entry.name: entry for entry in entries}


def learnt_from(jobs, one_task, source, **changes) -> tuple[str, str]:
    """A transfer that was stopped before it began."""
    run, token = transfer.create(tiny_transfer(**changes), one_task, source, runs=jobs.folder)
    run.move("stopped")
    return run.id, token


def test_own_runs_come_before_what_is_shipped_newest_first(jobs, reads):
    first, second = own_run(jobs)[0], own_run(jobs)[0]
    assert [entry.name for entry in reads.entries([first, "x" * 16, second])] == [
        second, first, "grey", "small",
    ]  # fmt: skip


def test_an_entry_says_what_its_run_says(jobs, reads):
    run_id, token = own_run(jobs)
    run = Run(jobs.folder / run_id)
    run.save_grid(7, to_jpeg(np.zeros((64, 256, 3), np.uint8)))
    run.log_quality({"step": 7, "seconds": 1.0, "kid": 2.5, "diversity": 1.0})
    jobs.rename(run_id, "Robots", token)
    entry = reads.entries([run_id])[0]
    assert (entry.title, entry.data, entry.kid, entry.best_step) == ("Robots", "drawings", 2.5, 7)
    assert entry.size == 32 and entry.is_own and entry.can_draw
    assert abs(entry.date - time.time()) < 60
    with Image.open(io.BytesIO(entry.preview)) as preview:
        assert preview.size == (256, 64)


def test_an_entry_is_read_again_only_when_its_run_changes(jobs, reads, monkeypatch):
    run_id, token = own_run(jobs)
    before = reads.entries([run_id])[0]
    assert reads.entries([run_id])[0] is before
    jobs.rename(run_id, "Robots", token)
    assert reads.entries([run_id])[0].title == "Robots"


def test_what_has_not_learnt_yet_is_listed_but_not_to_be_opened(jobs, reads):
    run_id, _ = own_run(jobs, snapshot=False)
    entry = reads.entries([run_id])[0]
    assert not entry.can_draw and entry.preview is None and entry.kid is None


def test_a_damaged_run_is_left_out(jobs, reads):
    run_id, _ = own_run(jobs)
    jobs.view(run_id)
    shutil.rmtree(jobs.folder / run_id)
    assert run_id not in by_name(reads.entries([run_id]))


def test_a_preview_holds_whole_pictures_and_no_others():
    pixels = np.arange(10 * 64, dtype=np.uint8).repeat(5 * 64).reshape(640, 320, 1)
    for size, expected in ((64, (256, 128)), (48, (240, 96)), (512, (320, 512))):
        with Image.open(io.BytesIO(cut(to_jpeg(pixels), size))) as preview:
            assert preview.size == expected


def test_lineage_leads_over_transfers_and_edits_to_the_source(jobs, reads, one_task):
    child, token = learnt_from(jobs, one_task, small_source())
    jobs.rename(child, "Robots", token)
    run = Run(jobs.folder / child)
    run.describe(lineage={"run": child, "step": 1})  # of itself: no loop
    blend, _ = jobs.duplicate("small", None)
    copy, _ = jobs.duplicate(child, token)
    entries = reads.entries([child, blend, copy])
    known = lineages(entries)
    small, robots = Ancestor("small", "small"), Ancestor("Robots", child)
    assert known["small"] == () and known[child] == known[blend] == (small,)
    assert known[copy] == (small, robots)
    trees = {branch.root.name: branch for branch in forest(entries)}
    assert set(trees) == {"grey", "small"}
    assert {each.root.name for each in trees["small"].children} == {child, blend}


def test_ancestors_that_are_not_here_are_named_as_such(jobs, reads, one_task):
    gone, token = own_run(jobs)
    Run(jobs.folder / gone).move("stopped")
    copy, _ = jobs.duplicate(gone, token)
    jobs.delete(gone, token)
    elsewhere = learnt_from(jobs, one_task, small_source())[0]
    folder = Run(jobs.folder / elsewhere).path / "source" / "model.json"
    folder.write_text(folder.read_text().replace('"small"', '"other64"'))
    entries = reads.entries([copy, elsewhere])
    known = lineages(entries)
    assert known[copy] == (Ancestor("a run that is not here", None),)
    assert known[elsewhere] == (Ancestor("other64 (not here)", None),)
    assert gone not in repr(entries)  # with an id, anybody could watch


def test_a_race_is_listed_with_its_laps_the_best_first(jobs, reads, one_task):
    run_id, _ = learnt_from(jobs, one_task, small_source(), strategy="race",
                            racers=("finetune", "freezed", "thaw"))  # fmt: skip
    run = Run(jobs.folder / run_id)
    run.describe(results={"finetune": {"kid": 3.0}, "freezed": {"kid": 2.0}, "thaw": {}})
    entry = reads.entries([run_id])[0]
    assert entry.is_race and not entry.can_draw
    assert [lap.kid for lap in entry.laps] == [2.0, 3.0, None]


def test_a_shipped_checkpoint_has_the_mean_of_its_heads(reads):
    entry = by_name(reads.entries([]))["small"]
    assert (entry.tasks, entry.size, entry.is_own, entry.kid) == (("a", "b"), 32, False, None)
