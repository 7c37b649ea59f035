"""What the last runs took tells how long the next ones will."""

import pytest

from ganlab.pace import LAST, LEAST, MOST, Pace


def paced(*runs: tuple[float, float]) -> float:
    pace = Pace()
    for expected, took in runs:
        pace.note(expected, took)
    return pace.factor


def test_before_anything_has_ended_settings_are_believed():
    assert paced() == 1


def test_long_runs_count_by_their_length():
    assert paced((10, 12)) == pytest.approx(1.2)
    assert paced((100, 100), (2, 10)) == pytest.approx(110 / 102)


def test_only_the_last_runs_count():
    assert paced(*[(10, 30)] * 20, *[(10, 10)] * LAST) == 1


def test_one_odd_run_does_not_make_the_next_ones_endless():
    assert paced((1.5, 500)) == MOST and paced((500, 1)) == LEAST


def test_a_run_that_had_nothing_left_to_do_tells_nothing():
    assert paced((0.0, 3.0)) == 1 and paced((0.0, 3.0), (10, 20)) == 2
