"""The queue and its worker with real trainings: who runs when, who may do what, what survives."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import tiny
from sources import small_source, tiny_transfer

from ganlab import contest, device, estimates, kinship, training, transfer, views
from ganlab import jobs as jobs_module
from ganlab import perform as perform_module
from ganlab.caps import CapReached, Caps
from ganlab.data import catalog, saved
from ganlab.health import Remedy, Verdict
from ganlab.jobs import Jobs, ShuttingDown, wait_until_ended
from ganlab.known import NotOwner, UnknownRun
from ganlab.runs import MOVES, UNDER_WAY, IllegalMove, Run, RunIsHeld, all_runs
from ganlab.views import JobView

ROOT = Path(__file__).parents[1]
EXPLODES = {
    "learning_rate": 1.0,
    "beta1": 0.999,
    "beta2": 0.0,
    "r1": 1000.0,
    "r2": 1000.0,
    "loss": "wasserstein",
    "penalty_every": 1,
}


@pytest.fixture
def jobs(open_jobs) -> Jobs:
    return open_jobs()


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"still not after {seconds} s"
        time.sleep(0.005)


def wait_until_learning(jobs: Jobs, run_id: str, past_step: int = 0) -> JobView:
    wait_for(lambda: jobs.view(run_id).step > past_step and jobs.view(run_id).state == "running")
    return jobs.view(run_id)


def ended(jobs: Jobs, run_id: str) -> JobView:
    return wait_until_ended(jobs, run_id, seconds=20)


def steps(lines: list[dict[str, float]]) -> list[float]:
    return [line["step"] for line in lines]


def rises(values: list) -> bool:
    return all(a < b for a, b in pairwise(values))


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
        with pytest.raises(ValueError, match="there is no grid of step"):
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


# Who may do what ------------------------------------------------------------------------------

ACTS = ("stop", "resume", "delete", "remedy", "duplicate")


@pytest.mark.parametrize("act", ACTS)
def test_only_the_owner_can_act_on_a_run(jobs, endless, short, act):
    run_id, token = jobs.submit(endless)
    _, of_another = jobs.submit(short)
    wait_until_learning(jobs, run_id)
    strangers = [
        "", "wrong", None, of_another, 7, True, 0.5, [token], {"token": token}, token.encode(),
        token + " ", token[:-1], token.swapcase(), run_id, "\ud800", "x" * 1_000_000,
    ]  # fmt: skip
    for stranger in strangers:
        with pytest.raises(NotOwner, match="only the browser that started this run can do that"):
            getattr(jobs, act)(run_id, stranger)
    assert jobs.view(run_id).state == "running"


def test_nobody_learns_a_token_from_what_can_be_watched(jobs, short):
    run_id, token = jobs.submit(short)
    view = ended(jobs, run_id)
    watched = [repr(view), repr(jobs.curve(run_id)), jobs.grid(run_id, 0).decode("latin-1")]
    in_folder = [f.read_text("latin-1") for f in jobs.run(run_id).path.rglob("*") if f.is_file()]
    assert not any(token in text for text in watched + in_folder)


def test_a_link_still_opens_the_run_after_a_restart(open_jobs, short):
    jobs = open_jobs()
    run_id, token = jobs.submit(short)
    view = ended(jobs, run_id)
    curve = jobs.curve(run_id)
    jobs.close()
    again = open_jobs()
    assert again.view(run_id).config == short
    assert again.view(run_id).state == "finished"
    assert steps(again.curve(run_id)) == steps(curve)
    assert again.grid(run_id, view.grid_steps[-1]) == jobs.grid(run_id, view.grid_steps[-1])
    again.resume(run_id, token)  # and its owner's token is still good
    assert ended(again, run_id).state == "finished"


# Deleting -------------------------------------------------------------------------------------


def test_a_deleted_run_is_gone_from_disk_and_page(jobs, open_jobs, short):
    run_id, token = jobs.submit(short)
    ended(jobs, run_id)
    wait_for(lambda: not jobs._active)
    jobs.delete(run_id, token)
    assert not (jobs.folder / run_id).exists()
    with pytest.raises(UnknownRun):
        jobs.view(run_id)
    with pytest.raises(UnknownRun):
        jobs.delete(run_id, token)


def test_a_run_under_way_cannot_be_deleted(jobs, endless):
    (first, token), (second, its_token) = jobs.submit(endless), jobs.submit(endless)
    wait_until_learning(jobs, first)
    for run_id, its in ((first, token), (second, its_token)):
        with pytest.raises(IllegalMove, match="stop the run before you delete it"):
            jobs.delete(run_id, its)
        assert jobs.run(run_id).path.exists()
    jobs.stop(second, its_token)
    jobs.delete(second, its_token)
    assert not (jobs.folder / second).exists()


# When something breaks --------------------------------------------------------------------------


def test_pictures_that_have_gone_fail_the_run_and_not_the_next(jobs, endless, short, tmp_path):
    first, token = jobs.submit(endless)
    wait_until_learning(jobs, first)
    gone = tmp_path / "gone"
    shutil.copytree(endless.data, gone)
    second, _ = jobs.submit(tiny(data=str(gone)))
    third, _ = jobs.submit(short)
    shutil.rmtree(gone)
    jobs.stop(first, token)
    view = ended(jobs, second)
    assert view.state == "failed"
    assert view.message.startswith(f"There is no data set '{gone}'; choose ")
    assert jobs.run(second).status.message == view.message
    assert ended(jobs, third).state == "finished"


def test_a_run_that_explodes_says_what_to_do_and_the_next_goes_on(jobs, short, picture_folder):
    config = tiny(data=str(picture_folder), seconds=60, **EXPLODES)
    (first, _), (second, _) = jobs.submit(config), jobs.submit(short)
    view = ended(jobs, first)
    assert view.state == "failed"
    assert view.message.startswith("The training exploded: ")
    assert "lower learning rate" in view.message
    assert (view.verdict.light, view.verdict.name) == ("red", "Loss exploded")
    assert views.view_of(jobs.run(first)).verdict == view.verdict  # and tomorrow
    assert ended(jobs, second).state == "finished"


def test_a_run_that_explodes_keeps_the_snapshot_from_before(jobs, picture_folder):
    config = tiny(data=str(picture_folder), steps=5)
    run_id, token = jobs.submit(config)
    ended(jobs, run_id)
    wait_for(lambda: not jobs._active)
    worse = {**config.to_dict(), **EXPLODES, "steps": 100_000}
    jobs.run(run_id).describe(config=worse)
    run = jobs.run(run_id)
    run.move("queued")
    run.move("stopped")  # so that it is resumed as it now stands, without more budget
    jobs.resume(run_id, token)
    view = ended(jobs, run_id)
    assert view.state == "failed"
    assert "The snapshot at step 5 from before is kept." in view.message
    assert run.snapshot_steps() == [5]
    assert view.has_snapshot


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("boom"), "ganlab made a mistake (RuntimeError: boom). The server's log"),
        (MemoryError(), "The machine ran out of memory. Choose a smaller width or batch size."),
        (OSError(28, "No space left on device"), "The disk refused to read or write: No space"),
        (ValueError("r1 is high: lower it"), "r1 is high: lower it"),
        (KeyError("tasks"), "ganlab made a mistake (KeyError: 'tasks')."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_goes_wrong_is_told_and_the_next_run_goes_on(
    jobs, short, monkeypatch, error, message
):
    train = perform_module.train

    def break_once(*args, **kwargs):
        monkeypatch.setattr(perform_module, "train", train)
        raise error

    monkeypatch.setattr(perform_module, "train", break_once)
    (first, token), (second, _) = jobs.submit(short), jobs.submit(short)
    view = ended(jobs, first)
    assert view.state == "failed"
    assert view.message.startswith(message)
    assert ended(jobs, second).state == "finished"
    jobs.resume(first, token)
    assert (ended(jobs, first).state, jobs.view(first).message) == ("finished", "")


def test_a_run_whose_folder_vanishes_fails_and_the_next_goes_on(jobs, endless, short):
    first, _ = jobs.submit(endless)
    second, _ = jobs.submit(short)
    wait_until_learning(jobs, first)
    shutil.rmtree(jobs.folder / first, ignore_errors=True)
    assert ended(jobs, second).state == "finished"
    assert jobs.view(first).state == "failed"
    assert "could not be" in jobs.view(first).message


@pytest.mark.parametrize("damage", ["run.json", "status.json"])
def test_a_damaged_folder_does_not_keep_the_server_from_starting(
    jobs, open_jobs, short, damage, caplog
):
    (first, _), (second, _) = jobs.submit(short), jobs.submit(short)
    ended(jobs, second)
    (jobs.folder / first / damage).write_text("{")
    again = open_jobs()
    assert first in caplog.text
    assert again.view(second).state == "finished"
    with pytest.raises(UnknownRun):
        again.view(first)
    run_id, _ = again.submit(short)
    assert ended(again, run_id).state == "finished"


# When the server ends ---------------------------------------------------------------------------

SERVER = """
import sys, time, json
from pathlib import Path
from ganlab import training
from ganlab.config import TrainConfig
from ganlab.jobs import Jobs

training.SECONDS_BETWEEN_SNAPSHOTS = 0.3
jobs = Jobs(Path(sys.argv[1]))
config = TrainConfig.from_dict(json.loads(sys.argv[2]))
print(json.dumps([jobs.submit(config) for _ in range(2)]), flush=True)
time.sleep(60)
"""


def test_a_killed_servers_runs_are_interrupted_and_go_on_from_their_last_snapshot(
    open_jobs, endless, tmp_path
):
    folder = tmp_path / "runs"
    device.plan()  # in the home that both share, so that the other process need not time
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(folder), json.dumps(endless.to_dict())],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        (learning, token), (waiting, its_token) = json.loads(process.stdout.readline())
        run = Run(folder / learning)
        wait_for(lambda: len(run.snapshot_steps()) >= 2)

        beside = open_jobs()  # another server on the same folder leaves both alone
        assert beside.view(learning).state == "running"
        assert Run(folder / waiting).status.state == "queued"
        with pytest.raises(RunIsHeld, match="another process has this run: stop it there"):
            beside.stop(learning, token)
        assert run.status.state == "running"
        seen = len(run.snapshot_steps())
        wait_for(lambda: len(run.snapshot_steps()) > seen)
        beside.close()
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        process.stdout.close()
    assert run.status.state == "running"  # as a killed process leaves it

    jobs = open_jobs()
    for run_id in (learning, waiting):
        assert jobs.view(run_id).state == "interrupted"
        assert jobs.view(run_id).message == "The server stopped while this run was under way."
    last = run.snapshot_steps()[-1]
    assert jobs.view(learning).step == last
    assert jobs.view(learning).has_snapshot

    jobs.resume(learning, token)
    jobs.resume(waiting, its_token)
    seen = []
    while jobs.view(learning).step <= last:
        seen.append(jobs.view(learning).step)
        time.sleep(0.002)
    assert set(seen) == {last}
    jobs.stop(learning, token)
    assert ended(jobs, learning).state == "stopped"
    assert rises(steps(run.metrics()))
    wait_until_learning(jobs, waiting)


# Many at once -----------------------------------------------------------------------------------


def test_many_visitors_at_once_leave_every_run_in_a_lawful_state(open_jobs, short):
    jobs = open_jobs(workers=2, caps=Caps(waiting=6))
    runs: dict[str, str] = {}
    surprises: list[BaseException] = []
    until = time.monotonic() + 1.5

    def visit(seed: int) -> None:
        rng = random.Random(seed)
        while time.monotonic() < until:
            run_id, token = rng.choice(list(runs.items()) or [("a" * 16, "token")])
            act = rng.choice(("submit", "stop", "stop", "resume", "delete", "watch", "watch"))
            try:
                if act == "submit":
                    runs.update([jobs.submit(short)])
                elif act == "watch":
                    view = jobs.view(run_id)
                    assert view.state in MOVES
                    assert rises(steps(jobs.curve(run_id)))
                else:
                    getattr(jobs, act)(run_id, token)
            except (IllegalMove, CapReached, UnknownRun):
                pass
            except BaseException as error:
                surprises.append(error)
                raise
            time.sleep(rng.random() * 0.01)

    visitors = [threading.Thread(target=visit, args=(seed,)) for seed in range(6)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert surprises == []
    assert len(runs) > 5
    left = [run_id for run_id in runs if (jobs.folder / run_id).exists()]
    assert left
    for run_id in left:
        assert ended(jobs, run_id).state in {"stopped", "finished"}
    wait_for(lambda: not jobs._active)
    for run_id in left:
        assert jobs.run(run_id).status.state == jobs.view(run_id).state not in UNDER_WAY
        assert jobs.view(run_id).queue_place == 0
        if jobs.view(run_id).state == "finished":
            assert jobs.view(run_id).step >= short.steps
    run_id, _ = jobs.submit(short)  # the workers are still there
    assert ended(jobs, run_id).state == "finished"


def test_a_run_whose_process_dies_is_seen_as_interrupted_without_a_restart(
    open_jobs, endless, tmp_path
):
    folder = tmp_path / "runs"
    device.plan()
    arguments = [sys.executable, "-c", SERVER, str(folder), json.dumps(endless.to_dict())]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            (learning, _), _ = json.loads(process.stdout.readline())
            wait_for(lambda: len(Run(folder / learning).snapshot_steps()) >= 1)
            beside = open_jobs()
            step = beside.view(learning).step
            wait_for(lambda: beside.view(learning).step > step)
            assert beside.view(learning).state == "running"
        finally:
            process.kill()
    wait_for(lambda: beside.view(learning).state == "interrupted")


# Quality and its remedy -----------------------------------------------------------------------

SLOWER = Remedy("Go back and learn more slowly", {"learning_rate": 1e-4})


class Looks:
    """A gauge that looks five times a second and finds every look worse than the one before."""

    is_possible = True

    def __init__(self, *_):
        self.kid, self.next = 1.0, 0.2

    def is_due(self, seconds: float) -> bool:
        return seconds >= self.next

    def look(self, _generator, *_) -> dict[str, float]:
        self.kid, self.next = self.kid + 1, self.next + 0.2
        names = ("kid_std", "diversity", "least_diversity", "copied", "usually_copied")
        return {"kid": self.kid, **dict.fromkeys(names, 0.5)}


@pytest.fixture
def looks(monkeypatch) -> None:
    monkeypatch.setattr(training, "Gauge", Looks)
    monkeypatch.setattr(training, "FIRST_LOOK_SECONDS", 0.0)


@pytest.fixture
def prescribe(looks, monkeypatch) -> Callable[[Remedy | None], Verdict]:
    """Gives every run that was measured a red light with this remedy."""

    def prescribed(remedy: Remedy | None) -> Verdict:
        verdict = Verdict("red", "Ailing", "It gets worse and worse.", remedy)

        def diagnose(config, curve, quality, progress, exploded=False) -> Verdict | None:
            return verdict if quality else None

        for module in (jobs_module, views):
            monkeypatch.setattr(module, "diagnose", diagnose)
        return verdict

    return prescribed


def wait_until_measured(jobs: Jobs, run_id: str) -> JobView:
    wait_for(lambda: len(jobs.quality(run_id)) >= 2)
    return jobs.view(run_id)


def test_what_was_measured_and_the_verdict_are_seen_while_the_run_learns(
    jobs, open_jobs, endless, prescribe
):
    verdict = prescribe(SLOWER)
    run_id, token = jobs.submit(endless)
    assert jobs.view(run_id).verdict is None
    view = wait_until_measured(jobs, run_id)
    assert view.state == "running"
    assert view.verdict == verdict
    seen = jobs.quality(run_id)
    assert rises(steps(seen))
    assert view.best_step == seen[0]["step"]
    jobs.stop(run_id, token)
    after = ended(jobs, run_id)
    reopened = open_jobs()
    assert reopened.view(run_id).verdict == after.verdict == verdict
    assert reopened.view(run_id).best_step == after.best_step == view.best_step
    assert reopened.quality(run_id) == jobs.run(run_id).quality()
    assert steps(reopened.quality(run_id)) == steps(jobs.quality(run_id))


def test_a_remedy_stops_the_run_and_goes_on_from_its_best_snapshot_with_other_settings(
    jobs, endless, prescribe
):
    prescribe(SLOWER)
    run_id, token = jobs.submit(endless)
    best = wait_until_measured(jobs, run_id).best_step
    new_id, new_token = jobs.remedy(run_id, token)
    old, new = jobs.run(run_id), jobs.run(new_id)
    assert jobs.view(run_id).state == "stopped"
    assert old.config == endless
    assert new.config == replace(endless, learning_rate=1e-4)
    assert new.about["lineage"] == {"run": run_id, "step": best}
    assert new.about["ancestors"] == kinship.of_run(old)

    wait_until_learning(jobs, new_id, past_step=best)
    for now, before in (
        (new.metrics(), old.metrics()),
        (new.quality(), old.quality()),
        (jobs.curve(new_id), jobs.curve(run_id)),
    ):
        until_best = [step for step in steps(before) if step <= best]
        assert until_best
        assert steps(now)[: len(until_best)] == until_best
        assert rises(steps(now))
    for step in (step for step in old.grid_steps() if step <= best):
        assert jobs.grid(new_id, step) == old.grid(step)
    jobs.stop(new_id, new_token)
    with pytest.raises(NotOwner):
        jobs.delete(new_id, token)


def test_a_remedy_gives_a_run_at_the_end_of_its_budget_more_of_it(
    jobs, short, prescribe, monkeypatch
):
    prescribe(SLOWER)
    monkeypatch.setattr(Looks, "is_due", lambda *_: False)  # so only at the end
    run_id, token = jobs.submit(short)
    ended(jobs, run_id)
    new_id, _ = jobs.remedy(run_id, token)
    assert jobs.run(run_id).config == short
    assert jobs.run(new_id).config == replace(short, learning_rate=1e-4, steps=9)
    assert ended(jobs, new_id).step == 9
    assert jobs.view(run_id).state == "finished"


def test_a_remedy_from_nothing_starts_anew(jobs, short, prescribe):
    prescribe(Remedy("Start again", {"seed": 7}, from_best=False))
    run_id, token = jobs.submit(short)
    ended(jobs, run_id)
    new_id, _ = jobs.remedy(run_id, token)
    assert ended(jobs, new_id).step == short.steps
    assert jobs.run(new_id).config == replace(short, seed=7)


def test_without_a_remedy_nothing_is_stopped_or_started(jobs, endless, prescribe, tmp_path):
    prescribe(None)
    run_id, token = jobs.submit(endless)
    refusal = "there is nothing to remedy in this run just now"
    with pytest.raises(IllegalMove, match=refusal):
        jobs.remedy(run_id, token)  # too early to tell
    wait_until_measured(jobs, run_id)
    with pytest.raises(IllegalMove, match=refusal):
        jobs.remedy(run_id, token)
    assert jobs.view(run_id).state == "running"
    assert len(all_runs(tmp_path / "runs")) == 1


def test_a_strangers_remedy_is_refused(jobs, endless, prescribe, tmp_path):
    prescribe(SLOWER)
    run_id, _ = jobs.submit(endless)
    wait_until_measured(jobs, run_id)
    for stranger in (None, "", "wrong", run_id):
        with pytest.raises(NotOwner):
            jobs.remedy(run_id, stranger)
    assert jobs.view(run_id).state == "running"
    assert len(all_runs(tmp_path / "runs")) == 1


def test_a_remedy_waits_in_line_and_a_full_line_refuses_it(open_jobs, endless, short, prescribe):
    prescribe(SLOWER)
    jobs = open_jobs(caps=Caps(waiting=1))
    run_id, token = jobs.submit(endless)
    wait_until_measured(jobs, run_id)
    waiting, its_token = jobs.submit(endless)
    with pytest.raises(CapReached):
        jobs.remedy(run_id, token)
    assert jobs.view(run_id).state == "running"
    jobs.stop(waiting, its_token)
    new_id, _ = jobs.remedy(run_id, token)
    assert jobs.view(new_id).is_under_way


# Transfers and races ----------------------------------------------------------------------------


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
    assert run.status.state == "stopped"
    for each in (run, lap_of(jobs, run_id, "finetune")):  # as a killed server leaves them
        each.move("queued")
        each.move("running")
    after = open_jobs()
    view = after.view(run_id)
    assert view.state == "interrupted"
    assert 0.5 < view.progress < 1
    after.resume(run_id, token)
    assert ended(after, run_id).state == "finished"
    assert list(contest.results_of(run)) == ["freezed", "finetune"]


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
