"""A run's folder: what it tells, its states, its owner, and who may train it."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import safetensors
import torch
from conftest import tiny

import ganlab
from ganlab.config import TrainConfig
from ganlab.runs import MOVES, UNDER_WAY, IllegalMove, Run, RunIsHeld, Status, all_runs

ROOT = Path(__file__).parents[1]


# What a run is ------------------------------------------------------------------------------


def test_a_new_run_can_be_read_back_from_its_folder_alone(tmp_path):
    config = TrainConfig.from_preset("better", tasks=["a", "b"], seed=7)
    before = time.time()
    run, _ = Run.create(config, runs=tmp_path)
    again = Run(tmp_path / run.id)
    assert again.config == config
    assert again.status == Status("queued")
    assert before <= again.about["created"] <= time.time()
    assert again.about["versions"] == {
        "ganlab": ganlab.__version__,
        "torch": torch.__version__,
        "safetensors": safetensors.__version__,
    }
    assert (again.metrics(), again.grid_steps(), again.snapshot_steps()) == ([], [], [])


def test_ids_are_long_and_never_the_same(tmp_path):
    ids = {Run.create(TrainConfig(), runs=tmp_path)[0].id for _ in range(50)}
    assert len(ids) == 50
    assert {len(run_id) for run_id in ids} == {16}  # 96 bits
    for place in range(16):  # no place always holds the same letter
        assert len({run_id[place] for run_id in ids}) > 10


def test_a_run_can_be_put_where_one_likes_unless_something_is_there(tmp_path):
    run, _ = Run.create(TrainConfig(), path=tmp_path / "mine")
    assert run.path == tmp_path / "mine"
    (tmp_path / "empty").mkdir()
    Run.create(TrainConfig(), path=tmp_path / "empty")
    with pytest.raises(ValueError, match="mine is not empty: choose a new folder"):
        Run.create(TrainConfig(), path=tmp_path / "mine")


def test_entries_are_added_to_the_description_and_replaced_in_it(run):
    run.describe(plan={"threads": 2}, note="a")
    run.describe(note="b")
    assert run.about["plan"] == {"threads": 2}
    assert run.about["note"] == "b"
    assert run.config == TrainConfig(seed=7)


def test_runs_are_found_oldest_first_and_other_folders_left_alone(tmp_path):
    runs = [Run.create(TrainConfig(), runs=tmp_path)[0] for _ in range(4)]
    for age, run in zip((3, 1, 4, 2), runs, strict=True):
        run.describe(created=age)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    assert [run.about["created"] for run in all_runs(tmp_path)] == [1, 2, 3, 4]
    assert all_runs(tmp_path / "nowhere") == []


def test_an_empty_folder_that_is_there_becomes_the_run(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    run, token = Run.create(tiny(), path=Path("."))
    assert run.is_owned_by(token) and run.status.state == "queued"
    assert run.path == tmp_path / "mine"
    (tmp_path / "link").symlink_to(tmp_path / "other")
    (tmp_path / "other").mkdir()
    assert Run.create(tiny(), path=tmp_path / "link")[0].path == tmp_path / "other"


# Its owner ----------------------------------------------------------------------------------


def test_only_the_token_given_at_the_start_is_the_owners(tmp_path):
    run, token = Run.create(TrainConfig(), runs=tmp_path)
    other_run, other_token = Run.create(TrainConfig(), runs=tmp_path)
    assert run.is_owned_by(token)
    assert Run(run.path).is_owned_by(token)
    assert not run.is_owned_by(other_token)
    assert not other_run.is_owned_by(token)
    assert not run.is_owned_by(token[:-1])
    assert not run.is_owned_by(token + "x")
    assert not run.is_owned_by(token.swapcase())


@pytest.mark.parametrize(
    "token", [None, "", 0, 1, True, b"bytes", ["x"], {}, "ünïcode", "\ud800", "\x00", "x" * 10**6]
)
def test_whatever_a_page_may_send_instead_of_a_token_is_not_the_owners(run, token):
    assert run.is_owned_by(token) is False


def test_the_folder_does_not_tell_the_token(tmp_path):
    run, token = Run.create(TrainConfig(), runs=tmp_path)
    assert len(token) == 32  # 192 bits
    contents = [path.read_text() for path in run.path.rglob("*") if path.is_file()]
    assert len(contents) >= 3
    assert not any(token in content for content in contents)
    hashed = json.loads((run.path / "owner.json").read_text())["token_sha256"]
    assert not run.is_owned_by(hashed)


# Its states ---------------------------------------------------------------------------------

LEGAL = {
    ("queued", "running"),
    ("queued", "stopped"),
    ("queued", "failed"),
    ("queued", "interrupted"),
    ("running", "stopping"),
    ("running", "stopped"),
    ("running", "finished"),
    ("running", "failed"),
    ("running", "interrupted"),
    ("stopping", "stopped"),
    ("stopping", "finished"),
    ("stopping", "failed"),
    ("stopping", "interrupted"),
    ("stopped", "queued"),
    ("finished", "queued"),
    ("failed", "queued"),
    ("interrupted", "queued"),
}


@pytest.mark.parametrize("after", [*MOVES, "paused"])
@pytest.mark.parametrize("before", MOVES)
def test_a_state_changes_only_as_makes_sense(run, before, after):
    status = Status(before, step=5, seconds=2.5, message="old")
    run._write_status(status)
    if (before, after) in LEGAL:
        moved = run.move(after, "new")
        assert moved == Status(after, step=5, seconds=2.5, message="new")
        assert Run(run.path).status == moved
    else:
        with pytest.raises(IllegalMove, match=f"that is {before} cannot become {after}"):
            run.move(after, "new")
        assert run.status == status


def test_every_state_is_under_way_or_can_be_resumed():
    for state, following in MOVES.items():
        assert (state in UNDER_WAY) != ("queued" in following)
        assert state not in UNDER_WAY or "interrupted" in following  # when a server dies


def test_a_move_without_a_message_clears_the_old_one(run):
    run.move("failed", "a reason")
    run.move("queued")
    assert run.status.message == ""


def test_progress_is_noted_without_touching_state_and_message(run):
    run.move("running", "hello")
    run.note_progress(12, 3.45678)
    assert run.status == Status("running", 12, 3.457, "hello")


def test_a_stop_is_not_lost_when_progress_is_noted_at_the_same_moment(run, monkeypatch):
    run.move("running")
    write, about_to_write = run._write_status, threading.Event()

    def write_slowly(status: Status) -> Status:
        about_to_write.set()
        time.sleep(0.05)
        return write(status)

    monkeypatch.setattr(run, "_write_status", write_slowly)
    training = threading.Thread(target=run.note_progress, args=(12, 3.0))
    training.start()
    about_to_write.wait()
    run.move("stopping")
    training.join()
    assert run.status == Status("stopping", 12, 3.0)


# Who trains it ------------------------------------------------------------------------------

HOLDER = """
import sys
from pathlib import Path
from ganlab.runs import Run
with Run(Path(sys.argv[1])).held():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_run_held_by_another_process_is_refused_until_that_process_is_gone(run):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(RunIsHeld, match="another process is training"), run.held():
                pytest.fail("two processes train the same run")
            assert holder.poll() is None
        finally:
            holder.kill()  # without a chance to tidy up
    with run.held():
        pass


def test_a_run_is_free_again_after_it_was_held_whatever_happened(run):
    with pytest.raises(RuntimeError, match="crash"), run.held():
        raise RuntimeError("crash")
    with run.held(), pytest.raises(RunIsHeld), Run(run.path).held():
        pytest.fail("held twice")
    with run.held():
        pass


def test_being_held_leaves_other_runs_free(tmp_path, run):
    other, _ = Run.create(TrainConfig(), runs=tmp_path)
    with run.held(), other.held():
        pass
