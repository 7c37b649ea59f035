"""Whoever waits at a screen goes first, for a while."""

import threading
import time

import pytest

from ganlab.courtesy import LONGEST, MOST_SAVED, Courtesy, going_first


def test_with_nobody_in_front_nothing_waits() -> None:
    assert Courtesy().let_others_first() == 0


def test_a_step_waits_until_the_last_one_has_gone_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganlab.courtesy.LONGEST", 60)
    courtesy, second = Courtesy(), going_first()
    courtesy.has_worked(60)
    monkeypatch.setattr(courtesy, "_saved", 60.0)
    with going_first():
        second.__enter__()
    waits = threading.Thread(target=courtesy.let_others_first)
    waits.start()
    waits.join(0.2)
    assert waits.is_alive()
    second.__exit__(None, None, None)
    waits.join(30)
    assert not waits.is_alive()


def test_a_step_waits_no_longer_than_it_has_to() -> None:
    with going_first():
        assert LONGEST <= Courtesy().let_others_first() < 10 * LONGEST


def test_a_training_waits_for_no_more_than_its_share() -> None:
    courtesy = Courtesy()
    with going_first():
        began, waited = time.perf_counter(), 0.0
        while granted := courtesy.let_others_first():
            waited += granted
        assert MOST_SAVED <= waited <= time.perf_counter() - began
        left = courtesy._saved
        courtesy.has_worked(0.07)
        assert courtesy._saved - left == pytest.approx(0.03)
        assert courtesy.let_others_first() < LONGEST
    for _ in range(3):
        courtesy.has_worked(10 * MOST_SAVED)  # more than that is not saved for later
    assert courtesy._saved == MOST_SAVED


def test_whoever_fails_in_front_leaves_it() -> None:
    with pytest.raises(KeyError), going_first():
        raise KeyError
    assert Courtesy().let_others_first() == 0
