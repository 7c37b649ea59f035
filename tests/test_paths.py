"""Where things are kept: as said, else on a Space's volume, else here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ganlab import paths

ROOT = Path(__file__).parents[1]


@pytest.fixture
def volume(tmp_path, monkeypatch) -> Path:
    """What stands for a Space's volume; nothing else is said of where home is."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setattr(paths, "VOLUME_OF_A_SPACE", folder)
    monkeypatch.delenv("GANLAB_HOME")
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.chdir(tmp_path)
    return folder


def test_home_is_what_was_said_in_a_space_too(volume, tmp_path, monkeypatch):
    monkeypatch.setenv("SPACE_ID", "somebody/ganlab")
    monkeypatch.setenv("GANLAB_HOME", str(tmp_path / "said"))
    assert paths.home() == tmp_path / "said"


def test_a_space_keeps_its_runs_on_its_volume(volume, monkeypatch):
    monkeypatch.setenv("SPACE_ID", "somebody/ganlab")
    assert paths.home() == paths.make_home() == volume
    assert paths.runs_dir() == volume / "runs"


@pytest.mark.parametrize("named", [None, ""])
def test_elsewhere_a_folder_of_that_name_is_left_alone(volume, tmp_path, monkeypatch, named):
    if named is not None:
        monkeypatch.setenv("GANLAB_HOME", named)
    assert paths.home() == tmp_path


def test_a_space_without_a_volume_keeps_them_beside_the_app(volume, tmp_path, monkeypatch):
    monkeypatch.setenv("SPACE_ID", "somebody/ganlab")
    volume.rmdir()
    assert paths.home() == tmp_path


@pytest.mark.skipif(os.getuid() != 0, reason="needs another user to be")
def test_a_space_whose_volume_is_read_only_keeps_them_beside_the_app():
    """As nobody, who may not write into /root or the like."""
    code = """
import os, sys, pathlib
os.chdir("/tmp"); sys.path.insert(0, sys.argv[1])
from ganlab import paths
paths.VOLUME_OF_A_SPACE = pathlib.Path("/usr")
os.setuid(65534)
print(paths.home())
"""
    env = {**os.environ, "SPACE_ID": "somebody/ganlab", "GANLAB_HOME": ""}
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT)], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(Path("/tmp").resolve())


def test_home_is_made_with_all_that_leads_to_it(tmp_path, monkeypatch):
    monkeypatch.setenv("GANLAB_HOME", str(tmp_path / "a" / "b"))
    assert paths.make_home() == tmp_path / "a" / "b"
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_home_that_takes_nothing_ends_the_start_in_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    env = {**os.environ, "GANLAB_HOME": str(tmp_path / "file" / "home")}
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        f"ganlab cannot start: nothing can be kept in {tmp_path}/file/home (Not a directory):"
        " set GANLAB_HOME to a folder in which this user may write"
    )
