"""Transfers and races in the queue."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from sources import small_source, tiny_transfer

from ganlab import contest, transfer
from ganlab.caps import CapReached, Caps
from ganlab.data import saved
from ganlab.jobs import Jobs
from ganlab.known import NotOwner
from ganlab.runs import IllegalMove, Run, all_runs
from ganlab.views import JobView
from jobs.waiting import ended, rises, steps, wait_for, wait_until_learning


@pytest.fixture
def race(one_task, monkeypatch) -> Callable[..., tuple[str, str]]:
    """Queues a race of sixteen discs: `race(jobs, "finetune", "ewc", steps=8)`."""
    monkeypatch.setattr(contest, "SAMPLES", 32)

    def queue(jobs: Jobs, *racers: str, **changes) -> tuple[str, str]:
        config = tiny_transfer("race", racers=racers, **changes)
        return jobs.submit_transfer(config, one_task, small_source())

    return queue


def lap_of(jobs: Jobs, race_id: str, strategy: str) -> Run:
    return contest.lap_run(jobs.run(race_id), strategy)


def wait_until_in_lap(jobs: Jobs, race_id: str, strategy: str) -> JobView:
    """Until it has learnt something in the lap."""
    wait_for(lambda: jobs.view(race_id).lap == strategy)
    wait_for(lambda: lap_of(jobs, race_id, strategy).metrics())
    return jobs.view(race_id)


def test_a_transfer_waits_learns_and_finishes(jobs, open_jobs, endless, dataset):
    before, its_token = jobs.submit(endless)
    wait_until_learning(jobs, before)
    config = tiny_transfer("freezed", heads=("b",), steps=6)
    names = [f"{n}.png" for n in range(len(dataset))]
    run_id, token = jobs.submit_transfer(config, dataset, small_source(), names)
    view = jobs.view(run_id)
    assert (view.state, view.queue_place) == ("queued", 1)
    assert 0 < view.seconds_to_start < 600
    assert view.config.heads == ("b", "b")  # one for each task
    assert view.config.tasks == ("discs", "squares")
    assert view.config.strategy == "freezed"

    jobs.stop(before, its_token)
    view = ended(jobs, run_id)
    assert (view.state, view.step, view.progress, view.message) == ("finished", 6, 1.0, "")
    assert view.tasks == ("discs", "squares")
    assert view.grid_steps == (0, 6)
    assert view.has_snapshot
    assert (view.lap, view.marks) == ("", 0)
    run = jobs.run(run_id)
    assert run.config == view.config
    assert run.is_owned_by(token)
    manifest = saved.read_manifest(run.path / saved.FOLDER)
    assert [picture["name"] for picture in manifest["pictures"]] == names
    of_the_next_server = open_jobs().view(run_id)
    for name in ("config", "tasks", "state", "step", "progress", "grid_steps", "has_snapshot"):
        assert getattr(of_the_next_server, name) == getattr(view, name), name


def test_a_transfer_that_was_stopped_goes_on(jobs, one_task):
    config = tiny_transfer("head", seconds=600)
    run_id, token = jobs.submit_transfer(config, one_task, small_source())
    wait_until_learning(jobs, run_id)
    with pytest.raises(NotOwner):
        jobs.stop(run_id, "wrong")
    jobs.stop(run_id, token)
    saved_at = ended(jobs, run_id)
    assert saved_at.state == "stopped"
    wait_for(lambda: not jobs._active)
    jobs.resume(run_id, token)
    wait_until_learning(jobs, run_id, past_step=saved_at.step)
    jobs.stop(run_id, token)
    assert ended(jobs, run_id).step > saved_at.step
    assert rises(steps(jobs.run(run_id).metrics()))


def test_what_does_not_fit_the_source_leaves_nothing_behind(jobs, one_task):
    for config, source in (
        (tiny_transfer(heads=("z",)), small_source()),
        (tiny_transfer(heads=("a", "b")), small_source()),
        (tiny_transfer("ewc"), replace(small_source(), discriminator=None)),
    ):
        with pytest.raises(ValueError):
            jobs.submit_transfer(config, one_task, source)
    assert [path.name for path in jobs.folder.iterdir()] == [".server.lock"]


def test_a_transfer_is_measured_by_the_network_of_its_source(open_jobs, one_task):
    jobs, source = open_jobs(caps=Caps(step_mb=100)), small_source()
    small = replace(tiny_transfer(), size=32, width=8, batch_size=64)
    wide = replace(source, config=replace(source.config, width=128))
    with pytest.raises(CapReached, match="GANLAB_MAX_STEP_MB"):
        jobs.submit_transfer(small, one_task, wide)
    assert not [*all_runs(jobs.folder)]
    assert jobs.submit_transfer(small, one_task, source)


def test_a_full_queue_refuses_a_transfer_before_anything_is_copied(
    open_jobs, endless, short, one_task, monkeypatch
):
    jobs = open_jobs(caps=Caps(waiting=1))
    first, _ = jobs.submit(endless)
    wait_until_learning(jobs, first)
    waiting, token = jobs.submit(short)
    made = []
    create = transfer.create
    monkeypatch.setattr(transfer, "create", lambda *a, **k: made.append(a) or create(*a, **k))
    with pytest.raises(CapReached, match="1 runs are waiting already: try again later"):
        jobs.submit_transfer(tiny_transfer(), one_task, small_source())
    assert made == []
    assert {run.id for run in all_runs(jobs.folder)} == {first, waiting}

    jobs.stop(waiting, token)
    run_id, _ = jobs.submit_transfer(tiny_transfer(), one_task, small_source())
    assert len(made) == 1
    assert jobs.view(run_id).queue_place == 1


def test_a_race_is_watched_lap_by_lap_to_its_end(jobs, open_jobs, race):
    run_id, _ = race(jobs, "freezed", "finetune", steps=20)
    seen = [jobs.view(run_id)]
    while seen[-1].is_under_way:
        time.sleep(0.001)
        if (view := jobs.view(run_id)) is not seen[-1]:
            seen.append(view)
    laps = [view.lap for view in seen]
    assert [lap for lap, before in zip(laps[1:], laps[:-1], strict=True) if lap != before] == [
        "freezed",
        "finetune",
    ]
    for name in ("marks", "progress", "seconds"):
        values = [getattr(view, name) for view in seen]
        assert values[0] == 0
        assert values == sorted(values), name
    assert seen[-1].marks >= 8  # two beginnings, two ends, two grids each
    assert all(view.progress <= 0.5 for view in seen if view.lap == "freezed")
    assert {view.grid_steps for view in seen} == {()}  # they are the laps'

    view, run = jobs.view(run_id), jobs.run(run_id)
    assert (view.state, view.progress) == ("finished", 1.0)
    assert set(contest.results_of(run)) == {"freezed", "finetune"}
    assert view.message == contest.winner(contest.results_of(run))
    assert "wins: KID " in view.message or view.message.startswith("No clear winner: ")
    assert view.seconds == pytest.approx(contest.seconds_of(run), abs=0.1)
    of_the_next_server = open_jobs().view(run_id)
    for name in ("config", "tasks", "state", "message", "progress"):
        assert getattr(of_the_next_server, name) == getattr(view, name), name


def test_the_time_left_of_a_race_is_that_of_all_laps(jobs, race):
    run_id, token = race(jobs, "freezed", "finetune", "thaw", seconds=1)
    wait_for(lambda: jobs.view(run_id).progress > 0.34)  # past the first of three seconds
    view = jobs.view(run_id)
    jobs.stop(run_id, token)
    assert view.seconds > 1
    assert view.seconds_left == pytest.approx(3 - view.seconds, abs=0.5)
    assert ended(jobs, run_id).state == "stopped"


def test_a_lap_that_explodes_moves_a_race_on_to_its_end(jobs, race, monkeypatch):
    monkeypatch.setattr(transfer, "EWC_STRENGTH", float("inf"))
    run_id, _ = race(jobs, "finetune", "ewc", steps=6)
    view = ended(jobs, run_id)
    assert contest.results_of(jobs.run(run_id))["ewc"] == {}
    assert (view.laps_over, view.laps_measured) == (2, 1)
    assert (view.state, view.progress) == ("finished", 1.0)
    assert view.message == ""  # nobody won against nobody


def test_a_race_stopped_in_a_lap_goes_on_from_there(jobs, race):
    run_id, token = race(jobs, "freezed", "finetune", steps=30)
    wait_until_in_lap(jobs, run_id, "finetune")
    with pytest.raises(NotOwner):
        jobs.stop(run_id, "wrong")
    jobs.stop(run_id, token)
    view = ended(jobs, run_id)
    lap = lap_of(jobs, run_id, "finetune")
    assert (view.state, lap.status.state) == ("stopped", "stopped")
    result = contest.results_of(jobs.run(run_id))
    assert list(result) == ["freezed"]
    assert 0.5 < view.progress < 1
    assert (view.lap, view.laps_over, view.laps_measured) == ("finetune", 1, 1)
    assert lap.snapshot_steps() == [lap.status.step]
    wait_for(lambda: not jobs._active)

    jobs.resume(run_id, token)
    assert 0.5 < jobs.view(run_id).progress < 1  # not from zero
    view = ended(jobs, run_id)
    assert (view.state, view.progress) == ("finished", 1.0)
    assert view.message == contest.winner(contest.results_of(jobs.run(run_id))) != ""
    assert contest.results_of(jobs.run(run_id))["freezed"] == result["freezed"]
    assert rises(steps(lap.metrics()))


def test_a_race_that_is_over_cannot_be_resumed_but_its_laps_can(jobs, race):
    run_id, token = race(jobs, "freezed", "finetune", steps=4)
    before = ended(jobs, run_id)
    wait_for(lambda: not jobs._active)
    with pytest.raises(IllegalMove, match="this race is over: go on with one of its laps"):
        jobs.resume(run_id, token)
    assert jobs.view(run_id) == before
    assert jobs.run(run_id).config == before.config

    taken, its_token = jobs.take_lap(run_id, "finetune", token)
    jobs.resume(taken, its_token)
    assert (ended(jobs, taken).state, jobs.view(taken).step) == ("finished", 6)


def test_a_lap_is_taken_by_the_races_owner_alone(jobs, race):
    run_id, token = race(jobs, "freezed", "finetune", steps=4)
    ended(jobs, run_id)
    for stranger in (None, "", "wrong", run_id, token.swapcase()):
        with pytest.raises(NotOwner, match="only the browser that started this run can do that"):
            jobs.take_lap(run_id, "freezed", stranger)
    assert [run.id for run in all_runs(jobs.folder)] == [run_id]
    with pytest.raises(ValueError, match="this lap has not begun yet"):
        jobs.take_lap(run_id, "scratch", token)

    taken, its_token = jobs.take_lap(run_id, "freezed", token)
    view = jobs.view(taken)
    assert (view.state, view.step, view.has_snapshot) == ("finished", 4, True)
    assert view.config == jobs.run(run_id).config.lap("freezed")
    assert jobs.grid(taken, 4) == lap_of(jobs, run_id, "freezed").grid(4)
    wait_for(lambda: not jobs._active)
    for act in (jobs.delete, jobs.resume):
        with pytest.raises(NotOwner):
            act(taken, token)
    jobs.delete(run_id, token)
    jobs.resume(taken, its_token)  # it needs nothing of the race
    assert ended(jobs, taken).step == 6


def test_a_race_that_was_interrupted_is_found_again_and_goes_on(open_jobs, race):
    jobs = open_jobs()
    run_id, token = race(jobs, "freezed", "finetune", steps=30)
    wait_until_in_lap(jobs, run_id, "finetune")
    jobs.close()
    run = jobs.run(run_id)
    assert (run.status.state, run.status.message) == ("stopped", "The server was shut down.")
    for each in (run, lap_of(jobs, run_id, "finetune")):  # as a killed server leaves them
        each.move("queued")
        each.move("running")
    after = open_jobs()
    view = after.view(run_id)
    assert (view.state, view.lap, view.laps_over) == ("interrupted", "finetune", 1)
    assert 0.5 < view.progress < 1
    after.resume(run_id, token)
    assert ended(after, run_id).state == "finished"
    assert list(contest.results_of(run)) == ["freezed", "finetune"]
