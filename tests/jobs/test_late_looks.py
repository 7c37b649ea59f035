"""Runs that broke off are measured afterwards, while nobody waits."""

import json
import threading

import pytest

from ganlab import late_look, quality
from ganlab.quality import Gauge
from ganlab.runs import Run
from jobs.waiting import ended, steps, wait_for, wait_until_learning


@pytest.fixture(autouse=True)
def after_a_moment(monkeypatch) -> None:
    """Long enough to be measured, with no look while it trains."""
    monkeypatch.setattr(late_look, "FIRST_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(Gauge, "is_due", lambda self, seconds: False)
    monkeypatch.setattr(quality, "SAMPLES", 16)


class Held:
    """Keeps a look at its first pictures until it is released or broken off."""

    def __init__(self, monkeypatch) -> None:
        self.begun, self.released = threading.Event(), threading.Event()
        extract = quality.features.extract

        def held(images, before_batch):
            self.begun.set()
            while not self.released.wait(0.01):
                before_batch()
            return extract(images, before_batch)

        monkeypatch.setattr(quality.features, "extract", held)


def stopped(jobs, config) -> tuple[str, str]:
    """A new run, stopped at step 3 or later."""
    run_id, token = jobs.submit(config)
    wait_until_learning(jobs, run_id, past_step=2)
    jobs.stop(run_id, token)
    assert ended(jobs, run_id).state == "stopped"
    return run_id, token


def test_a_run_that_was_stopped_is_measured_at_its_end(jobs, endless):
    run_id, _ = stopped(jobs, endless)
    wait_for(lambda: jobs.quality(run_id))
    view, run = jobs.view(run_id), jobs.run(run_id)
    assert steps(jobs.quality(run_id)) == steps(run.quality()) == [view.step] == [view.best_step]
    assert run.quality()[0]["seconds"] == pytest.approx(run.status.seconds, rel=1e-4)
    assert run.quality()[0]["kid"] == pytest.approx(late_look.look(run).quality["kid"], rel=1e-3)
    assert (view.state, run.status.state) == ("stopped", "stopped")
    assert not late_look.is_missing(run)


def test_what_came_of_it_is_best_though_its_beginning_was_measured(jobs, endless):
    """The noise of the first seconds once was what everybody got of such a run."""
    run_id, token = stopped(jobs, endless)
    wait_for(lambda: jobs.quality(run_id))
    run = jobs.run(run_id)
    first = run.quality()[0] | {"kid": 1e6}
    (run.path / "quality.jsonl").write_text(json.dumps(first) + "\n")
    jobs.resume(run_id, token)
    wait_until_learning(jobs, run_id, past_step=first["step"] + 2)
    jobs.stop(run_id, token)
    wait_for(lambda: len(jobs.quality(run_id)) == 2)
    view = jobs.view(run_id)
    assert steps(jobs.quality(run_id)) == [first["step"], view.step]
    assert view.best_step == view.step > first["step"]


def test_whoever_waits_comes_first(jobs, endless, short, monkeypatch):
    held = Held(monkeypatch)
    run_id, _ = stopped(jobs, endless)
    assert held.begun.wait(20)
    other, _ = jobs.submit(short)
    assert ended(jobs, other).state == "finished"
    assert jobs.quality(run_id) == []
    held.released.set()
    wait_for(lambda: jobs.quality(run_id))


@pytest.mark.parametrize("act", ["resume", "delete"])
def test_a_run_that_is_no_longer_as_it_was_is_left_alone(jobs, endless, short, monkeypatch, act):
    held = Held(monkeypatch)
    look = Gauge.look

    def at_once(self, *given):
        self._go_on = lambda: None  # it is too late to break off
        return look(self, *given)

    monkeypatch.setattr(Gauge, "look", at_once)
    run_id, token = stopped(jobs, endless)
    assert held.begun.wait(20)
    run: Run = jobs.run(run_id)
    getattr(jobs, act)(run_id, token)
    held.released.set()
    if act == "resume":
        step = run.status.step
        wait_until_learning(jobs, run_id, past_step=step)
        jobs.stop(run_id, token)
        wait_for(lambda: jobs.quality(run_id))
        assert steps(run.quality()) == [jobs.view(run_id).step] and run.status.step > step
    else:
        assert ended(jobs, jobs.submit(short)[0]).state == "finished"  # the worker lives
        assert not run.path.exists()
        jobs.undelete(run_id, token)
        assert jobs.quality(run_id) == []


def test_a_run_that_cannot_be_measured_holds_nobody_up(jobs, endless, short, monkeypatch, caplog):
    def refuse(*given):
        raise MemoryError

    monkeypatch.setattr(quality.features, "extract", refuse)
    run_id, _ = stopped(jobs, endless)
    wait_for(lambda: f"run {run_id} is not measured: MemoryError()" in caplog.text)
    assert ended(jobs, jobs.submit(short)[0]).state == "finished"
    assert jobs.view(run_id).state == "stopped" and jobs.quality(run_id) == []


def test_a_damaged_snapshot_is_left_to_whoever_asks_for_it_and_is_told(open_jobs, endless, caplog):
    jobs = open_jobs()
    run_id, token = jobs.submit(endless)
    wait_until_learning(jobs, run_id, past_step=2)
    jobs.close()
    run = jobs.run(run_id)
    weights = run.snapshot() / "training.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    after = open_jobs()
    after.tidy()
    wait_for(lambda: f"run {run_id} is not measured: Damaged" in caplog.text)
    assert run.snapshot_steps() == [run.status.step]
    after.resume(run_id, token)
    assert "is damaged" in ended(after, run_id).message


def test_what_a_server_had_no_time_for_the_next_one_does(open_jobs, endless):
    jobs = open_jobs()
    run_id, _ = jobs.submit(endless)
    wait_until_learning(jobs, run_id, past_step=2)
    jobs.close()
    run = jobs.run(run_id)
    assert run.quality() == [] and late_look.is_missing(run)
    after = open_jobs()
    after.tidy()
    wait_for(lambda: after.quality(run_id))
    assert after.view(run_id).best_step == run.status.step


def test_none_is_missing_of_what_ended_well_or_is_under_way(jobs, endless, short):
    finished, _ = jobs.submit(short)
    ended(jobs, finished)
    assert not late_look.is_missing(jobs.run(finished))
    running, _ = jobs.submit(endless)
    wait_until_learning(jobs, running)
    assert not late_look.is_missing(jobs.run(running))
