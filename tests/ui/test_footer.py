"""The foot of the page."""

import re
from html import escape

import pytest
from conftest import tiny

from ganlab import __version__, checkpoints, device
from ganlab.caps import Caps
from ganlab.jobs import Jobs
from ganlab.runs import Run
from ganlab.ui.footer import given_to_a_visitor, run_your_own, state_of_server


def text(html: str) -> str:
    return re.sub("<[^>]+>", "", html)


def test_it_says_version_device_queue_and_uptime(jobs):
    said = text(state_of_server(jobs, 30))
    assert (
        said == f"ganlab {__version__} · CPU, 1 thread, fp32: no GPU is here · idle · up for 30 s"
    )
    for _ in range(3):
        jobs.submit(tiny())
    assert "idle, 3 wait ·" in text(state_of_server(jobs, 30))


@pytest.mark.parametrize(("seconds", "said"), [(61, "1 min"), (3599, "59 min"), (86_461, "24 h 1")])
def test_after_a_minute_uptime_is_told_in_minutes(jobs, seconds, said):
    assert f"up for {said}" in text(state_of_server(jobs, seconds))


def test_a_gpu_that_is_only_lent_is_explained(jobs, monkeypatch):
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    assert f"fp32: {escape(device.LENT)} ·" in text(state_of_server(jobs, 1))


def test_at_home_nothing_is_said_to_be_limited():
    assert given_to_a_visitor(Caps()) == []
    assert "shared" not in run_your_own(Caps(), "")


def test_a_public_page_says_what_it_gives_in_its_own_numbers():
    said = "\n".join(given_to_a_visitor(Caps.of("public")))
    assert "10 min or 20,000 steps" in said and "1 run that trains and 1 that waits" in said
    assert "500 pictures" in said and "48 hours" in said
    changed = Caps.of("public", run_seconds=90, run_steps=None, waiting_each=None, run_hours=None)
    assert [line.split()[0] for line in given_to_a_visitor(changed)] == ["1", "500"]
    assert "1 min 30 s of training per run" in given_to_a_visitor(changed)[0]


def test_a_space_is_cloned_and_duplicated_by_its_name_and_nothing_else_is_taken_for_one():
    html = run_your_own(Caps.of("public"), "somebody/gan-lab.2")
    assert "git clone https://huggingface.co/spaces/somebody/gan-lab.2<" in html
    assert 'href="https://huggingface.co/spaces/somebody/gan-lab.2?duplicate=true"' in html
    for odd in ("", "somebody", '"><script>', "a/b/c", "a/b?c", "a/b\n"):
        assert "huggingface" not in run_your_own(Caps(), odd) and "<script>" not in html


def test_a_run_under_way_is_counted(tmp_path, picture_folder, monkeypatch):
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path)
    jobs = Jobs(tmp_path / "runs")
    run_id, token = jobs.submit(tiny(data=str(picture_folder), seconds=600))
    while jobs.view(run_id).state != "running":
        jobs.wait(run_id, 0.05)
    assert "1 run trains ·" in text(state_of_server(jobs, 1))
    jobs.stop(run_id, token)
    jobs.wait(run_id, 20)
    jobs.close()
    assert Run(tmp_path / "runs" / run_id).status.state == "stopped"
