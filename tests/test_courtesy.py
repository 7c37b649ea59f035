"""Whoever waits at a screen goes first, for a while."""

import threading
import time

import pytest

from ganlab.courtesy import going_first, let_others_first


def test_with_nobody_in_front_nothing_waits() -> None:
    assert let_others_first() == 0


def test_a_step_waits_until_all_have_gone_first() -> None:
    with going_first():
        second = going_first()
        second.__enter__()
        threading.Timer(0.2, lambda: second.__exit__(None, None, None)).start()
    began = time.perf_counter()
    waited = let_others_first(longest=60)
    assert 0 < waited <= time.perf_counter() - began < 30
    assert let_others_first() == 0


def test_a_step_waits_no_longer_than_it_has_to() -> None:
    with going_first():
        assert 0.05 <= let_others_first(longest=0.05) < 5


def test_whoever_fails_in_front_leaves_it() -> None:
    with pytest.raises(KeyError), going_first():
        raise KeyError
    assert let_others_first(longest=60) == 0
