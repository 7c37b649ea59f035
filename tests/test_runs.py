"""A run's folder: its states, its owner, its curves, grids and snapshots, and who may train it."""

import json
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
import safetensors
import torch
from conftest import tiny

import ganlab
from ganlab.config import TrainConfig
from ganlab.runs import (
    KEPT_SNAPSHOTS,
    MOVES,
    UNDER_WAY,
    IllegalMove,
    Run,
    RunIsHeld,
    Status,
    all_runs,
)

ROOT = Path(__file__).parents[1]


@pytest.fixture
def run(tmp_path) -> Run:
    return Run.create(TrainConfig(seed=7), runs=tmp_path)[0]


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


# Its curves ---------------------------------------------------------------------------------


def test_logged_lines_come_back_in_order(run):
    lines = [{"step": step, "loss_d": 0.25 * step} for step in range(5)]
    for line in lines:
        run.log_metrics(line)
    assert Run(run.path).metrics() == lines


def test_numbers_are_logged_in_six_digits_but_for_steps(run):
    run.log_metrics({"step": 12_345_678, "loss_d": 2 / 3e7, "score_real": -1234.56789})
    line = {"step": 12_345_678, "loss_d": 6.66667e-08, "score_real": -1234.57}
    assert run.metrics() == [line]


def test_quality_is_a_curve_of_its_own(run):
    run.log_metrics({"step": 1, "loss_d": 0.5})
    run.log_quality({"step": 2, "kid": 1.5})
    with open(run.path / "quality.jsonl", "a") as file:
        file.write('{"step": 3')
    assert run.metrics() == [{"step": 1, "loss_d": 0.5}]
    assert Run(run.path).quality() == [{"step": 2, "kid": 1.5}]


@pytest.mark.parametrize("kept", range(1, len('{"step": 1, "loss_d": 0.5}\n')))
def test_a_line_cut_short_by_a_crash_is_left_out(run, kept):
    run.log_metrics({"step": 0, "loss_d": 0.25})
    path = run.path / "metrics.jsonl"
    with open(path, "a") as file:
        file.write('{"step": 1, "loss_d": 0.5}\n'[:kept])
    assert run.metrics() == [{"step": 0, "loss_d": 0.25}]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_never_logged(run, value):
    run.log_metrics({"step": 0, "loss_d": 0.25})
    with pytest.raises(ValueError):
        run.log_metrics({"step": 1, "loss_d": value})
    assert run.metrics() == [{"step": 0, "loss_d": 0.25}]
    assert (run.path / "metrics.jsonl").read_text().count("\n") == 1


# Its grids ----------------------------------------------------------------------------------


def test_grids_are_found_by_their_step_in_the_order_of_steps(run):
    for step in (0, 1_234_567, 99, 1000):
        run.save_grid(step, f"JPEG {step}".encode())
    assert run.grid_steps() == [0, 99, 1000, 1_234_567]
    assert run.grid(99) == b"JPEG 99"
    assert run.grid(1_234_567) == b"JPEG 1234567"


def test_going_on_from_a_step_forgets_the_curves_and_grids_past_it(run):
    for step in range(0, 50, 10):
        run.log_metrics({"step": step})
        run.log_quality({"step": step, "kid": 1.0})
        run.save_grid(step, b"JPEG")
    with open(run.path / "metrics.jsonl", "a") as file:
        file.write('{"step": 4')
    run.forget_after(20)
    assert [line["step"] for line in run.metrics()] == [0, 10, 20]
    assert [line["step"] for line in run.quality()] == [0, 10, 20]
    assert run.grid_steps() == [0, 10, 20]
    run.log_metrics({"step": 21})
    assert [line["step"] for line in run.metrics()] == [0, 10, 20, 21]


def test_a_run_without_curves_has_nothing_to_forget(run):
    run.forget_after(0)
    assert run.metrics() == []


# Its snapshots ------------------------------------------------------------------------------


def save(run: Run, step: int) -> None:
    run.save_snapshot(step, f"generator {step}".encode(), f"training {step}".encode())


def test_a_snapshot_holds_what_it_was_given(run):
    save(run, 12)
    folder = run.snapshot()
    assert folder == run.snapshot(12) == run.path / "snapshots" / "000012"
    assert (folder / "generator.safetensors").read_bytes() == b"generator 12"
    assert (folder / "training.safetensors").read_bytes() == b"training 12"


def test_only_the_newest_snapshot_of_a_run_that_was_not_measured_can_resume(run):
    for step in (5, 10, 1_000_000):
        save(run, step)
    assert run.snapshot().name == "1000000"
    resumable = [s for s in run.snapshot_steps() if "training.safetensors" in names(run, s)]
    assert resumable == [1_000_000]
    assert names(run, 5) == names(run, 10) == ["generator.safetensors"]


def names(run: Run, step: int) -> list[str]:
    """Of its files, but for their checksums."""
    files = (path.name for path in run.snapshot(step).iterdir())
    return sorted(name for name in files if name != "sums.json")


def trainable(run: Run) -> list[int]:
    """The steps whose snapshot a training can go on from."""
    return [step for step in run.snapshot_steps() if "training.safetensors" in names(run, step)]


def measure(run: Run, step: int, kid: float) -> None:
    """As the loop does it: the quality first, then the snapshot."""
    run.log_quality({"step": step, "seconds": step / 10, "kid": kid})
    save(run, step)


def test_the_best_snapshot_is_that_of_the_lowest_kid(run):
    assert run.best_step() is None
    save(run, 5)
    save(run, 10)
    assert run.best_step() == 10  # none was measured: the newest
    measure(run, 20, 3.0)
    assert run.best_step() == 20
    save(run, 25)
    assert run.best_step() == 20
    measure(run, 30, 1.5)
    measure(run, 40, 2.0)
    assert Run(run.path).best_step() == 30
    measure(run, 50, -0.1)  # an unbiased estimate can be
    assert run.best_step() == 50


def test_a_look_whose_snapshot_is_not_there_cannot_be_the_best(run):
    measure(run, 10, 3.0)
    run.log_quality({"step": 20, "kid": 1.0})  # it broke off before it saved
    assert run.best_step() == 10


def test_the_newest_and_the_best_snapshot_can_be_trained_on_and_no_other(run):
    for step, kid in ((10, 5.0), (20, 2.0), (30, 3.0), (40, 4.0)):
        measure(run, step, kid)
    assert trainable(run) == [20, 40]
    assert (run.snapshot(20) / "training.safetensors").read_bytes() == b"training 20"
    save(run, 50)
    assert trainable(run) == [20, 50]
    measure(run, 60, 1.0)
    assert trainable(run) == [60]
    save(run, 70)
    assert trainable(run) == [60, 70]


@pytest.mark.parametrize("best", [10, 20, 50, 200])
def test_thinning_never_drops_the_best_snapshot(run, best):
    for step in range(10, 40 * KEPT_SNAPSHOTS, 10):
        measure(run, step, 1.0 if step == best else 2.0)
    steps = run.snapshot_steps()
    assert len(steps) == KEPT_SNAPSHOTS
    assert best in steps and run.best_step() == best
    assert (steps[0], steps[-1]) == (10, 40 * KEPT_SNAPSHOTS - 10)
    assert trainable(run) == [best, steps[-1]]


def test_a_step_that_is_saved_already_is_not_touched_again(run):
    save(run, 5)
    before = (run.snapshot(5) / "training.safetensors").stat().st_mtime_ns
    save(run, 5)
    assert run.snapshot_steps() == [5]
    assert (run.snapshot(5) / "training.safetensors").stat().st_mtime_ns == before


def test_thinning_keeps_the_first_the_newest_and_never_too_many(run):
    for number in range(1, 4 * KEPT_SNAPSHOTS):
        save(run, 10 * number)
        steps = run.snapshot_steps()
        assert len(steps) == number if number <= KEPT_SNAPSHOTS else len(steps) <= KEPT_SNAPSHOTS
        assert len(steps) >= min(number, KEPT_SNAPSHOTS // 2)
        assert (steps[0], steps[-1]) == (10, 10 * number)
        assert names(run, steps[-1]) == ["generator.safetensors", "training.safetensors"]
    assert {path.name for path in (run.path / "snapshots").iterdir()} == {
        f"{step:06d}" for step in steps
    }


def test_thinned_snapshots_are_spread_evenly(run):
    for number in range(1, 6 * KEPT_SNAPSHOTS):
        save(run, 10 * number)
    steps = run.snapshot_steps()
    gaps = [after - before for before, after in pairwise(steps)]
    assert max(gaps[:-1]) <= 8 * min(gaps)


def test_a_run_without_a_snapshot_says_what_to_do(run):
    with pytest.raises(ValueError, match="no snapshot yet: let it train for a few seconds"):
        run.snapshot()


def test_a_step_without_a_snapshot_is_named_together_with_those_that_exist(run):
    save(run, 5)
    save(run, 10)
    with pytest.raises(ValueError, match=r"no snapshot at step 7: choose one of \[5, 10\]"):
        run.snapshot(7)


def test_what_a_crash_left_behind_while_saving_is_no_snapshot(run):
    save(run, 5)
    half = run.path / "snapshots" / ".000010.abcd"
    half.mkdir()
    (half / "generator.safetensors").write_bytes(b"half")
    assert run.snapshot_steps() == [5]


def test_when_a_snapshot_cannot_be_written_the_one_before_can_still_resume(run, monkeypatch):
    save(run, 5)
    write = Path.write_bytes

    def fill_the_disk(path: Path, content: bytes) -> int:
        if path.name == "training.safetensors":
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fill_the_disk)
    with pytest.raises(OSError, match="disk is full"):
        save(run, 10)
    assert names(run, 5) == ["generator.safetensors", "training.safetensors"]
    assert run.snapshot_steps() == [5]
    assert len(list((run.path / "snapshots").iterdir())) == 1


# Going on from a snapshot with other settings ---------------------------------------------------


@pytest.fixture
def measured(run) -> Run:
    """A run with curves and grids up to step 40, whose best snapshot is at 20."""
    for step in (10, 20, 30, 40):
        run.log_metrics({"step": step, "seconds": step / 10, "loss_d": 0.5})
        run.save_grid(step, f"JPEG {step}".encode())
        measure(run, step, 1.0 if step == 20 else 2.0)
    run.note_progress(40, 4.0)
    return run


def contents(run: Run) -> dict[str, bytes]:
    files = (path for path in run.path.rglob("*") if path.is_file())
    return {str(path.relative_to(run.path)): path.read_bytes() for path in files}


def test_a_branch_takes_all_up_to_its_snapshot_and_leaves_the_original_as_it_is(measured, tmp_path):
    before = contents(measured)
    new, token = measured.branch(TrainConfig(seed=7, learning_rate=5e-4), tmp_path / "new", 20)
    assert contents(measured) == before
    assert new.path.parent == tmp_path / "new"
    assert new.is_owned_by(token)
    assert new.config == TrainConfig(seed=7, learning_rate=5e-4)
    assert new.status == Status("queued", 20, 2.0)
    assert new.about["lineage"] == {"run": measured.id, "step": 20}
    for key in ("model", "data"):  # so that it refuses to go on with others
        assert new.about.get(key) == measured.about.get(key)
    assert new.snapshot_steps() == [20]
    for path in measured.snapshot(20).iterdir():
        assert (new.snapshot(20) / path.name).read_bytes() == path.read_bytes()
    assert new.metrics() == measured.metrics()[:2]
    assert new.quality() == measured.quality()[:2]
    assert new.grid_steps() == [10, 20]
    assert new.grid(20) == b"JPEG 20"
    assert new.best_step() == 20


def test_a_branch_and_its_original_have_different_owners(measured, tmp_path):
    _, token = measured.branch(TrainConfig(), tmp_path, 20)
    assert not measured.is_owned_by(token)


def test_a_branch_from_nothing_starts_anew(measured, tmp_path):
    new, token = measured.branch(TrainConfig(seed=8), tmp_path, None)
    assert new.is_owned_by(token)
    assert new.status == Status("queued")
    assert (new.metrics(), new.quality(), new.grid_steps()) == ([], [], [])
    assert new.snapshot_steps() == []
    assert new.config == TrainConfig(seed=8)


@pytest.mark.parametrize(
    ("step", "complaint"),
    [(10, "at step 10 can be sampled, but not trained on"), (15, "no snapshot at step 15")],
)
def test_only_a_snapshot_with_its_training_state_can_be_branched(
    measured, tmp_path, step, complaint
):
    with pytest.raises(ValueError, match=complaint):
        measured.branch(TrainConfig(), tmp_path / "new", step)
    assert not (tmp_path / "new").exists()


# Edited heads ---------------------------------------------------------------------------------


def test_a_replaced_snapshot_leaves_the_one_before_for_who_reads_it(run):
    for step in (1, 2, 3):
        run.replace_snapshot(step, {"generator.safetensors": bytes([step])}, b"grid")
    assert run.snapshot_steps() == run.grid_steps() == [2, 3]
    assert (run.snapshot(2) / "generator.safetensors").read_bytes() == b"\x02"


def test_a_snapshot_with_a_network_of_its_own_tells_it(run):
    shape = {"architecture": "multihead", "size": 32, "channels": 3, "z_dim": 8, "width": 8}
    model = {**shape, "tasks": ["a"]}
    run.describe(model=model)
    assert run.model_at(1).tasks == ("a",)
    own = {"format": 1, "model": {**model, "tasks": ["a", "b"]}}
    run.replace_snapshot(1, {"model.json": json.dumps(own).encode()}, b"grid")
    assert run.model_at(1).tasks == ("a", "b")


def test_only_a_run_with_edits_is_one_of_edited_heads(run):
    assert not run.is_derived
    run.describe(edits=[])
    assert run.is_derived


def test_an_empty_folder_that_is_there_becomes_the_run(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    run, token = Run.create(tiny(), path=Path("."))
    assert run.is_owned_by(token) and run.status.state == "queued"
    assert run.path == tmp_path / "mine"
    (tmp_path / "link").symlink_to(tmp_path / "other")
    (tmp_path / "other").mkdir()
    assert Run.create(tiny(), path=tmp_path / "link")[0].path == tmp_path / "other"
