"""Downloaded runs that the shell and the page open."""

import json
import shlex
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from crowd import count_at_once

from ganlab import portable, zips
from ganlab.__main__ import main
from ganlab.caps import CapReached, Caps
from ganlab.checkpoints import CheckpointError
from ganlab.export import export
from ganlab.jobs import Jobs, wait_until_ended
from ganlab.known import NotOwner
from ganlab.perform import perform
from ganlab.room import size_of
from ganlab.runs import Run, all_runs
from portable.packed import resume, same, weights


def test_the_shell_opens_a_run_and_says_how_to_go_on(run, tmp_path, home, capfd):
    path = export(run, tmp_path / "x")
    out = tmp_path / "my run"
    assert main(["open", str(path), "--out", str(out)]) == 0
    first, second = capfd.readouterr().out.splitlines()
    assert first == f"finished at step 6: {out}"
    command = shlex.split(second.removeprefix("Go on with it: "))
    assert command == ["python", "-m", "ganlab", "resume", str(out)]
    assert main(command[3:]) == 0
    assert Run(out).status.step == 9

    assert main(["open", str(path), "--json"]) == 0
    told = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert Path(told["run"]).parent == home / "runs"
    assert (told["state"], told["steps"]) == ("finished", 6)
    assert shlex.split(told["resume"])[-1] == told["run"]


def test_the_shell_says_in_a_line_what_it_cannot_open(run, tmp_path, capfd):
    path = export(run, tmp_path / "x")
    assert main(["open", str(path), "--out", str(run.path)]) == 2
    assert "is not empty: choose a new folder" in capfd.readouterr().err
    assert main(["open", str(tmp_path / "nowhere.zip")]) == 2
    error = capfd.readouterr().err
    assert error == "ganlab: nowhere.zip cannot be unpacked: No such file or directory\n"


@pytest.fixture
def jobs(tmp_path) -> Iterator[Jobs]:
    opened = Jobs(tmp_path / "served")
    yield opened
    opened.close()


def test_the_page_opens_a_run_for_its_new_owner(jobs, run, picture_folder, tmp_path):
    path = export(run, tmp_path / "x")
    run_id, token = jobs.open_run(path)
    view = jobs.view(run_id)
    assert (view.state, view.step, view.tasks) == ("finished", 6, ("discs", "squares"))
    assert jobs.curve(run_id) == run.metrics()
    assert jobs.grid(run_id, 6) == run.grid(6)
    with pytest.raises(NotOwner):
        jobs.resume(run_id, "of somebody else")
    jobs.resume(run_id, token)
    ended = wait_until_ended(jobs, run_id, 20)
    assert (ended.state, ended.step) == ("failed", 6)
    assert "There is no data set 'pictures (elsewhere)'" in ended.message


def test_a_run_of_the_catalogue_goes_on_from_the_page(jobs, new_run, tmp_path):
    run = new_run(data="emoji", size=32, steps=2)
    perform(run)
    run_id, token = jobs.open_run(export(run, tmp_path / "x"))
    jobs.resume(run_id, token)
    assert wait_until_ended(jobs, run_id, 20).state == "finished"
    assert same(weights(jobs.run(run_id)), weights(resume(run)))


@pytest.mark.parametrize("data", ["/etc/secret", "../x", "~root", "C:\\a\\b.zip", "", ".", "a\0b"])
def test_a_visitors_run_names_no_path_of_this_machine(jobs, damaged, data):
    run_id, _ = jobs.open_run(damaged(config={"data": data}))
    named = jobs.view(run_id).config.data
    assert named.endswith(" (elsewhere)") and not set(named) & set("/\\~\0")


# Room ---------------------------------------------------------------------------------------------


@pytest.fixture
def at_once(monkeypatch) -> list[int]:
    """How many members of zips were being unpacked, each time that one more was."""
    return count_at_once(monkeypatch, zips, "_copy")


@pytest.mark.parametrize("cap", ["disk_mb", "made_mb"])
def test_a_zip_is_not_unpacked_where_there_is_no_room_for_it(jobs, damaged, at_once, cap):
    path = damaged({"run/samples/000009.jpg": bytes(1_000_001)})
    jobs.caps = Caps(**{cap: 1})
    with pytest.raises(CapReached, match=f"GANLAB_MAX_{cap.upper()}"):
        jobs.open_run(path)
    assert at_once == [] and size_of(jobs.folder) == 0
    jobs.caps = Caps(**{cap: 3})
    with pytest.raises(CheckpointError, match=r"000009\.jpg is no JPEG"):  # but there is room
        jobs.open_run(path)
    assert at_once


def test_nobody_waits_for_a_zip_to_be_opened_but_who_opens_another(jobs, damaged, monkeypatch):
    """What is in it counts meanwhile."""
    run_id, token = jobs.open_run(damaged())
    size = size_of(jobs.run(run_id).path)
    go_on, looks, vetted = threading.Event(), threading.Event(), portable._vetted

    def slow(*args, **settings):
        looks.set()
        assert go_on.wait(60)
        return vetted(*args, **settings)

    monkeypatch.setattr(portable, "_vetted", slow)
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(jobs.open_run, damaged())
        assert looks.wait(60)
        copy, _ = jobs.duplicate(run_id, token)
        assert not opening.done() and jobs.view(copy)
        jobs.caps = Caps(made_mb=(3 * size + size // 2) // 1_000_000)
        with pytest.raises(CapReached, match="GANLAB_MAX_MADE_MB"):
            jobs.duplicate(run_id, token)
        jobs.caps = Caps()
        go_on.set()
        opened, _ = opening.result()
    assert {run.id for run in all_runs(jobs.folder)} == {run_id, copy, opened}


LARGE = {"width": 128, "head_depth": 3, "tasks": [str(i) for i in range(60)]}


def test_a_run_of_larger_networks_than_may_be_trained_is_not_opened(jobs, parts, damaged, tmp_path):
    """By what it says of them: of zeros, gigabytes take little in a zip."""
    jobs.caps = Caps.of("public")
    model = {**json.loads(parts["run/run.json"])["model"], **LARGE}
    story = {**json.loads(parts["model.json"]), "model": model}
    told = r"such networks takes [\d,]+ MB .*GANLAB_MAX_STEP_MB"
    with pytest.raises(CheckpointError, match=told):
        jobs.open_run(damaged({"model.json": json.dumps(story).encode()}, run={"model": model}))
    source = {"run/source/model.json": json.dumps(story).encode()}
    with pytest.raises(CheckpointError, match=told):
        jobs.open_run(damaged(source))
    assert list(all_runs(jobs.folder)) == []
    assert jobs.open_run(damaged())


def test_one_zip_is_opened_after_another(jobs, damaged, at_once):
    """So what is unpacked of one counts when there is to be room for the next."""
    path = damaged()
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(jobs.open_run, path) for _ in range(3)]
        opened = {each.result()[0] for each in asked}
    assert {run.id for run in all_runs(jobs.folder)} == opened and len(opened) == 3
    assert set(at_once) == {1} and len(at_once) > 3
