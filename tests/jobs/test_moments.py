"""A run from its first to its last moment, and those that wait meanwhile."""

import time
from itertools import pairwise

import pytest
from conftest import tiny

from ganlab import estimates
from ganlab.caps import CapReached, Caps
from ganlab.runs import Run, all_runs
from jobs.waiting import ended, rises, steps, wait_for, wait_until_learning

# From the first to the last moment ------------------------------------------------------------


def test_a_run_waits_learns_and_finishes(jobs, endless, picture_folder):
    before, its_token = jobs.submit(endless)
    wait_until_learning(jobs, before)
    run_id, _ = jobs.submit(tiny(data=str(picture_folder), seconds=1.2))
    states = [jobs.view(run_id).state]
    jobs.stop(before, its_token)
    while (view := jobs.view(run_id)).is_under_way:
        if view.state != states[-1]:
            states.append(view.state)
        time.sleep(0.001)
    assert [*states, view.state] == ["queued", "running", "finished"]


def test_a_finished_run_leaves_everything_in_its_folder(jobs, short, tmp_path):
    run_id, _ = jobs.submit(short)
    view = ended(jobs, run_id)
    run = Run(tmp_path / "runs" / run_id)
    assert run.config == short
    assert run.status.state == "finished"
    assert run.status.step == short.steps
    assert run.status.seconds > 0
    assert steps(run.metrics())[-1] == short.steps
    assert run.grid_steps() == [0, short.steps]
    assert all(run.grid(step).startswith(b"\xff\xd8") for step in run.grid_steps())
    assert run.snapshot_steps() == [short.steps]
    assert {file.name for file in run.snapshot().iterdir()} == {
        "generator.safetensors",
        "training.safetensors",
        "sums.json",
    }
    assert run.about["data"]["tasks"] == {"discs": 8, "squares": 8}
    assert view.tasks == ("discs", "squares")


def test_the_view_of_a_finished_run_says_what_its_folder_says(jobs, open_jobs, short):
    run_id, _ = jobs.submit(short)
    view = ended(jobs, run_id)
    assert (view.state, view.step, view.progress) == ("finished", short.steps, 1.0)
    assert view.seconds == pytest.approx(jobs.run(run_id).status.seconds, abs=0.01)
    assert view.images_per_second > 0
    assert view.has_snapshot
    assert view.grid_steps == (0, short.steps)
    assert (view.queue_place, view.seconds_to_start, view.message) == (0, 0.0, "")
    of_the_next_server = open_jobs().view(run_id)
    for name in ("config", "tasks", "state", "step", "progress", "grid_steps", "has_snapshot"):
        assert getattr(of_the_next_server, name) == getattr(view, name), name


def test_the_grids_that_a_page_gets_are_those_on_disk(jobs, short):
    run_id, _ = jobs.submit(short)
    ended(jobs, run_id)
    assert jobs.grid(run_id, short.steps) == jobs.run(run_id).grid(short.steps)
    for step in (short.steps + 1, -1, "../../run", None):
        with pytest.raises(FileNotFoundError, match="there is no grid of step"):
            jobs.grid(run_id, step)


def test_versions_rise_with_each_change_and_rest_when_nothing_happens(jobs, endless):
    run_id, token = jobs.submit(endless)
    views = []
    while len(views) < 2000 and not (views and views[-1].step):
        views.append(jobs.view(run_id))
        time.sleep(0.001)
    jobs.stop(run_id, token)
    while jobs.view(run_id).is_under_way:
        views.append(jobs.view(run_id))
        time.sleep(0.001)
    time.sleep(0.1)  # the worker has put the run down
    views.append(last := jobs.view(run_id))
    distinct = [a for a, b in pairwise(views) if a is not b] + [last]
    assert rises([view.version for view in distinct])
    time.sleep(0.3)
    assert jobs.view(run_id) is last


def test_the_time_until_a_waiting_run_begins_counts_down(jobs, endless, short):
    first, _ = jobs.submit(endless)
    wait_until_learning(jobs, first)
    waiting, _ = jobs.submit(short)
    view, step = jobs.view(waiting), jobs.view(first).step
    wait_until_learning(jobs, first, past_step=step + 20)
    later = jobs.view(waiting)
    assert later.seconds_to_start < view.seconds_to_start
    assert (later.state, later.queue_place) == (view.state, view.queue_place) == ("queued", 1)


def test_time_left_is_known_at_once_for_a_budget_in_time(jobs, endless):
    run_id, _ = jobs.submit(endless)
    view = wait_until_learning(jobs, run_id)
    assert view.seconds_left == pytest.approx(600 - view.seconds)
    assert 0 < view.progress < 0.1


# Tasks ------------------------------------------------------------------------------------------


def test_how_far_tasks_agree_is_told_as_it_was_written_down(jobs, short):
    run_id, _ = jobs.submit(short)
    assert jobs.agreement(run_id) is None or jobs.agreement(run_id)["moments"] >= 1
    ended(jobs, run_id)
    told, written = jobs.agreement(run_id), jobs.run(run_id).agreement()[-1]
    assert (told["step"], told["moments"]) == (written["step"], written["moments"])
    for mine, theirs in zip(told["cosines"], written["cosines"], strict=True):
        assert mine == pytest.approx(theirs, abs=1e-5)
    jobs._known.clear()  # as after a restart
    assert jobs.agreement(run_id) == written


# The queue ------------------------------------------------------------------------------------


def test_those_who_wait_know_their_place_and_when_their_turn_comes(jobs, endless, short):
    first, token = jobs.submit(endless)
    wait_until_learning(jobs, first)
    second, third = (jobs.submit(config)[0] for config in (endless, short))
    assert [jobs.view(run_id).state for run_id in (second, third)] == ["queued"] * 2
    assert [jobs.view(run_id).queue_place for run_id in (first, second, third)] == [0, 1, 2]
    assert 560 < jobs.view(second).seconds_to_start < 600
    one_more = estimates.seconds(endless)
    expected = jobs.view(second).seconds_to_start + one_more
    assert jobs.view(third).seconds_to_start == pytest.approx(expected, abs=1)

    jobs.stop(first, token)
    wait_until_learning(jobs, second)
    assert [jobs.view(run_id).queue_place for run_id in (second, third)] == [0, 1]
    assert jobs.view(second).seconds_to_start == 0
    assert 560 < jobs.view(third).seconds_to_start < 605


def test_one_run_learns_at_a_time(jobs, picture_folder):
    config = tiny(data=str(picture_folder), steps=20)
    run_ids = [jobs.submit(config)[0] for _ in range(3)]
    finished = []
    while len(finished) < 3:
        # The last one first: should it begin just now, those before it have ended.
        learning = [r for r in run_ids[::-1] if jobs.run(r).status.state == "running"]
        assert len(learning) <= 1
        finished += [r for r in run_ids if r not in finished and not jobs.view(r).is_under_way]
        time.sleep(0.002)
    assert finished == run_ids


def test_two_workers_train_two_runs_at_once(open_jobs, endless):
    jobs = open_jobs(workers=2)
    one, _ = jobs.submit(endless)
    other, _ = jobs.submit(endless)
    wait_until_learning(jobs, one)
    wait_until_learning(jobs, other)


def test_a_full_queue_refuses_new_and_resumed_runs(open_jobs, endless, short):
    jobs = open_jobs(caps=Caps(waiting=2))
    done, its_token = jobs.submit(short)
    ended(jobs, done)
    first, token = jobs.submit(endless)
    wait_until_learning(jobs, first)
    waiting = [jobs.submit(short)[0] for _ in range(2)]
    with pytest.raises(CapReached, match="2 runs are waiting already: try again later"):
        jobs.submit(short)
    wait_for(lambda: done not in [job.run.id for job in jobs._active])
    with pytest.raises(CapReached):
        jobs.resume(done, its_token)
    assert jobs.view(done).state == "finished"
    assert len(all_runs(jobs.folder)) == 4  # nothing is left of the refused one

    jobs.stop(first, token)
    assert [ended(jobs, run_id).state for run_id in waiting] == ["finished"] * 2
    jobs.resume(done, its_token)
