"""Who computes with how many threads."""

import os
import sys
import threading
from itertools import pairwise

import torch

from ganlab import device, threads
from ganlab.device import Plan
from ganlab.threads import ThreadChooser


def test_who_waits_is_drawn_for_on_each_core_or_on_half_of_them_if_a_training_is_short(
    monkeypatch,
):
    monkeypatch.setattr(device, "plan", lambda: Plan("cpu", "fp32", 4))
    z, seen, behind = torch.arange(8.0)[:, None], [], set()

    def draw(part):
        seen.append(len(part))
        behind.add(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        assert torch.get_num_threads() == 1
        return part.numpy()

    assert (threads.side_by_side(draw, z) == z.numpy()).all()
    assert sorted(seen) == [2] * 4 and behind == {os.getpriority(os.PRIO_PROCESS, 0)}
    monkeypatch.setattr("ganlab.courtesy.is_short", lambda: True)
    seen.clear(), behind.clear()
    assert (threads.side_by_side(draw, z) == z.numpy()).all()
    assert sorted(seen) == [4] * 2 and (sys.platform != "linux" or min(behind) >= threads.NICE)
    with threads.quick_threads():
        assert torch.get_num_threads() == 2


def stretches(chooser: ThreadChooser, speeds: dict[int, float], n: int) -> list[int]:
    """The threads of each of n stretches, when so many threads are so fast."""
    used = [chooser.threads]
    for _ in range(n - 1):
        used.append(chooser.after(speeds[used[-1]]))
    return used


def test_half_of_the_threads_are_tried_and_kept_where_they_are_clearly_faster():
    used = stretches(ThreadChooser(2), {2: 200.0, 1: 600.0}, 40)
    assert used[:3] == [2, 2, 2]
    assert used[3] == 1
    assert used.count(1) > 30


def test_threads_that_lose_are_tried_ever_more_rarely():
    used = stretches(ThreadChooser(4), {4: 500.0, 2: 400.0}, 400)
    trials = [place for place, threads in enumerate(used) if threads == 2]
    assert trials[0] == 3
    waits = [after - before for before, after in pairwise(trials)]
    assert waits == sorted(waits)
    assert len(trials) / len(used) < 0.04


def test_a_gain_that_may_be_noise_changes_nothing():
    chooser = ThreadChooser(2)
    stretches(chooser, {2: 500.0, 1: 530.0}, 30)
    assert chooser.threads == 2


def test_all_threads_come_back_when_the_other_core_is_free_again():
    chooser = ThreadChooser(2)
    stretches(chooser, {2: 200.0, 1: 600.0}, 10)
    assert chooser.threads == 1
    used = stretches(chooser, {2: 900.0, 1: 600.0}, 60)
    assert used[-1] == 2


def test_a_stretch_that_says_nothing_puts_a_trial_off():
    chooser = ThreadChooser(2)
    assert [chooser.after(200.0) for _ in range(3)] == [2, 2, 1]
    assert chooser.after_sharing() == 2  # with all threads again
    assert chooser.after_sharing() == 2
    assert chooser.after(200.0) == 1 and chooser.after(600.0) == 1  # tried, and kept


def test_one_thread_stays_one():
    assert set(stretches(ThreadChooser(1), {1: 100.0}, 20)) == {1}
