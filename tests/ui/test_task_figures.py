"""What is shown of each task, as HTML that says the same in numbers."""

import re

import pytest

from ganlab.ui.task_figures import (
    HELP,
    MOST_COMPARED,
    MOST_POINTS,
    agreement_figure,
    table_of_tasks,
)

TASKS = ("micah", "pixel-art")
CURVE = [{"step": s, "d_right_of": {"micah": 0.5, "pixel-art": s / 100}} for s in range(0, 101, 10)]
LOOKS = [
    {"step": 50, "kid": 9.0, "kid_of": {"micah": 20.0, "pixel-art": 10.0}},
    {"step": 100, "kid": 7.0, "kid_of": {"micah": 5.0, "pixel-art": 0.0}},
]


def heights(svg: str) -> list[float]:
    return [float(y) for y in re.findall(r"[\d.]+ ([\d.]+)", svg)]


def line(cosines: list[list[float]], moments: float = 4.0) -> dict:
    return {"step": 1200, "seconds": 9.0, "moments": moments, "cosines": cosines}


# A row per task --------------------------------------------------------------------------------


def test_each_task_has_a_row_with_its_latest_numbers_in_words() -> None:
    html = table_of_tasks(TASKS, CURVE, LOOKS)
    assert [*re.findall(r'<th scope="row"[^>]*>([^<]*)', html)] == list(TASKS)
    assert 'aria-label="KID of micah: 5, at first 20"' in html
    assert 'aria-label="D right of pixel-art: 100 %, at first 0 %"' in html


def test_all_tasks_are_drawn_on_the_same_scale() -> None:
    html = table_of_tasks(TASKS, CURVE, LOOKS)
    micah, pixels = re.findall(r'd="(M[^"]*)" class="gl-line-g"', html)
    assert heights(micah) == [1.0, 22.0]  # the highest KID of all, and a quarter of it
    assert heights(pixels) == [15.0, 29.0]
    assert micah.startswith("M50.0 ") and "L100.0 " in micah


def test_a_long_curve_is_averaged_to_a_few_points() -> None:
    curve = [
        {"step": i, "d_right_of": {"a": i % 2, "b": 1.0}} for i in range(200)
    ]  # which jumps from one line to the next
    html = table_of_tasks(("a", "b"), curve, [])
    jumpy, _ = re.findall(r'd="(M[^"]*)" class="gl-line-d"', html)
    assert len(heights(jumpy)) <= MOST_POINTS
    assert max(heights(jumpy)) - min(heights(jumpy)) < 7
    assert html.count("–") == 2  # no KID yet


def test_a_long_curve_of_kid_has_a_few_points_and_its_first_and_latest_number_in_words() -> None:
    looks = [{"step": i, "kid_of": {"a": 500.0 - i, "b": 1.0}} for i in range(300)]
    html = table_of_tasks(("a", "b"), [], looks)
    falls, _ = re.findall(r'd="(M[^"]*)" class="gl-line-g"', html)
    assert MOST_POINTS / 2 <= len(heights(falls)) <= MOST_POINTS
    assert "L100.0 " in falls
    assert 'aria-label="KID of a: 201, at first 500"' in html


@pytest.mark.parametrize("n", [MOST_COMPARED, MOST_COMPARED + 1])
def test_of_more_tasks_than_can_be_compared_there_is_no_map(n) -> None:
    tasks = [f"task {i}" for i in range(n)]
    html = agreement_figure(tasks, line([[1.0] * n] * n))
    assert html.count("<td class") == (n * n if n == MOST_COMPARED else 0)


@pytest.mark.parametrize(
    ("tasks", "curve", "looks"),
    [(TASKS, [], []), (("a",), CURVE, LOOKS), (TASKS, [{"step": 1}], [{"step": 1, "kid": 3.0}])],
    ids=["nothing yet", "a single task", "lines of an older run"],
)
def test_where_nothing_is_known_of_any_task_there_is_nothing(tasks, curve, looks) -> None:
    assert table_of_tasks(tasks, curve, looks) == ""


def test_lines_of_an_older_run_before_a_resume_are_skipped() -> None:
    old = [{"step": 1, "loss_g": 1.0}, *CURVE]
    assert table_of_tasks(TASKS, old, [{"step": 2, "kid": 1.0}, *LOOKS]) == table_of_tasks(
        TASKS, CURVE, LOOKS
    )


def test_a_kid_just_below_zero_stays_within_its_plot() -> None:
    html = table_of_tasks(TASKS, [], [{"step": 3, "kid_of": dict.fromkeys(TASKS, -0.1)}])
    assert set(heights("".join(re.findall(r'd="(M[^"]*)"', html)))) == {29.0}


def test_names_of_tasks_are_text() -> None:
    html = table_of_tasks(("<b>", "c"), [{"step": 1, "d_right_of": {"<b>": 1.0}}], [])
    html += agreement_figure(("<b>", 'c"d'), line([[1, 0.5], [0.5, 1]]))
    assert "<b>" not in html and 'c"d' not in html and "&lt;b&gt;" in html


# Agreement -----------------------------------------------------------------------------------


def test_the_heat_map_says_each_pair_in_words_and_how_to_read_it() -> None:
    html = agreement_figure(TASKS, line([[1, -0.25], [-0.25, 1]]))
    assert HELP[1:] in html
    assert html.count('title="micah and pixel-art: −0.25"') == 1
    assert html.count('title="pixel-art and micah: −0.25"') == 1
    assert html.count("gl-hurts") == 2 and "gl-helps" not in html
    assert html.count("itself</span>") == 2
    assert "averaged over 4 moments up to step 1,200" in html


def test_agreement_and_conflict_differ_in_colour_and_in_sign() -> None:
    html = agreement_figure(("a", "b", "c"), line([[1, 0.4, -0.2], [0.4, 1, 0], [-0.2, 0, 1]]))
    assert 'class="gl-helps" style="--share:62%" title="a and b: 0.40">.40<' in html
    assert 'class="gl-hurts" style="--share:31%" title="a and c: −0.20">−.20<' in html
    assert 'title="b and c: 0.00">.00<' in html


def test_numbers_too_small_to_tell_are_faint() -> None:
    html = agreement_figure(TASKS, line([[1, 0.01], [0.01, 1]], moments=1.0))
    assert "--share:12%" in html
    assert "over 1 moment up" in html


@pytest.mark.parametrize(
    ("tasks", "agreement"),
    [(TASKS, None), (("a",), line([[1.0]])), (TASKS, line([[1.0]]))],
    ids=["not compared yet", "a single task", "of other tasks"],
)
def test_without_a_pair_there_is_no_heat_map(tasks, agreement) -> None:
    assert agreement_figure(tasks, agreement) == ""
