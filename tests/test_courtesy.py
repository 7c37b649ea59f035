"""Whoever waits at a screen goes first, for a while."""

import threading
import time

import pytest

from ganlab import courtesy as courtesies
from ganlab.courtesy import GRANTED, LITTLE, LONGEST, MOST_SAVED, Courtesy, going_first, is_short


def test_with_nobody_in_front_nothing_waits() -> None:
    assert Courtesy(shares=True).let_others_first() == 0


def test_a_step_waits_until_the_last_one_has_gone_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganlab.courtesy.LONGEST", 60)
    courtesy, second = Courtesy(shares=True), going_first()
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
        assert LONGEST <= Courtesy(shares=True).let_others_first() < 10 * LONGEST


def test_a_training_waits_for_no_more_than_its_share() -> None:
    courtesy = Courtesy(shares=True)
    with going_first():
        began, waited = time.perf_counter(), 0.0
        while granted := courtesy.let_others_first():
            waited += granted
        assert MOST_SAVED - LITTLE - 1e-9 < waited <= time.perf_counter() - began
        left = courtesy._saved
        courtesy.has_worked(0.19)
        assert courtesy._saved - left == pytest.approx(0.19 * GRANTED)
    for _ in range(3):
        courtesy.has_worked(100 * MOST_SAVED)  # more than that is not saved for later
    assert courtesy._saved == MOST_SAVED


def test_a_training_that_cannot_share_its_threads_grants_more_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(courtesies, "_had_little_at", -courtesies.RECENT)
    courtesy = Courtesy(shares=False)
    courtesy._saved = 0.0
    with going_first():
        assert courtesy.threads(2) == 2
        assert courtesy.let_others_first() == 0
    assert not is_short()  # what is drawn has to have all hands
    courtesy.has_worked(0.7)
    assert courtesy._saved == pytest.approx(0.3)


def test_a_training_leaves_half_of_the_cores_to_who_goes_first() -> None:
    courtesy = Courtesy(shares=True)
    assert courtesy.threads(2) == 2
    with going_first():
        assert [courtesy.threads(n) for n in (1, 2, 3, 8)] == [1, 1, 1, 4]
    assert courtesy.threads(2) == 2


def test_a_training_that_has_granted_nearly_all_is_short_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(courtesies, "_had_little_at", -courtesies.RECENT)
    courtesy = Courtesy(shares=True)
    courtesy.let_others_first()
    assert not is_short()
    courtesy._saved = 0.0
    courtesy.let_others_first()
    assert is_short()
    monkeypatch.setattr(courtesies, "_had_little_at", time.monotonic() - courtesies.RECENT)
    assert not is_short()  # it has ended, or has some again


def test_whoever_fails_in_front_leaves_it() -> None:
    with pytest.raises(KeyError), going_first():
        raise KeyError
    assert Courtesy(shares=True).let_others_first() == 0
