"""Files that are made to be downloaded."""

import os
import time
from pathlib import Path

import pytest

from ganlab.caps import CapReached
from ganlab.ui import scratch
from ganlab.ui.scratch import exports_folder, scratch_file, scratch_folder

MB = 1_000_000


@pytest.fixture
def exports(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    monkeypatch.setenv("GANLAB_MAX_DISK_MB", "3")
    return exports_folder()


def made(exports: Path, size: int, age: float = 0.0) -> Path:
    file = scratch_file(exports, "x.zip")
    file.write_bytes(bytes(size))
    for each in (file, file.parent):
        os.utime(each, (time.time() - age,) * 2)
    return file


def test_they_lie_where_gradio_gives_them_out_without_a_copy(exports, tmp_path):
    assert exports.parent == tmp_path / "gradio"
    assert made(exports, 1).parent.parent == exports


@pytest.mark.parametrize("hours", [-26, 26])
def test_after_the_clock_has_jumped_none_is_too_old(exports, monkeypatch, hours):
    """Neither what was made before it nor what is made after."""
    before, true = made(exports, 1), time.time
    monkeypatch.setattr(time, "time", lambda: true() + 3600 * hours)
    after = made(exports, 1)
    scratch_folder(exports)
    assert before.exists() and after.exists()


def test_they_go_after_their_time(exports):
    fresh = made(exports, 1, 1800)
    old = made(exports, 1, scratch.KEPT_SECONDS + 1)
    scratch_folder(exports)
    assert not old.exists() and fresh.exists()


def test_small_ones_count_for_more_than_they_hold(exports):
    """Each new one looks at all of them."""
    files = [made(exports, 1, age) for age in (300, 500, 400, 200)]
    made(exports, 1)
    assert [file.exists() for file in files] == [True, False, True, True]


def test_the_oldest_go_sooner_where_all_are_too_much(exports, monkeypatch):
    monkeypatch.setattr(scratch, "LEAST_BYTES", 0)
    files = [made(exports, MB - 1, age) for age in (300, 500, 400)]
    scratch_folder(exports)
    assert all(file.exists() for file in files)
    made(exports, MB // 2)
    scratch_folder(exports)
    assert [file.exists() for file in files] == [True, False, True]


def test_what_is_being_fetched_stays_and_no_more_is_made(exports):
    file = made(exports, 3 * MB + 1, scratch.LEAST_SECONDS - 30)
    with pytest.raises(CapReached, match=r"all of the 3 MB.*in a minute.*GANLAB_MAX_DISK_MB"):
        scratch_folder(exports)
    assert file.exists()


def test_what_is_being_finished_is_not_taken_for_old(exports, monkeypatch):
    """Its file gets another name while its age is looked at."""
    file, stat = made(exports, 1), os.stat

    def renamed(path, *args, **named):
        if Path(path) == file:
            raise FileNotFoundError(path)
        return stat(path, *args, **named)

    monkeypatch.setattr(os, "stat", renamed)
    scratch_folder(exports)
    monkeypatch.undo()
    assert file.exists()


def test_at_home_there_is_no_such_limit(exports, monkeypatch):
    monkeypatch.delenv("GANLAB_MAX_DISK_MB")
    made(exports, 3 * MB + 1)
    assert scratch_folder(exports).is_dir()
