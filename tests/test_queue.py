"""Who waits, in which order, and what is refused: the queue of a page that strangers share."""

import threading
from dataclasses import replace

import pytest
from sources import small_source, tiny_transfer

from ganlab.caps import CapReached, Caps
from ganlab.jobs import Jobs, wait_until_ended
from ganlab.runs import all_runs
from ganlab.turns import Visitor
from ganlab.views import JobView

ANN, BOB = Visitor("ann", "10.0.0.1"), Visitor("bob", "10.0.0.2")


def ended(jobs: Jobs, run_id: str) -> JobView:
    return wait_until_ended(jobs, run_id, seconds=30)


def wait_until_learning(jobs: Jobs, run_id: str) -> None:
    while not (jobs.view(run_id).state == "running" and jobs.view(run_id).step):
        assert jobs.wait(run_id, 0.02).is_under_way


def test_a_server_for_strangers_refuses_what_is_too_long_and_leaves_nothing(open_jobs, short):
    jobs = open_jobs(workers=0, caps=Caps.of("public"))
    for config in (replace(short, steps=20_001), replace(short, steps=None, seconds=601)):
        with pytest.raises(CapReached, match="On your own machine"):
            jobs.submit(config, ANN)
    assert all_runs(jobs.folder) == []


def test_training_longer_stops_at_the_limit_and_the_run_stays_as_it_was(open_jobs, short):
    jobs = open_jobs(caps=Caps(run_steps=8))
    run_id, token = jobs.submit(short)
    assert ended(jobs, run_id).state == "finished"
    with pytest.raises(CapReached, match="9 steps are too many"):
        jobs.resume(run_id, token)
    assert jobs.view(run_id).state == "finished" and jobs.run(run_id).config.steps == 6


def test_a_run_that_came_with_a_larger_budget_is_not_resumed_here(open_jobs, endless):
    jobs = open_jobs(workers=0)
    run_id, token = jobs.submit(replace(endless, seconds=3600))
    jobs.stop(run_id, token)
    jobs.caps = Caps.of("public")
    with pytest.raises(CapReached, match="3,600 seconds are too many"):
        jobs.resume(run_id, token)
    assert jobs.view(run_id).state == "stopped"


def test_a_run_in_steps_has_the_time_of_a_run_and_no_more(open_jobs, short):
    jobs = open_jobs(workers=0, caps=Caps(run_seconds=90))
    run_id, token = jobs.submit(short)
    assert jobs.run(run_id).config.seconds == 90
    jobs.stop(run_id, token)
    jobs.run(run_id).note_progress(3, 90.0)
    with pytest.raises(CapReached, match="has had all of the 90 seconds"):
        jobs.resume(run_id, token)


def test_a_resumed_run_with_nothing_left_to_do_stops_no_worker(open_jobs, short):
    jobs = open_jobs()
    run_id, token = jobs.submit(short)
    ended(jobs, run_id)
    run = jobs.run(run_id)
    run.move("queued")
    run.move("interrupted")  # killed before it could say that it had finished
    jobs._known.clear()
    jobs.resume(run_id, token)
    assert ended(jobs, run_id).state == "finished"
    assert ended(jobs, jobs.submit(short)[0]).state == "finished"


def test_visitors_take_turns_and_are_told_their_places(open_jobs, short):
    jobs = open_jobs(workers=0)
    anns = [jobs.submit(short, ANN)[0] for _ in range(3)]
    bobs = [jobs.submit(short, BOB)[0] for _ in range(2)]
    assert [jobs.view(run_id).queue_place for run_id in anns] == [1, 3, 5]
    assert [jobs.view(run_id).queue_place for run_id in bobs] == [2, 4]


def test_runs_begin_in_the_order_of_turns(open_jobs, endless, short):
    jobs = open_jobs()
    first, token = jobs.submit(endless, ANN)
    wait_until_learning(jobs, first)
    second, third = jobs.submit(short, ANN)[0], jobs.submit(short, BOB)[0]
    assert jobs.view(third).queue_place == 1 and jobs.view(second).queue_place == 2
    jobs.stop(first, token)
    assert ended(jobs, third).state == "finished"
    began = [(jobs.folder / run_id / "metrics.jsonl") for run_id in (third, second)]
    assert ended(jobs, second).state == "finished"
    assert began[0].stat().st_mtime < began[1].stat().st_mtime


def test_one_visitor_trains_one_run_at_a_time_though_a_worker_is_free(open_jobs, endless, short):
    jobs = open_jobs(workers=2, caps=Caps(running_each=1))
    first, token = jobs.submit(endless, ANN)
    wait_until_learning(jobs, first)
    second, other = jobs.submit(short, ANN)[0], jobs.submit(short, BOB)[0]
    assert ended(jobs, other).state == "finished"
    assert jobs.view(second).state == "queued"
    jobs.stop(first, token)
    assert ended(jobs, second).state == "finished"


def test_with_two_workers_the_second_in_line_waits_for_whichever_is_free_first(open_jobs, short):
    jobs = open_jobs(workers=0)
    jobs._threads = [threading.current_thread()] * 2  # as if there were two
    minute = replace(short, steps=None, seconds=60)
    starts = [jobs.view(jobs.submit(minute)[0]).seconds_to_start for _ in range(4)]
    assert starts[:2] == [0, 0] and starts[2] == starts[3] == pytest.approx(61.5, abs=3)
    jobs._threads = []


def test_where_the_last_runs_took_twice_their_time_the_next_are_expected_to(open_jobs, short):
    jobs = open_jobs(workers=0)
    jobs._threads = [threading.current_thread()]
    minute = replace(short, steps=None, seconds=60)
    jobs.submit(minute)
    waits = jobs.submit(minute)[0]
    before = jobs.view(waits).seconds_to_start
    jobs._pace.note(expected=10, took=20)
    jobs.submit(minute)
    after = jobs.view(waits).seconds_to_start
    jobs._threads = []
    assert before > 60 and after == pytest.approx(2 * before, rel=0.05)


def test_a_transfer_that_finds_no_place_leaves_nothing(open_jobs, one_task):
    jobs = open_jobs(workers=0, caps=Caps(waiting_each=1))
    jobs.submit_transfer(tiny_transfer(), one_task, small_source(), visitor=ANN)
    with pytest.raises(CapReached, match="GANLAB_MAX_WAITING_EACH"):
        jobs.submit_transfer(tiny_transfer(), one_task, small_source(), visitor=ANN)
    jobs.submit_transfer(tiny_transfer(), one_task, small_source(), visitor=BOB)
    assert len(all_runs(jobs.folder)) == 2
