"""What breaks a run, or ends the server, and what is left then."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import tiny

from ganlab import device, views
from ganlab import perform as perform_module
from ganlab.known import UnknownRun
from ganlab.runs import Run, RunIsHeld
from jobs.waiting import ended, rises, steps, wait_for, wait_until_learning

ROOT = Path(__file__).parents[2]
EXPLODES = {
    "learning_rate": 1.0,
    "beta1": 0.999,
    "beta2": 0.0,
    "r1": 1000.0,
    "r2": 1000.0,
    "loss": "wasserstein",
    "penalty_every": 1,
}


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
