"""What anybody may see of a run, and of what is none."""

from itertools import pairwise

import pytest
from conftest import tiny

from ganlab import views
from ganlab.known import MAX_CURVE_POINTS, UnknownRun
from ganlab.runs import Run

MALFORMED = [
    "", "x", "../x", "..", ".", "/etc/passwd", "x" * 10_000, "a/../../../etc/pass", "%2e%2e%2fx",
    "................", "aaaaaaaaaaaaaaa/", "aaaaaaaaaaaaaaaa\n", "\0" * 16, "é" * 16, None, 7,
    1.5, True, ["a" * 16], {"a": 1}, b"a" * 16,
]  # fmt: skip


@pytest.mark.parametrize("run_id", MALFORMED, ids=lambda value: repr(value)[:30])
def test_what_is_no_id_is_refused_whatever_it_is(jobs, run_id):
    (jobs.folder.parent / "x").mkdir()
    (jobs.folder.parent / "x" / "status.json").write_text('{"state": "finished"}')
    for look in (jobs.view, jobs.curve, jobs.run, lambda id_: jobs.grid(id_, 0)):
        with pytest.raises(UnknownRun, match="this is not the id of a run"):
            look(run_id)
    for act in ("stop", "resume", "delete", "remedy", "duplicate"):
        with pytest.raises(UnknownRun):
            getattr(jobs, act)(run_id, "token")


def test_an_id_that_nobody_was_given_is_unknown(jobs):
    (jobs.folder / ("b" * 16)).mkdir()  # a folder, but no run
    for run_id in ("a" * 16, "b" * 16):
        with pytest.raises(UnknownRun, match="there is no such run here"):
            jobs.view(run_id)


@pytest.mark.parametrize("lines", [0, 1, 2, 199, 200, 201, 400, 401, 1001])
def test_a_curve_is_thinned_evenly_and_keeps_its_last_line(jobs, lines):
    run, _ = Run.create(tiny(), runs=jobs.folder)
    run.move("stopped")
    for step in range(1, lines + 1):
        losses = {"loss_g": 1.0, "loss_d": 1.0, "d_right": 0.5}
        run.log_metrics({"step": step, "images_per_second": 1.0, **losses})
    curve = [line["step"] for line in jobs.curve(run.id)]
    assert len(curve) <= MAX_CURVE_POINTS
    assert curve[-1:] == [lines][: len(curve)]
    assert (len(curve) == 0) == (lines == 0)
    assert len({b - a for a, b in pairwise(curve)}) <= 1
    if lines <= MAX_CURVE_POINTS:
        assert curve == list(range(1, lines + 1))
    else:
        assert len(curve) >= MAX_CURVE_POINTS / 2


LOOK = {"seconds": 1.0, "diversity": 0.5, "least_diversity": 0.5, "copied": 0.0, "samples": 8}


def measured(jobs, looks: int, *, lowest: int = 7) -> Run:
    """A run that was logged and looked at so often, with a snapshot at step 14."""
    run, _ = Run.create(tiny(), runs=jobs.folder)
    run.save_snapshot(14, b"", b"")
    losses = {"loss_g": 1.0, "loss_d": 1.0, "d_right": 0.5, "images_per_second": 1.0}
    of_quality = {**LOOK, "kid_std": 0.1, "usually_copied": 0.0}
    for step in range(1, looks + 1):
        run.log_metrics({"step": step, **losses})
        run.log_quality({"step": step, **of_quality, "kid": 1.0 if step == lowest else 2.0})
    run.move("stopped")
    return run


def steps_of(lines) -> list[int]:
    return [line["step"] for line in lines]


@pytest.mark.parametrize("looks", [199, 200, 201, 599])
def test_looks_are_thinned_but_for_those_by_which_all_are_judged(jobs, looks):
    run = measured(jobs, looks)
    steps = steps_of(jobs.quality(run.id))
    assert {1, 7, 14, looks} <= set(steps)
    assert steps == sorted(set(steps))
    assert len(steps) == looks if looks <= MAX_CURVE_POINTS else 90 <= len(steps) <= 200


@pytest.mark.parametrize(("lines", "size"), [(50, 10**9), (10**9, 9_000)])
def test_of_very_long_curves_some_lines_stay_in_memory(jobs, monkeypatch, lines, size):
    run = measured(jobs, 300)
    before, verdict = jobs.quality(run.id), views.view_of(run).verdict
    monkeypatch.setattr(views, "MOST_LINES", lines)
    monkeypatch.setattr(views, "MOST_BYTES", size)
    jobs._known.clear()
    assert views.view_of(run).verdict == jobs.view(run.id).verdict == verdict
    assert verdict is not None
    job = jobs._known[run.id]
    assert 10 <= len(job.curve) <= 100 and 10 <= len(job.quality) <= 100 < len(before)
    assert steps_of(job.curve)[-1] == 300
    assert {1, 7, 14, 300} <= set(steps_of(job.quality))
    assert all(line in run.quality() for line in job.quality)
    assert jobs.quality(run.id) == job.quality


def test_a_run_that_another_process_trains_is_read_again_but_only_a_change_is_news(jobs):
    run, _ = Run.create(tiny(), runs=jobs.folder)
    with run.held():
        run.move("running")
        first = jobs.view(run.id)
        jobs._known[run.id].looked_at -= 2
        assert jobs.view(run.id) is first
        run.log_metrics(
            {"step": 3, "images_per_second": 8.0, "loss_g": 1.0, "loss_d": 1.0, "d_right": 0.5}
        )
        assert jobs.view(run.id) is first and jobs.curve(run.id) == []  # at most once a second
        jobs._known[run.id].looked_at -= 2
        second = jobs.view(run.id)
        assert (second.images_per_second, second.version) == (8.0, first.version + 1)
        assert [line["step"] for line in jobs.curve(run.id)] == [3]
