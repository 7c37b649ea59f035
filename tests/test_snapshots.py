"""A run's snapshots: which are kept, which is the best, and what goes on from one."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from ganlab.config import TrainConfig
from ganlab.runs import KEPT_SNAPSHOTS, Run, Status

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


def test_the_best_one_is_taken_until_what_was_seen_tells_little_of_the_run(run):
    assert run.step_to_take() is None
    save(run, 5)
    assert run.step_to_take() == 5
    run.move("running")
    measure(run, 10, 3.0)
    measure(run, 20, 4.0)
    save(run, 30)
    assert run.step_to_take() == run.best_step() == 10
    save(run, 40)  # twice as far as it was seen
    assert (run.step_to_take(), run.best_step()) == (40, 10)
    measure(run, 50, 5.0)
    assert run.step_to_take() == 10
    save(run, 60)
    run.move("stopped")  # and is measured soon
    assert (run.step_to_take(), run.best_step()) == (60, 10)
    run.log_quality({"step": 60, "seconds": 6.0, "kid": 6.0})
    assert run.step_to_take() == 10


def test_of_a_run_that_failed_the_best_one_is_taken_however_early(run):
    measure(run, 10, 3.0)
    save(run, 500)
    run.move("failed")
    assert run.step_to_take() == 10


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
