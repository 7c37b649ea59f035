"""The small picture of what trains when: right for every strategy, phase and part."""

import itertools
import re
from xml.etree import ElementTree

import pytest

from ganlab.strategies import D_PARTS, G_PARTS, STRATEGIES, THAWS
from ganlab.ui.strategy_figure import WORDS, state_of, strategy_note

PARTS = [*(("G", part) for part in G_PARTS), *(("D", part) for part in D_PARTS)]
SIGNS = {"trains": "T", "frozen": ".", "new": "N"}

# A line for each phase: latent, coarse, fine, last and head of G; low, high and logit of D.
SCHEDULES = {
    "scratch": ["NNNNN NNN"],
    "finetune": ["..... TTT", "TTTTT TTT"],
    "thaw": ["..... TTT", "TTTTT TTT"],
    "freezed": ["..... .TT", "TTTTT .TT"],
    "head": ["..... TTT", "...NN TTT"],
    "ewc": ["..... TTT", "TTTTT TTT"],
}
THAWED = {"whole": "TTTTT", "coarse": "TT..T", "fine": "..TTT"}


def schedule(name: str, thaw: str = "whole") -> list[str]:
    """What `state_of` says, in the signs of the table above."""
    strategy = STRATEGIES[name]
    lines = []
    for phase in strategy.phases:
        signs = [SIGNS[state_of(strategy, phase, *part, thaw)] for part in PARTS]
        lines.append("".join(signs[: len(G_PARTS)]) + " " + "".join(signs[len(G_PARTS) :]))
    return lines


def bars(name: str, thaw: str = "whole") -> list[list[tuple[str, float, float]]]:
    """The picture's rows: of each bar its class, where it begins and how wide it is."""
    svg = re.search(r"<svg.*</svg>", strategy_note(name, thaw))[0]
    rows: dict[str, list[tuple[str, float, float]]] = {}
    for bar in ElementTree.fromstring(svg).iter("rect"):
        place = (bar.get("class"), float(bar.get("x")), float(bar.get("width")))
        rows.setdefault(bar.get("y"), []).append(place)
    return list(rows.values())


def test_every_strategy_and_every_thaw_has_a_schedule_here():
    assert list(SCHEDULES) == list(STRATEGIES)
    assert list(THAWED) == list(THAWS)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_part_is_in_the_right_state_in_every_phase(name):
    assert schedule(name) == SCHEDULES[name]


@pytest.mark.parametrize("thaw", THAWS)
def test_a_thaw_is_of_the_chosen_part_in_the_last_phase(thaw):
    assert schedule("thaw", thaw) == ["..... TTT", f"{THAWED[thaw]} TTT"]


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "thaw"])
def test_a_strategy_that_thaws_nothing_does_not_heed_the_choice(name):
    for thaw in THAWS:
        assert schedule(name, thaw) == SCHEDULES[name]
        assert strategy_note(name, thaw) == strategy_note(name)


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_picture_has_a_bar_for_each_part_and_phase_in_its_state(name):
    kinds = {sign: f"gl-when-{kind}" for kind, sign in SIGNS.items()}
    lines = [line.replace(" ", "") for line in SCHEDULES[name]]
    expected = [[kinds[line[row]] for line in lines] for row in range(len(PARTS))]
    assert [[kind for kind, _, _ in row] for row in bars(name)] == expected


@pytest.mark.parametrize("name", STRATEGIES)
def test_bars_are_as_long_as_their_phases_and_do_not_overlap(name):
    phases = STRATEGIES[name].phases
    for row in bars(name):
        starts = [0.0, *(phase.until for phase in phases[:-1])]
        left = row[0][1]
        whole = row[-1][1] + row[-1][2] + 1.5 - left
        for (_, x, width), start, phase in zip(row, starts, phases, strict=True):
            assert abs((x - left) / whole - start) < 0.005
            assert abs((width + 1.5) / whole - (phase.until - start)) < 0.005
        for (_, x, width), (_, following, _) in itertools.pairwise(row):
            assert x + width <= following


def test_the_chosen_thaw_changes_the_picture():
    pictures = {thaw: bars("thaw", thaw) for thaw in THAWS}
    for thaw, rows in pictures.items():
        in_the_end = ["T" if row[-1][0] == "gl-when-trains" else "." for row in rows[:5]]
        assert "".join(in_the_end) == THAWED[thaw]
    assert bars("thaw") == pictures["whole"]
    assert len({strategy_note("thaw", thaw) for thaw in THAWS}) == len(THAWS)


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_note_tells_in_words_what_the_picture_shows(name):
    note = strategy_note(name)
    strategy = STRATEGIES[name]
    text = re.sub(r"\s+", " ", "".join(ElementTree.fromstring(note).itertext()))
    assert strategy.summary in text
    for network, parts in {"G": G_PARTS, "D": D_PARTS}.items():
        for title in parts.values():
            assert f"{network} {title}" in text
    assert all(word in text for word in WORDS.values())
    assert f'aria-label="What trains when: {strategy.title}"' in note


def test_every_state_has_a_word_in_the_legend():
    assert set(WORDS) == set(SIGNS)
    legend = re.findall(r'<i class="gl-when gl-when-(\w+)"></i>(\w+)', strategy_note("head"))
    assert dict(legend) == WORDS
