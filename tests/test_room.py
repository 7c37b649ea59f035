"""Room on the disk."""

import os

import pytest

from ganlab import room
from ganlab.caps import CapReached, Caps
from ganlab.room import excess, need_room, size_of


def test_the_size_of_a_folder_is_that_of_its_files_at_any_depth(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "one").write_bytes(b"x" * 1000)
    (tmp_path / "a" / "b" / "two").write_bytes(b"x" * 500)
    os.symlink("/", tmp_path / "elsewhere")
    assert 1500 <= size_of(tmp_path) < 1600
    assert size_of(tmp_path / "nothing") == 0


def test_runs_and_uploads_share_what_they_may_take(tmp_path):
    caps = Caps(disk_mb=3)
    for name in ("runs", "uploads", "cache"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"x" * 1_400_000)
    need_room(tmp_path, caps)  # the cache is ours
    need_room(tmp_path, Caps(), size=10_000_000)
    with pytest.raises(CapReached, match=r"all of the 3 MB that they may.*GANLAB_MAX_DISK_MB"):
        need_room(tmp_path, caps, size=300_000)


def test_what_is_deleted_makes_room_at_once(tmp_path):
    (tmp_path / "runs" / ".trash" / "x").mkdir(parents=True)
    (tmp_path / "runs" / ".trash" / "x" / "file").write_bytes(b"x" * 3_000_000)
    need_room(tmp_path, Caps(disk_mb=1))
    assert excess(tmp_path, Caps(disk_mb=1)) == 2_000_000
    assert excess(tmp_path, Caps(disk_mb=4)) == excess(tmp_path, Caps()) == 0


def test_others_need_room_on_the_disk_too(tmp_path, monkeypatch):
    need_room(tmp_path / "new", Caps())
    monkeypatch.setattr(room, "SPARE_BYTES", 10**18)
    with pytest.raises(ValueError, match="disk is full: try again later"):
        need_room(tmp_path, Caps())
    assert excess(tmp_path, Caps()) > 10**17
