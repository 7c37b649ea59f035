"""What was measured of a run, the verdict on it, and its remedy."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from ganlab import jobs as jobs_module
from ganlab import kinship, training, views
from ganlab.caps import CapReached, Caps
from ganlab.health import Remedy, Verdict
from ganlab.jobs import Jobs
from ganlab.known import NotOwner
from ganlab.runs import IllegalMove, all_runs
from ganlab.views import JobView
from jobs.waiting import ended, rises, steps, wait_for, wait_until_learning

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
