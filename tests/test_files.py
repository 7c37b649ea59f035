"""Writing so that a reader never sees half of a file, and nothing is left behind."""

import json
import os
import threading
from pathlib import Path

import pytest

from ganlab import files
from ganlab.files import folder_written_atomically, read_json, write_atomically, write_json


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fail)


def test_bytes_and_text_are_written_as_they_are(tmp_path):
    write_atomically(tmp_path / "a", b"\x00\r\n\xff")
    write_atomically(tmp_path / "b", "naïve\n")
    assert (tmp_path / "a").read_bytes() == b"\x00\r\n\xff"
    assert (tmp_path / "b").read_bytes() == "naïve\n".encode()
    assert names(tmp_path) == ["a", "b"]


def test_missing_folders_are_made(tmp_path):
    write_atomically(tmp_path / "deep" / "down" / "a", "1")
    assert (tmp_path / "deep" / "down" / "a").read_text() == "1"


def test_a_file_is_replaced_as_a_whole(tmp_path):
    write_atomically(tmp_path / "a", "a long first version")
    write_atomically(tmp_path / "a", "short")
    assert (tmp_path / "a").read_text() == "short"
    assert names(tmp_path) == ["a"]


def test_when_writing_fails_the_old_content_stays_and_no_scratch_file(tmp_path, full_disk):
    (tmp_path / "a").write_text("old")
    with pytest.raises(OSError, match="disk is full"):
        write_atomically(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_when_replacing_fails_the_old_content_stays_and_no_scratch_file(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").write_text("old")
    with pytest.raises(OSError):
        write_atomically(tmp_path / "a", "new")
    assert (tmp_path / "a" / "old").read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_a_reader_sees_one_version_or_the_other_but_no_mixture(tmp_path):
    path, done = tmp_path / "a", threading.Event()
    versions = {letter * 200_000 for letter in "ab"}
    write_atomically(path, "a" * 200_000)

    def rewrite() -> None:
        try:
            for version in sorted(versions) * 20:
                write_atomically(path, version)
        finally:
            done.set()

    writer = threading.Thread(target=rewrite)
    writer.start()
    seen = set()
    while not done.is_set():
        seen.add(path.read_text())
    writer.join()
    assert seen
    assert seen <= versions


def test_json_is_read_as_it_was_written(tmp_path):
    value = {"name": "Käthe", "numbers": [1, 2.5, None, True], "nested": {"": []}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert "Käthe" in (tmp_path / "a.json").read_text(encoding="utf-8")  # for people


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"x": object()}])
def test_what_json_cannot_say_is_refused_and_the_old_file_stays(tmp_path, value):
    write_json(tmp_path / "a.json", 1)
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == 1
    assert names(tmp_path) == ["a.json"]


def test_half_a_json_file_is_an_error(tmp_path):
    (tmp_path / "a.json").write_text('{"a": ')
    with pytest.raises(json.JSONDecodeError):
        read_json(tmp_path / "a.json")


# Folders ------------------------------------------------------------------------------------


def test_a_folder_appears_only_when_it_is_complete(tmp_path):
    target = tmp_path / "deep" / "folder"
    with folder_written_atomically(target) as folder:
        (folder / "a").write_text("1")
        assert not target.exists()
    assert (target / "a").read_text() == "1"
    assert names(target.parent) == ["folder"]


def test_a_folder_takes_the_place_of_the_old_one_as_a_whole(tmp_path):
    for content in ("old", "new"):
        with folder_written_atomically(tmp_path / "folder") as folder:
            (folder / content).write_text(content)
    assert names(tmp_path / "folder") == ["new"]
    assert names(tmp_path) == ["folder"]


def test_when_filling_a_folder_fails_the_old_one_stays_and_no_scratch_folder(tmp_path):
    with folder_written_atomically(tmp_path / "folder") as folder:
        (folder / "a").write_text("old")
    with (
        pytest.raises(RuntimeError, match="halfway"),
        folder_written_atomically(tmp_path / "folder") as folder,
    ):
        (folder / "a").write_text("new")
        raise RuntimeError("halfway")
    assert (tmp_path / "folder" / "a").read_text() == "old"
    assert names(tmp_path) == ["folder"]


def test_scratch_names_are_hidden_so_that_nobody_takes_them_for_the_real_thing(tmp_path):
    with folder_written_atomically(tmp_path / "000010") as folder:
        assert folder.name.startswith(".")
        assert folder.parent == tmp_path  # so that a rename is enough
        assert os.listdir(folder) == []
