"""What a start removes, and what it leaves alone."""

import pytest

from ganlab import leftovers
from ganlab.runs import Run


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "temporary"))
    yield tmp_path / "temporary"
    for lock in leftovers._held:
        lock.release()
    leftovers._held.clear()


def test_a_temporary_folder_goes_with_its_process_and_no_other_does(temporary, new_run):
    temporary.mkdir()
    mine = temporary / "ganlab-test"
    new_run().path.rename(mine)  # of the command line, in a folder that somebody named like ours
    with Run(mine).held():
        pass
    killed = temporary / "ganlab-killed"
    killed.mkdir()
    (killed / leftovers.LOCK).touch()
    first, second = leftovers.own_temporary_folder(), leftovers.own_temporary_folder()
    assert first.is_dir() and second.is_dir() and first != second
    assert mine.is_dir() and not killed.exists()


def test_of_hidden_folders_only_half_made_runs_are_removed(tmp_path, new_run):
    run = new_run()
    runs = run.path.parent
    half, others = runs / f".{run.id}.0123abcd", [runs / ".git", runs / ".trash", runs / ".x.y"]
    for folder in (half, *others):
        folder.mkdir()
        (folder / "file").touch()
    leftovers.clean_runs(runs)
    assert not half.exists() and run.path.is_dir()
    assert all(folder.is_dir() for folder in others[:1] + others[2:])
    assert not (others[0] / ".lock").exists()
