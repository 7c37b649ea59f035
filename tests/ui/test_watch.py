"""What is sent to a page that watches a run: what has changed, and what its visitor may do."""

import base64
import io
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from ganlab.config import TrainConfig
from ganlab.health import Remedy, Verdict
from ganlab.runs import Run
from ganlab.strategies import STRATEGIES
from ganlab.transfer_config import RACE, TransferConfig
from ganlab.ui import figures
from ganlab.ui.watch import Seen, Watch, build_watch, components, show
from ganlab.views import JobView

AILING = Verdict("red", "Ailing", "It gets worse.", Remedy("Go back and learn more slowly"))
RUN = JobView("a" * 16, 1, TrainConfig(), ("micah",), "running", step=500, has_snapshot=True)
LOOK = {"kid": 2.0, "diversity": 0.5}
COLOURS = {0: "red", 100: "blue", 200: "lime"}  # of the grids, by step
TRANSFER = replace(RUN, config=TransferConfig(), grid_steps=(0, 100))
RACE_CONFIG = TransferConfig(strategy=RACE, racers=("scratch", "finetune"))


@dataclass
class FakeJobs:
    """Gives what a run has logged."""

    looks: list[dict[str, float]] = field(default_factory=list)
    race: Run | None = None
    agreed: dict[str, Any] | None = None
    lines: list[dict[str, Any]] = field(default_factory=list)
    until: float | None = None

    def kept_until(self, _run_id: str) -> float | None:
        return self.until

    def agreement(self, _run_id: str) -> dict[str, Any] | None:
        return self.agreed

    def quality(self, _run_id: str) -> list[dict[str, float]]:
        return self.looks

    def curve(self, _run_id: str) -> list[dict[str, Any]]:
        return self.lines

    def grid(self, _run_id: str, step: int) -> bytes:
        packed = io.BytesIO()
        Image.new("RGB", (64, 32), COLOURS[step]).save(packed, "JPEG")
        return packed.getvalue()

    def run(self, _run_id: str) -> Run:
        return self.race


@pytest.fixture(scope="module")
def watch() -> Watch:
    with gr.Blocks():
        return build_watch()


def updates(
    watch: Watch, view: JobView, looks=(), last: Seen | None = None, *, is_owner: bool = True
) -> tuple[Seen, dict[Any, Any]]:
    jobs = FakeJobs([{**LOOK, "step": step} for step in looks])
    return show(watch, jobs, view, last=last or Seen(), follows=True, is_owner=is_owner)


def test_what_was_seen_is_read_back_from_what_this_server_made_alone(watch):
    seen, _ = updates(watch, replace(RUN, version=7), looks=[5])
    text = seen.to_text()
    assert Seen.from_text(text) == seen != Seen()
    mark, _, fields = text.partition(" ")
    odd = [None, 3, "", " ", "x", mark, fields, text + " ", f"{mark} []", "\ud800 []", [text]]
    assert [Seen.from_text(each) for each in odd] == [Seen()] * len(odd)


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


def test_a_look_is_plotted_though_as_few_are_sent_as_before(watch):
    seen, _ = updates(watch, RUN, [100, 500])
    _, sent = updates(watch, replace(RUN, version=2, step=600), [100, 600], seen)
    assert list(sent[watch.kid]["step"]) == [100, 600]


# A transfer -------------------------------------------------------------------------------------


SEVERAL = replace(RUN, tasks=("micah", "personas"))
AGREED = {"step": 400, "seconds": 9.0, "moments": 2.0, "cosines": [[1, 0.5], [0.5, 1]]}
OF_TASKS = {"step": 400, "d_right_of": {"micah": 0.6, "personas": 0.7}}


def sent_of(watch: Watch, jobs: FakeJobs, view: JobView, last: Seen | None = None):
    return show(watch, jobs, view, last=last or Seen(), follows=True, is_owner=True)


def test_a_run_of_several_tasks_shows_each_of_them_and_how_far_they_agree(watch):
    _, sent = sent_of(watch, FakeJobs(agreed=AGREED, lines=[OF_TASKS]), SEVERAL)
    assert sent[watch.tasks].visible
    assert "D right of personas: 70 %" in sent[watch.of_tasks]
    assert "micah and personas: 0.50" in sent[watch.agreement]


@pytest.mark.parametrize(
    ("view", "jobs"),
    [(RUN, FakeJobs()), (SEVERAL, FakeJobs()), (SEVERAL, FakeJobs([{**LOOK, "step": 5}]))],
    ids=["one task", "nothing known yet", "a run from before tasks were told apart"],
)
def test_where_nothing_is_known_of_tasks_their_card_is_hidden(watch, view, jobs):
    _, sent = sent_of(watch, jobs, view)
    assert not sent[watch.tasks].visible


def test_tasks_are_drawn_again_when_they_were_compared_and_else_left_alone(watch):
    jobs = FakeJobs(agreed=AGREED)
    seen, _ = sent_of(watch, jobs, SEVERAL)
    seen, sent = sent_of(watch, jobs, replace(SEVERAL, version=2), seen)
    assert watch.agreement not in sent
    jobs.agreed = {**AGREED, "moments": 3.0}
    _, sent = sent_of(watch, jobs, replace(SEVERAL, version=3), seen)
    assert "3 moments" in sent[watch.agreement]


def halves(html: str) -> list[str]:
    """The colours of a figure's upper and lower half."""
    packed = re.search(r"data:image/jpeg;base64,([\w+/=]+)", html)[1]
    named = {(1, 0, 0): "red", (0, 0, 1): "blue", (0, 1, 0): "lime"}
    with Image.open(io.BytesIO(base64.b64decode(packed))) as picture:
        both = picture.convert("RGB").resize((1, 2))
        pixels = [both.getpixel((0, y)) for y in (0, 1)]
    return [named[tuple(round(value / 255) for value in pixel)] for pixel in pixels]


@pytest.mark.parametrize("strategy", [name for name, s in STRATEGIES.items() if s.keeps])
def test_a_transfer_is_wiped_over_its_source_and_shown_in_pairs(watch, strategy):
    _, sent = updates(watch, replace(TRANSFER, config=TransferConfig(strategy=strategy)))
    assert 'type="range"' in sent[watch.before]
    assert halves(sent[watch.before]) == ["red", "red"]
    assert halves(sent[watch.grid]) == ["blue", "blue"]
    assert halves(sent[watch.pairs]) == ["red", "blue"]  # the source above, its child below
    assert sent[watch.samples].visible
    assert not sent[watch.race.panel].visible


@pytest.mark.parametrize("config", [TransferConfig(strategy="scratch"), TrainConfig()], ids=type)
def test_what_begins_from_nothing_has_no_source_to_be_wiped_over(watch, config):
    _, sent = updates(watch, replace(TRANSFER, config=config))
    assert sent[watch.before] == sent[watch.pairs] == ""  # of the run before
    assert halves(sent[watch.grid]) == ["blue", "blue"]


def test_with_each_grid_come_new_pairs_but_the_source_stays_as_it_was_sent(watch):
    seen, _ = updates(watch, TRANSFER)
    later = replace(TRANSFER, version=2, grid_steps=(0, 100, 200))
    seen, sent = updates(watch, later, last=seen)
    assert halves(sent[watch.pairs]) == ["red", "lime"]
    assert halves(sent[watch.grid]) == ["lime", "lime"]
    assert watch.before not in sent
    _, sent = updates(watch, replace(later, version=3, step=600), last=seen)
    assert watch.pairs not in sent and watch.grid not in sent


def test_before_its_first_grid_a_transfer_has_nothing_to_wipe_over(watch):
    seen, sent = updates(watch, replace(TRANSFER, grid_steps=()))
    assert sent[watch.grid] == figures.WAITING_FOR_GRID
    assert sent[watch.before] == sent[watch.pairs] == ""
    _, sent = updates(watch, replace(TRANSFER, version=2, grid_steps=(0,)), last=seen)
    assert halves(sent[watch.before]) == ["red", "red"]
    assert halves(sent[watch.pairs]) == ["red", "red"]  # nothing has changed yet


def test_who_looks_back_is_not_sent_new_pairs(watch):
    seen, _ = updates(watch, TRANSFER)
    later = replace(TRANSFER, version=2, grid_steps=(0, 100, 200))
    _, sent = show(watch, FakeJobs(), later, last=seen, follows=False, is_owner=True)
    assert watch.pairs not in sent and watch.grid not in sent
    assert sent[watch.moment].maximum == 3


# A race -----------------------------------------------------------------------------------------


@pytest.fixture
def jobs(tmp_path: Path) -> FakeJobs:
    run, _ = Run.create(RACE_CONFIG, path=tmp_path / "race")
    return FakeJobs(race=run)


@pytest.fixture
def race() -> JobView:
    """Under way, with its first lap."""
    return replace(RUN, config=RACE_CONFIG, tasks=(), has_snapshot=False, lap="scratch", marks=1)


def test_a_race_shows_its_panel_in_place_of_samples_and_plots(watch, jobs, race):
    _, sent = show(watch, jobs, race, last=Seen(), follows=True, is_owner=True)
    assert sent[watch.race.panel].visible
    for part in (watch.samples, watch.quality, watch.plots, watch.download):
        assert not sent[part].visible
    assert "From scratch" in sent[watch.race.table] and "learning" in sent[watch.race.table]
    assert sent[watch.race.verdict].value == "" and not sent[watch.race.verdict].visible
    for part in (watch.grid, watch.moment, watch.kid, watch.losses):
        assert part not in sent


def test_after_a_race_a_training_has_its_samples_again(watch, jobs, race):
    seen, _ = show(watch, jobs, race, last=Seen(), follows=True, is_owner=True)
    other = replace(RUN, run_id="b" * 16, grid_steps=(0, 100))
    _, sent = show(watch, jobs, other, last=seen, follows=True, is_owner=True)
    assert not sent[watch.race.panel].visible
    assert sent[watch.samples].visible and sent[watch.download].visible
    assert halves(sent[watch.grid]) == ["blue", "blue"]


def test_a_race_is_drawn_again_only_when_something_is_new(watch, jobs, race):
    seen, _ = show(watch, jobs, race, last=Seen(), follows=True, is_owner=True)
    later = replace(race, version=2, seconds=5.0)
    seen, sent = show(watch, jobs, later, last=seen, follows=True, is_owner=True)
    assert watch.facts in sent and watch.race.table not in sent
    marked = replace(later, version=3, marks=2)
    seen, sent = show(watch, jobs, marked, last=seen, follows=True, is_owner=True)
    assert watch.race.table in sent
    over = replace(marked, version=4, state="finished")
    _, sent = show(watch, jobs, over, last=seen, follows=True, is_owner=True)
    assert "nothing to compare" in sent[watch.race.verdict].value
    assert sent[watch.race.verdict].visible


def test_a_lap_is_chosen_with_the_first_that_was_measured_and_once_the_race_has_ended(
    watch, jobs, race
):
    def chosen(**changes) -> Any:
        nonlocal seen, race
        race = replace(race, version=race.version + 1, marks=race.marks + 1, **changes)
        seen, sent = show(watch, jobs, race, last=seen, follows=True, is_owner=True)
        return sent[watch.race.pick].constructor_args.get("value", ...)

    seen = Seen()
    assert chosen() is None
    jobs.race.describe(results={"scratch": {"kid": 3.0, "kid_std": 0.1}})
    assert chosen(laps_measured=1) == "scratch"
    jobs.race.describe(results={**jobs.race.about["results"], "finetune": {"kid": 2, "kid_std": 1}})
    assert chosen(laps_measured=2) is ...  # as the visitor has it
    assert chosen(state="stopped") == "finetune"


def test_a_race_that_is_over_cannot_go_on_but_one_that_was_stopped_can(watch, jobs, race):
    for state, can in {"finished": False, "stopped": True, "interrupted": True}.items():
        view = replace(race, state=state)
        _, sent = show(watch, jobs, view, last=Seen(), follows=True, is_owner=True)
        assert sent[watch.resume].visible == can


def test_all_that_is_ever_sent_is_among_the_components_of_the_page(watch, jobs, race):
    known = components(watch)
    for view in (RUN, TRANSFER, race, replace(race, state="finished")):
        _, sent = show(watch, jobs, view, last=Seen(), follows=True, is_owner=True)
        assert all(any(part is component for component in known) for part in sent)
    assert len(known) == len({id(component) for component in known})


def test_a_run_can_be_used_in_other_tabs_by_its_owner(watch, jobs, race):
    for view, is_owner, blends, browses in (
        (RUN, True, True, True),
        (TRANSFER, True, True, True),
        (RUN, False, True, False),
        (replace(RUN, config=TrainConfig.from_preset("dcgan")), True, False, True),
        (race, True, True, False),
    ):
        _, sent = show(watch, jobs, view, last=Seen(), follows=True, is_owner=is_owner)
        assert (sent[watch.to_blend].visible, sent[watch.use].visible) == (blends, browses)


@pytest.mark.parametrize("has_snapshot", [True, False])
def test_until_something_is_learnt_the_buttons_to_other_tabs_wait(watch, has_snapshot):
    _, sent = updates(watch, replace(RUN, has_snapshot=has_snapshot))
    assert sent[watch.use].visible  # from the start: nothing below jumps later
    assert sent[watch.to_blend].interactive == sent[watch.to_browse].interactive == has_snapshot


DERIVED = JobView(
    "a" * 16, 1, TrainConfig(), ("a", "half"), "finished", step=1, progress=1.0, grid_steps=(0,),
    has_snapshot=True, best_step=0, derived_from="small", edits=("new head 'half' = a 100 %",),
)  # fmt: skip


def test_edited_heads_are_never_offered_to_train_but_all_else(watch):
    _, sent = updates(watch, DERIVED)
    assert not sent[watch.resume].visible and not sent[watch.stop].visible
    assert sent[watch.download].visible and sent[watch.to_blend].visible
    assert not sent[watch.moment].visible
    assert not sent[watch.health].visible
    assert "half" in sent[watch.grid] and "Step" not in sent[watch.grid]


@pytest.mark.parametrize("follows", [True, False])
def test_with_each_edit_comes_a_new_grid(watch, follows):
    seen, _ = updates(watch, DERIVED)
    now = replace(DERIVED, version=2, step=2, best_step=100, grid_steps=(100,), tasks=("a", "mid"))
    jobs = FakeJobs([])
    _, sent = show(watch, jobs, now, last=seen, follows=follows, is_owner=True)
    assert "mid" in sent[watch.grid]
    assert base64.b64encode(jobs.grid("", 100)).decode() in sent[watch.grid]
