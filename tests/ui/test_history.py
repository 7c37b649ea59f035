"""The list of a visitor's runs."""

from ganlab.ui.history import NEARLY_ALL, choices, list_runs
from ganlab.ui.picker import when_begun


def test_edited_heads_are_listed_under_what_they_come_from(jobs):
    run_id, _ = jobs.save_head("small", "half", [0.5, 0.5], None)
    began = when_begun(jobs.run(run_id))
    assert choices(jobs, [run_id]) == [(f"Heads of small · {began} · finished", run_id)]


def test_before_a_browser_forgets_keys_the_list_says_so(jobs):
    few, many = ([f"{i:016x}" for i in range(n)] for n in (NEARLY_ALL - 1, NEARLY_ALL))
    assert "keys" not in list_runs(jobs, few).info
    assert "keys to its last 20 runs" in list_runs(jobs, many).info
