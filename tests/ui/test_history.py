"""The list of a visitor's runs."""

from ganlab.ui.history import choices
from ganlab.ui.picker import when_begun


def test_edited_heads_are_listed_under_what_they_come_from(jobs):
    run_id, _ = jobs.save_head("small", "half", [0.5, 0.5], None)
    began = when_begun(jobs.run(run_id))
    assert choices(jobs, [run_id]) == [(f"Heads of small · {began} · finished", run_id)]
