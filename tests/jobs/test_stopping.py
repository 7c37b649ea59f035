"""Runs that are stopped, and how they go on."""

import time
from collections import OrderedDict
from collections.abc import Callable

import pytest
from conftest import tiny

from ganlab.data import catalog
from ganlab.jobs import ShuttingDown
from ganlab.runs import IllegalMove, Run
from jobs.waiting import ended, rises, steps, wait_for, wait_until_learning

# Stopping -------------------------------------------------------------------------------------


def test_a_run_that_waits_leaves_the_queue_at_once(jobs, endless, short):
    first, _ = jobs.submit(endless)
    wait_until_learning(jobs, first)
    (second, token), (third, _) = jobs.submit(short), jobs.submit(short)
    jobs.stop(second, token)
    view = jobs.view(second)
    assert (view.state, view.queue_place, view.seconds_to_start) == ("stopped", 0, 0.0)
    assert view.message == "Taken out of the queue before it began."
    assert jobs.view(third).queue_place == 1
    assert jobs.run(second).grid_steps() == []


def test_a_run_that_was_taken_out_of_the_queue_can_be_put_back(jobs, endless, short):
    first, its_token = jobs.submit(endless)
    wait_until_learning(jobs, first)
    run_id, token = jobs.submit(short)
    jobs.stop(run_id, token)
    jobs.resume(run_id, token)
    view = jobs.view(run_id)
    assert (view.state, view.queue_place, view.message) == ("queued", 1, "")
    jobs.stop(first, its_token)
    assert (ended(jobs, run_id).state, jobs.view(run_id).step) == ("finished", short.steps)


def test_a_stop_is_honoured_while_pictures_are_read(jobs, monkeypatch):
    monkeypatch.setattr(catalog, "_cache", OrderedDict())  # ten thousand pictures, read anew
    run_id, token = jobs.submit(tiny(data="avatars", size=32, seconds=600))
    wait_for(lambda: jobs.view(run_id).message == "Reading Avatars")
    before = time.monotonic()
    jobs.stop(run_id, token)
    view = ended(jobs, run_id)
    assert time.monotonic() - before < 1
    assert "model" not in jobs.run(run_id).about  # it had not begun to learn
    assert (view.state, view.message) == ("stopped", "Stopped before it began to learn.")
    assert not view.has_snapshot
    with pytest.raises(IllegalMove):
        jobs.stop(run_id, token)


def test_a_stop_is_honoured_within_a_second_and_saves(jobs, endless):
    run_id, token = jobs.submit(endless)
    wait_until_learning(jobs, run_id)
    before = time.monotonic()
    jobs.stop(run_id, token)
    assert jobs.view(run_id).state in ("stopping", "stopped")
    view = ended(jobs, run_id)
    assert time.monotonic() - before < 1
    assert view.state == "stopped"
    assert view.has_snapshot
    assert jobs.run(run_id).snapshot_steps() == [view.step]
    assert jobs.run(run_id).status.step == view.step
    assert view.grid_steps[-1] == view.step


def test_a_second_stop_is_refused(jobs, endless):
    run_id, token = jobs.submit(endless)
    wait_until_learning(jobs, run_id)
    jobs.stop(run_id, token)
    with pytest.raises(IllegalMove, match=r"a run that is (stopping|stopped) cannot become"):
        jobs.stop(run_id, token)
    assert ended(jobs, run_id).state == "stopped"


def test_a_run_that_has_ended_cannot_be_stopped(jobs, short):
    run_id, token = jobs.submit(short)
    ended(jobs, run_id)
    with pytest.raises(IllegalMove, match="a run that is finished cannot become stopping"):
        jobs.stop(run_id, token)
    assert jobs.view(run_id).state == "finished"


def test_closing_saves_what_is_under_way_and_refuses_more(open_jobs, endless):
    jobs = open_jobs()
    learning, _ = jobs.submit(endless)
    waiting, token = jobs.submit(endless)
    wait_until_learning(jobs, learning)
    before = time.monotonic()
    jobs.close()
    assert time.monotonic() - before < 2
    run = jobs.run(learning)
    assert run.status.state == "stopped"
    assert run.snapshot_steps() == [run.status.step]
    with pytest.raises(ShuttingDown, match="the server is shutting down"):
        jobs.submit(endless)

    after = open_jobs()
    assert after.view(learning).state == "stopped"
    assert after.view(waiting).state == "interrupted"
    after.resume(waiting, token)
    wait_until_learning(after, waiting)


# Going on -------------------------------------------------------------------------------------


def break_metrics(run: Run) -> Callable[[], None]:
    """Makes the next line of the curves an error of the disk; gives what repairs it."""
    file, aside = run.path / "metrics.jsonl", run.path / "aside"
    file.rename(aside)
    file.mkdir()

    def repair() -> None:
        file.rmdir()
        aside.rename(file)

    return repair


def test_a_stopped_run_goes_on_from_its_snapshot(jobs, endless):
    run_id, token = jobs.submit(endless)
    wait_until_learning(jobs, run_id)
    jobs.stop(run_id, token)
    saved = ended(jobs, run_id)
    wait_for(lambda: not jobs._active)
    before = jobs.run(run_id).metrics()

    jobs.resume(run_id, token)
    seen = [jobs.view(run_id)]
    while seen[-1].step <= saved.step:
        seen.append(jobs.view(run_id))
        time.sleep(0.002)
    assert min(view.step for view in seen) == saved.step  # never from zero
    assert min(view.seconds for view in seen) >= saved.seconds - 0.001
    jobs.stop(run_id, token)
    after = ended(jobs, run_id)
    lines = jobs.run(run_id).metrics()
    assert lines[: len(before)] == before
    assert rises(steps(lines))
    assert rises([line["seconds"] for line in lines])
    assert steps(jobs.curve(run_id)) == steps(lines)
    assert jobs.run(run_id).snapshot_steps() == [saved.step, after.step]


def test_a_finished_run_goes_on_with_more_budget(jobs, short):
    run_id, token = jobs.submit(short)
    ended(jobs, run_id)
    wait_for(lambda: not jobs._active)
    jobs.resume(run_id, token)
    view = ended(jobs, run_id)
    assert view.config == short.with_more_budget() == jobs.run(run_id).config
    assert (view.state, view.step) == ("finished", 9)
    assert jobs.run(run_id).snapshot_steps() == [6, 9]
    assert rises(steps(jobs.run(run_id).metrics()))
    assert view.grid_steps == (0, 6, 9)


def test_a_failed_run_goes_on_from_its_last_snapshot_and_forgets_what_came_after(jobs, endless):
    run_id, token = jobs.submit(endless)
    wait_until_learning(jobs, run_id)
    jobs.stop(run_id, token)
    saved = ended(jobs, run_id)
    wait_for(lambda: not jobs._active)
    jobs.resume(run_id, token)
    wait_for(lambda: jobs.view(run_id).grid_steps[-1] > saved.step)
    repair = break_metrics(jobs.run(run_id))
    failed = ended(jobs, run_id)
    repair()
    wait_for(lambda: not jobs._active)
    assert failed.state == "failed"
    assert failed.message == "The disk refused to read or write: Is a directory."
    assert failed.step > saved.step

    jobs.resume(run_id, token)
    while (view := jobs.view(run_id)).step <= saved.step:
        assert set(view.grid_steps) <= set(saved.grid_steps)  # each of them can still be shown
        assert all(step <= saved.step for step in steps(jobs.curve(run_id)))
        for step in view.grid_steps:
            jobs.grid(run_id, step)
        time.sleep(0.002)
    jobs.stop(run_id, token)
    view = ended(jobs, run_id)
    lines = jobs.run(run_id).metrics()
    assert rises(steps(lines))
    assert steps(jobs.curve(run_id)) == steps(lines)
    assert list(view.grid_steps) == jobs.run(run_id).grid_steps()


def test_a_run_that_failed_before_its_first_snapshot_starts_anew(jobs, endless):
    run_id, token = jobs.submit(endless)
    wait_for(lambda: jobs.view(run_id).grid_steps[-1:] > (0,))
    repair = break_metrics(jobs.run(run_id))
    view = ended(jobs, run_id)
    repair()
    wait_for(lambda: not jobs._active)
    assert (view.state, view.has_snapshot) == ("failed", False)
    jobs.resume(run_id, token)
    assert jobs.view(run_id).step == 0
    assert jobs.view(run_id).grid_steps in ((), (0,))
    wait_until_learning(jobs, run_id)
    jobs.stop(run_id, token)
    ended(jobs, run_id)
    lines = jobs.run(run_id).metrics()
    assert lines[0]["step"] == 1
    assert rises(steps(lines))
    assert steps(jobs.curve(run_id)) == steps(lines)


def test_a_run_under_way_cannot_be_resumed(jobs, endless):
    (first, token), (second, its_token) = jobs.submit(endless), jobs.submit(endless)
    wait_until_learning(jobs, first)
    with pytest.raises(IllegalMove, match=r"still ending|cannot become queued"):
        jobs.resume(first, token)
    with pytest.raises(IllegalMove, match="a run that is queued cannot become queued"):
        jobs.resume(second, its_token)
    assert jobs.view(second).queue_place == 1  # and stands in the queue once
