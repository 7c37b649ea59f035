"""What the page shows of a race: a row for each lap, grids under the source's, and who won."""

import base64
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from ganlab import contest
from ganlab.runs import Run
from ganlab.strategies import STRATEGIES
from ganlab.transfer_config import RACE, TransferConfig
from ganlab.ui import figures
from ganlab.ui.race_watch import COLOURS, RaceWatch, build_race_watch, grids, show_race, verdict
from ganlab.ui.race_watch import table as table_html
from ganlab.views import JobView

LAPS = ("scratch", "finetune", "freezed", "ewc")
CONFIG = TransferConfig(strategy=RACE, racers=LAPS, seconds=20)
VIEW = JobView("a" * 16, 1, CONFIG, (), "running", lap="ewc")
GOOD = {
    "kid": 2.345, "kid_std": 0.05, "coverage": 0.874, "diversity": 0.95, "memorisation": 0.9876,
    "step": 400, "seconds": 17.6,
}  # fmt: skip
POOR = {**GOOD, "kid": 8.0, "coverage": 0.25}
RESULTS = {"scratch": POOR, "finetune": GOOD, "freezed": {}}


@pytest.fixture(scope="module")
def watch() -> RaceWatch:
    with gr.Blocks():
        return build_race_watch()


class FakeJobs:
    """Knows one race."""

    def __init__(self, race: Run):
        self.race = race

    def run(self, _run_id: str) -> Run:
        return self.race


@pytest.fixture
def race(tmp_path: Path) -> Run:
    run, _ = Run.create(CONFIG, path=tmp_path / "race")
    return run


def begin(race: Run, strategy: str) -> Run:
    lap, _ = Run.create(race.config.lap(strategy), path=race.path / contest.LAPS / strategy)
    return lap


def look(lap: Run, step: int, kid: float, diversity: float = 0.5) -> None:
    lap.log_quality({"step": step, "seconds": step / 10, "kid": kid, "diversity": diversity})


def grid_of(colour: str, rows: int = 4, cell: int = 8) -> bytes:
    """A grid of eight columns in one colour."""
    packed = io.BytesIO()
    Image.new("RGB", (8 * cell, rows * cell), colour).save(packed, "JPEG")
    return packed.getvalue()


def shown(
    watch: RaceWatch, race: Run, *, is_owner: bool = True, chooses: bool = True, **changes: Any
) -> dict[str, Any]:
    """The updates by the names of their components."""
    view = replace(VIEW, **changes)
    updates = show_race(watch, FakeJobs(race), view, is_owner=is_owner, chooses=chooses)
    names = {component: name for name, component in vars(watch).items()}
    return {names[component]: update for component, update in updates.items()}


# The table --------------------------------------------------------------------------------------


def rows_of(html: str) -> dict[str, list[str]]:
    """The cells of each row, by strategy."""
    body = re.search(r"<tbody>(.*)</tbody>", html)[1]
    return {
        re.sub("<.*?>", "", re.search(r"<th>(.*?)</th>", row)[1]): re.findall(
            r"<td[^>]*>(.*?)</td>", row
        )
        for row in re.findall(r"<tr.*?</tr>", body)
    }


def best_of(html: str) -> list[str]:
    """The strategies whose rows stand out."""
    best = re.findall(r'<tr class="gl-best"><th>(.*?)</th>', html)
    return [re.sub("<.*?>", "", head) for head in best]


def test_the_table_has_a_row_for_each_lap_in_the_order_of_the_race():
    rows = rows_of(table_html(VIEW, RESULTS, {}))
    assert list(rows) == ["From scratch", "Fine-tune all", "FreezeD", "Anchored (EWC)"]


def test_a_measured_lap_tells_what_it_reached_and_when():
    html = table_html(VIEW, RESULTS, {})
    heads = re.findall(r"<th>(.*?)</th>", re.search(r"<thead>.*</thead>", html)[0])
    assert heads == ["Strategy", "KID", "Coverage", "Diversity", "Memorisation", "Best at"]
    assert rows_of(html)["Fine-tune all"] == ["2.35", "87%", "95%", "0.99", "18 s"]


def test_what_was_not_measured_is_a_dash():
    few = {name: value for name, value in GOOD.items() if name != "memorisation"}
    rows = rows_of(table_html(VIEW, {"scratch": few}, {}))
    assert rows["From scratch"] == ["2.35", "87%", "95%", "–", "18 s"]


def test_a_lap_that_exploded_says_so():
    assert rows_of(table_html(VIEW, RESULTS, {}))["FreezeD"] == ["it exploded"]


def test_the_lap_that_is_under_way_tells_its_last_kid_and_the_others_wait():
    view = replace(VIEW, lap="finetune")
    assert rows_of(table_html(view, {}, {})) == {
        "From scratch": ["waiting"],
        "Fine-tune all": ["learning"],
        "FreezeD": ["waiting"],
        "Anchored (EWC)": ["waiting"],
    }
    looks = {"finetune": [{"kid": 9.0}, {"kid": 3.14}]}
    rows = rows_of(table_html(view, {"scratch": POOR}, looks))
    assert rows["Fine-tune all"] == ["learning, KID 3.1"]
    assert rows["FreezeD"] == ["waiting"]
    stopped = rows_of(table_html(replace(view, state="stopped"), {}, looks))
    assert stopped["Fine-tune all"] == ["waiting"]


def test_the_lowest_kid_stands_out():
    assert best_of(table_html(VIEW, RESULTS, {})) == ["Fine-tune all"]
    better = {**RESULTS, "ewc": {**GOOD, "kid": -0.01}}
    assert best_of(table_html(VIEW, better, {})) == ["Anchored (EWC)"]


@pytest.mark.parametrize("results", [{}, {"scratch": {}}, {"scratch": {}, "ewc": {}}])
def test_nothing_stands_out_before_anything_is_measured(results):
    assert best_of(table_html(VIEW, results, {"finetune": [{"kid": 1.0}]})) == []


def test_every_strategy_has_a_colour_of_its_own_which_is_that_of_its_curve():
    assert list(COLOURS) == [strategy.title for strategy in STRATEGIES.values()]
    assert len(set(COLOURS.values())) == len(STRATEGIES)
    html = table_html(VIEW, RESULTS, {})
    for title in rows_of(html):
        assert f'<i style="background:{COLOURS[title]}"></i>{title}' in html


# The verdict ------------------------------------------------------------------------------------


def said(html: str) -> str:
    return re.fullmatch(r'<p class="gl-verdict" role="status">([^<>]*)</p>', html)[1]


def test_nobody_has_won_while_the_race_is_under_way():
    assert verdict(RESULTS, False) == ""


def test_once_it_is_over_the_winner_is_named_with_both_kids():
    words = said(verdict(RESULTS, True))
    assert words.startswith("Fine-tune all wins: KID 2.35 against 8.00 for From scratch")


def test_where_noise_would_name_a_winner_nobody_is_named():
    close = {"finetune": GOOD, "ewc": {**GOOD, "kid": 2.35}}
    words = said(verdict(close, True))
    assert words.startswith("No clear winner: Fine-tune all and Anchored (EWC)")


@pytest.mark.parametrize("results", [{}, {"ewc": GOOD}, {"ewc": GOOD, "scratch": {}}])
def test_a_race_of_fewer_than_two_that_ended_has_nothing_to_compare(results):
    assert "nothing to compare" in said(verdict(results, True))


# The grids --------------------------------------------------------------------------------------


def seen(html: str) -> list[tuple[str, tuple[int, int], tuple[int, ...]]]:
    """Title, size and colour of each row."""
    found = []
    for title, packed in re.findall(
        r"<figcaption>(.*?)</figcaption><img src=\"data:image/jpeg;base64,(.*?)\"", html
    ):
        with Image.open(io.BytesIO(base64.b64decode(packed))) as picture:
            colour = picture.convert("RGB").resize((1, 1)).getpixel((0, 0))
            found.append((title, picture.size, tuple(round(value / 255) for value in colour)))
    return found


BLACK, RED, LIME, BLUE, WHITE = (0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)


@pytest.fixture
def begun(race: Run) -> dict[str, Run]:
    """Two laps from a red source, after one from nothing."""
    laps = {name: begin(race, name) for name in ("scratch", "finetune", "ewc")}
    first = {"scratch": "black", "finetune": "red", "ewc": "red"}
    last = {"scratch": "white", "finetune": "lime", "ewc": "blue"}
    for name, lap in laps.items():
        lap.save_grid(0, grid_of(first[name]))
        lap.save_grid(50, grid_of("yellow"))
        lap.save_grid(100, grid_of(last[name]))
    return laps


def test_the_newest_samples_of_each_lap_stand_beneath_the_sources(begun):
    size = (64, 16)  # the first two rows of four
    assert seen(grids(begun, {})) == [
        ("The source", size, RED),
        ("From scratch", size, WHITE),
        ("Fine-tune all", size, LIME),
        ("Anchored (EWC)", size, BLUE),
    ]


def test_a_lap_that_is_over_stands_as_it_was_at_its_best(begun):
    results = {"finetune": {"kid": 1.0, "step": 61, "seconds": 7.4}, "ewc": {}}
    assert seen(grids(begun, results))[1:] == [
        ("From scratch", (64, 16), WHITE),
        ("Fine-tune all, at its best (7 s)", (64, 16), (1, 1, 0)),
        ("Anchored (EWC)", (64, 16), BLUE),  # which exploded
    ]


def test_without_a_lap_from_the_source_there_is_no_row_of_it(begun):
    assert seen(grids({"scratch": begun["scratch"]}, {})) == [("From scratch", (64, 16), WHITE)]


def test_a_lap_without_a_grid_has_no_row_yet(begun, race):
    del begun["scratch"], begun["ewc"]
    begun["freezed"] = begin(race, "freezed")
    assert [title for title, *_ in seen(grids(begun, {}))] == ["The source", "Fine-tune all"]


def test_a_grid_of_one_row_is_shown_whole(race):
    lap = begin(race, "finetune")
    lap.save_grid(0, grid_of("black", rows=1))
    assert seen(grids({"finetune": lap}, {})) == [
        ("The source", (64, 8), BLACK),
        ("Fine-tune all", (64, 8), BLACK),
    ]


def test_before_the_first_grid_the_page_says_that_it_waits(race):
    assert grids({}, {}) == figures.WAITING_FOR_GRID
    assert grids({"ewc": begin(race, "ewc")}, {}) == figures.WAITING_FOR_GRID


# All of it --------------------------------------------------------------------------------------


def test_a_race_that_waits_shows_its_laps_and_nothing_to_choose(watch, race):
    page = shown(watch, race, state="queued", lap="")
    assert page["verdict"].value == "" and not page["verdict"].visible
    assert list(rows_of(page["table"]).values()) == [["waiting"]] * len(LAPS)
    assert page["grids"] == figures.WAITING_FOR_GRID
    assert not page["curves"].visible
    assert not page["pick"].visible and not page["take"].visible
    assert "kid" not in page and "diversity" not in page


def test_curves_are_drawn_from_the_second_look_of_any_lap(watch, race):
    lap = begin(race, "finetune")
    look(lap, 10, 9.0)
    look(begin(race, "ewc"), 10, 7.0)
    page = shown(watch, race)
    assert not page["curves"].visible and "kid" not in page
    look(lap, 20, 3.0, 0.75)
    page = shown(watch, race)
    assert page["curves"].visible
    assert page["kid"].dropna().values.tolist() == [
        [1.0, 9.0, "Fine-tune all"],
        [2.0, 3.0, "Fine-tune all"],
        [1.0, 7.0, "Anchored (EWC)"],
    ]
    assert page["diversity"]["value"].dropna().tolist() == [0.5, 0.75, 0.5]
    assert rows_of(page["table"])["Anchored (EWC)"] == ["learning, KID 7.0"]


def test_every_racer_is_in_the_first_frame_of_a_plot_which_keeps_its_colours(watch, race):
    lap = begin(race, "finetune")
    look(lap, 10, 9.0)
    look(lap, 20, 3.0)
    page = shown(watch, race)
    for plot in ("kid", "diversity"):
        frame = page[plot]
        assert set(frame["series"]) == {STRATEGIES[name].title for name in LAPS}
        assert set(frame.dropna()["series"]) == {"Fine-tune all"}  # nothing is drawn of the others


def test_the_results_in_the_races_folder_fill_table_and_verdict(watch, race):
    race.describe(results=RESULTS)
    page = shown(watch, race)
    assert best_of(page["table"]) == ["Fine-tune all"]
    assert page["verdict"].value == "" and not page["verdict"].visible
    for state in ("queued", "stopping", "stopped", "interrupted", "failed"):
        assert shown(watch, race, state=state)["verdict"].value == ""
    over = shown(watch, race, state="finished")
    assert said(over["verdict"].value).startswith("Fine-tune all wins")


@pytest.mark.parametrize("is_owner", [True, False])
def test_its_owner_may_go_on_with_a_lap_that_was_measured(watch, race, is_owner):
    race.describe(results=RESULTS)
    page = shown(watch, race, is_owner=is_owner)
    assert page["pick"].choices == [("From scratch", "scratch"), ("Fine-tune all", "finetune")]
    assert page["pick"].visible == page["take"].visible == is_owner
    assert page["take"].interactive
    for state in ("running", "stopped", "finished"):
        over = shown(watch, race, state=state, is_owner=is_owner)
        assert over["pick"].value == "finetune"  # the best, to go on with


def test_a_visitors_choice_of_a_lap_stays(watch, race):
    race.describe(results=RESULTS)
    page = shown(watch, race, chooses=False)
    assert "value" not in page["pick"].constructor_args and page["take"].interactive


@pytest.mark.parametrize("results", [{}, {"freezed": {}}])
def test_without_a_lap_that_was_measured_none_can_be_opened(watch, race, results):
    race.describe(results=results)
    page = shown(watch, race, state="stopped")
    assert page["pick"].constructor_args["value"] is None  # not one of a race seen before
    assert not page["take"].interactive and not page["take"].visible


def test_no_row_stands_out_where_nobody_has_won(watch, race):
    race.describe(results={"finetune": GOOD, "ewc": {**GOOD, "kid": 2.36}})
    assert best_of(shown(watch, race)["table"]) == ["Fine-tune all"]  # so far
    assert best_of(shown(watch, race, state="finished")["table"]) == []
