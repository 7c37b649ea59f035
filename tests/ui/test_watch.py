"""What is sent to a page that watches a run: what has changed, and what its visitor may do."""

from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr
import pytest

from ganlab.config import TrainConfig
from ganlab.health import Remedy, Verdict
from ganlab.ui.watch import Seen, Watch, build_watch, show
from ganlab.views import JobView

AILING = Verdict("red", "Ailing", "It gets worse.", Remedy("Go back and learn more slowly"))
RUN = JobView("a" * 16, 1, TrainConfig(), ("micah",), "running", step=500, has_snapshot=True)
LOOK = {"kid": 2.0, "diversity": 0.5}


@dataclass
class FakeJobs:
    """Gives what a run has logged."""

    looks: list[dict[str, float]] = field(default_factory=list)

    def quality(self, _run_id: str) -> list[dict[str, float]]:
        return self.looks

    def curve(self, _run_id: str) -> list[dict[str, float]]:
        return []


@pytest.fixture(scope="module")
def watch() -> Watch:
    with gr.Blocks():
        return build_watch()


def updates(
    watch: Watch, view: JobView, looks=(), last: Seen | None = None, *, is_owner: bool = True
) -> tuple[Seen, dict[Any, Any]]:
    jobs = FakeJobs([{**LOOK, "step": step} for step in looks])
    return show(watch, jobs, view, last=last or Seen(), follows=True, is_owner=is_owner)


@pytest.mark.parametrize("is_owner", [True, False])
def test_only_the_owner_is_offered_the_remedy(watch, is_owner):
    _, sent = updates(watch, replace(RUN, verdict=AILING), [500], is_owner=is_owner)
    assert sent[watch.health].visible
    assert "Ailing" in sent[watch.light]
    assert sent[watch.remedy].visible == is_owner
    if is_owner:
        assert sent[watch.remedy].value == "Go back and learn more slowly"


def test_a_light_without_a_remedy_has_no_button(watch):
    _, sent = updates(watch, replace(RUN, verdict=replace(AILING, remedy=None)), [500])
    assert sent[watch.health].visible
    assert not sent[watch.remedy].visible


def test_a_run_that_ended_unmeasured_has_no_light_and_no_plots_of_quality(watch):
    _, sent = updates(watch, replace(RUN, state="finished"))
    assert not sent[watch.health].visible
    assert not sent[watch.remedy].visible
    assert not sent[watch.quality].visible
    assert sent[watch.download].value == "Download"


def test_the_remedy_rests_while_the_run_is_stopping(watch):
    _, sent = updates(watch, replace(RUN, state="stopping", verdict=AILING), [500])
    assert not sent[watch.remedy].interactive


def test_quality_is_plotted_from_the_second_look(watch):
    seen, sent = updates(watch, replace(RUN, verdict=AILING, best_step=100), [100])
    assert not sent[watch.quality].visible
    assert sent[watch.download].value == "Download best"
    later = replace(RUN, version=2, verdict=AILING, best_step=100)
    _, sent = updates(watch, later, [100, 500], seen)
    assert sent[watch.quality].visible
    for plot in (watch.kid, watch.diversity):
        assert "best snapshot" in set(sent[plot]["series"])


def test_the_light_and_the_plots_of_quality_are_sent_only_when_they_have_changed(watch):
    seen, _ = updates(watch, replace(RUN, verdict=AILING), [100, 500])
    _, sent = updates(watch, replace(RUN, verdict=AILING, version=2, step=600), [100, 500], seen)
    assert watch.facts in sent
    for component in (watch.light, watch.remedy, watch.kid, watch.diversity, watch.download):
        assert component not in sent
