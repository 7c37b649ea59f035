"""Runs that nobody changes any more: announced, removed in time, and never before."""

import os
import time

import pytest

from ganlab import checkpoints, expiry, trash
from ganlab.caps import Caps
from ganlab.expiry import GRACE_SECONDS, Expiry
from ganlab.jobs import Jobs
from ganlab.known import UnknownRun
from ganlab.owned import UNASKED_SECONDS
from ganlab.ui import figures
from ganlab.ui.history import choices, going_soon


@pytest.fixture
def jobs(tmp_path, shelf, monkeypatch):
    """A server that keeps runs for two hours, and has done so for a day."""
    monkeypatch.setattr(checkpoints, "SHIPPED", shelf)
    jobs = Jobs(tmp_path / "runs", workers=0, caps=Caps(run_hours=2))
    jobs._expiry._wall -= 24 * 3600
    jobs._expiry._steady -= 24 * 3600
    yield jobs
    jobs.close()


def age(run, hours: float) -> None:
    for file in run.path.iterdir():
        then = time.time() - hours * 3600
        os.utime(file, (then, then))


def test_a_run_is_kept_for_its_hours_after_the_last_change(jobs, new_run):
    run = new_run()
    assert jobs.kept_until(run.id) is None  # it is under way
    run.move("stopped")
    jobs._known.clear()
    assert jobs.kept_until(run.id) == pytest.approx(time.time() + 2 * 3600, abs=5)
    age(run, 1.5)
    assert jobs.kept_until(run.id) == pytest.approx(time.time() + 0.5 * 3600, abs=5)
    jobs.tidy()
    assert jobs.view(run.id).state == "stopped"
    run.describe(name="looked after")
    assert jobs.kept_until(run.id) == pytest.approx(time.time() + 2 * 3600, abs=5)


def test_what_is_too_old_goes_to_the_trash_and_its_link_says_why(jobs, new_run):
    old, young, waits = new_run(), new_run(), new_run()
    for run in (old, young):
        run.move("stopped")
    for run in (old, waits):
        age(run, 2.1)
    jobs.tidy()
    assert trash.find(jobs.folder, old.id)
    with pytest.raises(UnknownRun, match="keeps a run for 2 hours after its last change"):
        jobs.view(old.id)
    assert jobs.view(young.id).state == "stopped" and jobs.view(waits.id).state == "queued"


def test_without_a_limit_nothing_is_too_old(tmp_path, new_run):
    run = new_run()
    run.move("stopped")
    age(run, 1e4)
    jobs = Jobs(tmp_path / "runs", workers=0)
    jobs.tidy()
    assert jobs.kept_until(run.id) is None and jobs.view(run.id).state == "stopped"
    jobs.close()


def test_a_server_that_has_just_begun_announces_before_it_removes(tmp_path, new_run):
    run = new_run()
    run.move("stopped")
    age(run, 1000)
    jobs = Jobs(tmp_path / "runs", workers=0, caps=Caps(run_hours=2))
    jobs.tidy()
    assert jobs.kept_until(run.id) == pytest.approx(time.time() + GRACE_SECONDS, abs=5)
    jobs.close()


@pytest.mark.parametrize("hours", [-100, 100])
def test_a_clock_that_jumps_removes_nothing_before_it_is_announced(new_run, monkeypatch, hours):
    run = new_run()
    run.move("stopped")
    keeps = Expiry(48)
    keeps._wall -= 24 * 3600
    keeps._steady -= 24 * 3600
    now = time.time() + hours * 3600
    monkeypatch.setattr(expiry.time, "time", lambda: now)
    assert keeps.until(run) - now >= GRACE_SECONDS - 5


def test_a_run_that_is_edited_just_now_stays(jobs, new_run):
    run = new_run()
    run.move("stopped")
    jobs.view(run.id)
    age(run, 3)
    with jobs._known[run.id].editing:
        jobs.tidy()
        assert jobs.view(run.id)
    jobs.tidy()
    with pytest.raises(UnknownRun):
        jobs.view(run.id)


def test_what_nobody_looks_at_is_put_out_of_memory_and_read_again(jobs, new_run):
    ended, waits = new_run(), new_run()
    ended.move("stopped")
    for run in (ended, waits):
        jobs.view(run.id)
        jobs._known[run.id].asked -= UNASKED_SECONDS + 1
    jobs.tidy()
    assert list(jobs._known) == [waits.id]
    assert jobs.view(ended.id).state == "stopped"


def test_a_damaged_run_hinders_no_other(jobs, new_run):
    damaged, old = new_run(), new_run()
    (damaged.path / "status.json").write_text("{")
    old.move("stopped")
    age(damaged, 3)
    age(old, 3)
    jobs.tidy()
    assert damaged.path.exists() and not old.path.exists()


def test_what_will_be_removed_is_announced_before(jobs, new_run):
    nothing = new_run()
    nothing.move("stopped")
    until = figures.moment(jobs.kept_until(nothing.id))
    assert going_soon(jobs, [nothing.id]) == f"One of your runs is removed from {until} on."
    run = new_run()
    run.save_snapshot(4, b"generator", b"training")
    run.move("stopped")
    until = figures.moment(jobs.kept_until(run.id))
    assert choices(jobs, [run.id])[0][0].endswith(f"stopped · kept until {until}")
    assert going_soon(jobs, []) == ""
    one = going_soon(jobs, [run.id, "0" * len(run.id)])  # with two hours left
    assert one == f"One of your runs is removed from {until} on: download what you want to keep."
    other = new_run()
    other.move("stopped")
    assert going_soon(jobs, [run.id, other.id]).startswith("2 of your runs are removed from")
    for is_owner, told in ((True, f"Kept until {until}: download"), (False, f"until {until}.")):
        view, kept = jobs.view(run.id), jobs.kept_until(run.id)
        assert told in figures.state_line(view, is_owner=is_owner, kept_until=kept)


def test_what_stays_for_long_needs_no_announcement(tmp_path, new_run):
    jobs = Jobs(tmp_path / "runs", workers=0, caps=Caps(run_hours=48))
    run = new_run()
    run.move("stopped")
    assert jobs.kept_until(run.id) and going_soon(jobs, [run.id]) == ""
    jobs.close()
