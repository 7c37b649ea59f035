"""Who won a race, and when nobody did."""

import pytest

from ganlab import contest
from ganlab.contest import winner


def reached(kid: float, kid_std: float = 0.0) -> dict[str, float]:
    return {"kid": kid, "kid_std": kid_std, "diversity": 0.5}


def test_a_clear_winner_is_named_with_its_margin() -> None:
    words = winner({"scratch": reached(8.0, 0.3), "head": reached(2.0, 0.2), "ewc": reached(4.0)})
    assert words == (
        "New head wins: KID 2.00 against 4.00 for Anchored (EWC), 50 % less. "
        "Another seed may differ."
    )


@pytest.mark.parametrize(("copied", "usual", "told"), [(0.8, 0.0, True), (0.8, 0.75, False)])
def test_a_winner_that_copies_is_called_so(copied: float, usual: float, told: bool) -> None:
    best = {**reached(2.0), "copied": copied, "usually_copied": usual}
    words = winner({"finetune": best, "freezed": reached(4.0)})
    assert words.startswith("Fine-tune all wins: ")
    assert ("80 % of its samples are nearly copies of your pictures" in words) == told


@pytest.mark.parametrize(("varied", "told"), [(0.29, True), (0.31, False)])
@pytest.mark.parametrize("second", [2.0, 4.0])
def test_a_race_of_which_nothing_but_one_picture_came_is_called_so(
    varied: float, told: bool, second: float
) -> None:
    rows = {"finetune": reached(2.0), "freezed": reached(second)}
    words = winner({name: {**row, "diversity": varied} for name, row in rows.items()})
    assert words.startswith("Fine-tune all wins" if second > 2 else "No clear winner")
    assert ("nearly all alike: 29 % as varied as your pictures" in words) == told


@pytest.mark.parametrize(("std", "wins"), [(0.3, True), (0.4, False)])
def test_nobody_wins_by_less_than_two_deviations_of_both(std: float, wins: bool) -> None:
    words = winner({"finetune": reached(2.0, std), "freezed": reached(3.0, std)})  # 0.85 and 1.13
    assert words.startswith("Fine-tune all wins: ") == wins
    assert wins or words == (
        "No clear winner: Fine-tune all and FreezeD are within the noise of each other "
        "(KID 2.00 against 3.00)."
    )


@pytest.mark.parametrize(("second", "wins"), [(1.09, False), (1.11, True)])
def test_nobody_wins_by_less_than_a_tenth_however_sure_it_is(second: float, wins: bool) -> None:
    words = winner({"finetune": reached(second), "freezed": reached(1.0)})
    assert words.startswith("FreezeD wins: ") == wins
    assert words.startswith("No clear winner: FreezeD and Fine-tune all are ") != wins


def test_all_that_are_alike_are_listed_and_no_others() -> None:
    found = {"thaw": reached(1.05), "scratch": reached(9.0), "ewc": reached(1.08)}
    words = winner({**found, "head": reached(1.0)})
    names = "New head, Frozen G, then thaw and Anchored (EWC)"
    assert words.startswith(f"No clear winner: {names} are within the noise of each other")


@pytest.mark.parametrize("results", [{}, {"ewc": {}}, {"ewc": reached(1.0), "thaw": {}}])
def test_fewer_than_two_measured_laps_have_no_winner(results: contest.Results) -> None:
    assert winner(results) == ""
    assert contest.leaders(results) == []


def test_a_lap_that_failed_does_not_count_among_the_others() -> None:
    words = winner({"ewc": {}, "freezed": reached(1.0), "head": reached(2.0)})
    assert words.startswith("FreezeD wins: KID 1.00 against 2.00 for New head")
