"""Zips that are refused for what they are, before what they hold is looked at."""

import random
import stat
import struct
import time
import warnings
import zipfile
from pathlib import Path

import pytest

from ganlab import zips
from ganlab.checkpoints import CheckpointError
from ganlab.portable import open_run
from portable.packed import files, members, refused, zipped


def test_the_parts_make_a_run(damaged, tmp_path):
    run, _ = open_run(damaged(), runs=tmp_path / "there")
    assert run.status.state == "stopped"
    assert [path.name for path in (tmp_path / "there").iterdir()] == [run.id]


def test_a_model_without_a_run_says_what_it_is_good_for(parts, tmp_path):
    model = {name: data for name, data in parts.items() if not name.startswith("run/")}
    path = zipped(tmp_path / "a.zip", model)
    refused(path, tmp_path / "there", "holds a model but no run", "python -m ganlab sample")


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip" * 100, b"PK\x05\x06" + b"\0" * 18])
def test_what_is_no_zip_of_a_run_is_refused(tmp_path, content):
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    refused(path, tmp_path / "there")


@pytest.mark.parametrize(
    "name",
    ["model.json", "generator.safetensors", "run/status.json", "run/run.json",
     "run/snapshots/000003/training.safetensors"],
)  # fmt: skip
def test_what_a_run_needs_is_missed(damaged, tmp_path, name):
    refused(damaged({name: None}), tmp_path / "there")


@pytest.mark.parametrize(
    "name",
    ["/etc/evil.json", "../run/run.json", "run/../../evil.json", "run/samples/../../x.jpg",
     "run/owner.json", "run/.lock", "run/evil.pkl", "run\\run.json", "run/data/../x.png",
     "run/data/.hidden.png", "run/data/a/b/c.png", "run/samples/1.jpg", "run/source/evil.py"],
)  # fmt: skip
def test_members_that_no_run_has_are_left_where_they_are(damaged, tmp_path, name):
    before = files(tmp_path)
    run, token = open_run(damaged({name: b"evil"}), runs=tmp_path / "there")
    assert b"evil" not in files(run.path).values()
    assert run.is_owned_by(token)
    outside = {k: v for k, v in files(tmp_path).items() if not k.startswith("there/")}
    del outside["a.zip"]
    assert outside == before


def test_a_link_is_refused(parts, tmp_path):
    path = zipped(tmp_path / "a.zip", {k: v for k, v in parts.items() if k != "run/metrics.jsonl"})
    link = zipfile.ZipInfo("run/metrics.jsonl")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    refused(path, tmp_path / "there", "holds a link")


def test_a_member_that_is_there_twice_is_refused(damaged, tmp_path):
    path = damaged()
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("run/run.json", "{}")
    refused(path, tmp_path / "there", "run/run.json twice")


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_rare_packings_are_refused(parts, tmp_path, packing):
    path = zipped(tmp_path / "a.zip", parts, packing)
    refused(path, tmp_path / "there", "in an unusual way")


def test_an_encrypted_zip_is_refused(damaged, tmp_path):
    data = bytearray(damaged().read_bytes())
    at = -1
    while (at := data.find(b"PK\x01\x02", at + 1)) >= 0:
        data[at + 8] |= 1
    (tmp_path / "b.zip").write_bytes(data)
    refused(tmp_path / "b.zip", tmp_path / "there", "is encrypted")


def test_a_member_that_unpacks_to_too_much_is_refused(parts, tmp_path):
    lines = {"run/metrics.jsonl": b"\n" * 21_000_000}
    path = zipped(tmp_path / "a.zip", {**parts, **lines}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 5_000_000
    refused(path, tmp_path / "there", "unpacks to more than can be taken, at run/metrics.jsonl")


def test_a_zip_that_lies_about_its_sizes_is_refused(parts, tmp_path):
    lines = {"run/metrics.jsonl": b"\n" * 21_000_000}
    data = zipped(tmp_path / "a.zip", {**parts, **lines}, zipfile.ZIP_DEFLATED).read_bytes()
    (tmp_path / "b.zip").write_bytes(data.replace(struct.pack("<L", 21_000_000), b"\x10\0\0\0"))
    refused(tmp_path / "b.zip", tmp_path / "there")


def test_more_than_all_together_may_be_is_refused(damaged, tmp_path, monkeypatch):
    monkeypatch.setattr(zips, "MAX_BYTES", 50_000)
    refused(damaged(), tmp_path / "there", "unpacks to more than can be taken")


def test_a_disk_that_is_nearly_full_is_left_with_room_for_others(damaged, tmp_path, monkeypatch):
    monkeypatch.setattr(zips, "SPARE_BYTES", 10**18)
    refused(damaged(), tmp_path / "there", "unpacks to more than can be taken")


def unpacking(monkeypatch) -> list[str]:
    """What is unpacked from now on, by name."""
    begun, copy = [], zips._copy

    def noted(packed, file, limit, name):
        begun.append(name)
        return copy(packed, file, limit, name)

    monkeypatch.setattr(zips, "_copy", noted)
    return begun


@pytest.mark.parametrize(
    "name", ["model.json", "generator.safetensors", "run/status.json", "run/run.json"]
)
def test_without_what_a_run_needs_nothing_is_unpacked(damaged, tmp_path, monkeypatch, name):
    begun = unpacking(monkeypatch)
    refused(damaged({name: None}), tmp_path / "there", "holds")
    assert begun == []


def test_more_snapshots_than_a_run_keeps_are_not_unpacked(damaged, tmp_path, monkeypatch):
    begun = unpacking(monkeypatch)
    many = {f"run/snapshots/{step:06d}/training.safetensors": b"" for step in range(10, 40)}
    refused(damaged(many), tmp_path / "there", "more snapshots")
    assert begun == []


@pytest.mark.parametrize("room", ["of the disk", "of all", "for its size"])
def test_what_says_that_it_is_too_much_is_not_unpacked(damaged, tmp_path, monkeypatch, room):
    begun = unpacking(monkeypatch)
    zeros = {"run/snapshots/000009/training.safetensors": bytes(3_000_000)}
    path = zipped(tmp_path / "b.zip", {**members(damaged()), **zeros}, zipfile.ZIP_DEFLATED)
    if room == "of the disk":
        monkeypatch.setattr(zips, "SPARE_BYTES", 10**18)
    elif room == "of all":
        monkeypatch.setattr(zips, "MAX_BYTES", 2_900_000)
    else:
        monkeypatch.setattr(zips, "_SURELY", 0)
        monkeypatch.setattr(zips, "_MOST_TO_ONE", 2_900_000 / path.stat().st_size)
    refused(path, tmp_path / "there", "unpacks to more than can be taken")
    assert begun == []


def test_a_member_holds_no_more_than_it_says(damaged, parts, tmp_path):
    """Nor does what a zip says add up to less than is written to the disk."""
    data = zipped(tmp_path / "a.zip", parts, zipfile.ZIP_DEFLATED).read_bytes()
    size = struct.pack("<L", len(parts["generator.safetensors"]))
    assert data.count(size) == 2
    (tmp_path / "b.zip").write_bytes(data.replace(size, struct.pack("<L", 1000)))
    refused(tmp_path / "b.zip", tmp_path / "there", "b.zip")


def long_list(path: Path, members: int, says: int) -> Path:
    """A zip whose list is as short as one of so many members can be."""
    entry = b"PK\x01\x02" + bytes(24) + struct.pack("<H", 1) + bytes(16) + b"a"
    end = b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, says, says, len(entry) * members, 30, 0)
    path.write_bytes(b"PK\x03\x04" + bytes(26) + entry * members + end)
    return path


@pytest.mark.parametrize("says", [5, 1, 0xFFFF])
def test_too_many_members_are_refused_before_they_are_listed(tmp_path, monkeypatch, says):
    monkeypatch.setattr(zips, "MAX_MEMBERS", 4)
    opened, zip_file = [], zipfile.ZipFile

    def opens(file):
        opened.append(file)
        return zip_file(file)

    monkeypatch.setattr(zipfile, "ZipFile", opens)
    refused(long_list(tmp_path / "a.zip", 5, says), tmp_path / "there", "holds more than 4 files")
    assert opened == []
    refused(long_list(tmp_path / "b.zip", 4, 4), tmp_path / "there", "holds no run")
    assert len(opened) == 1


def test_a_list_that_is_too_long_is_not_read(tmp_path):
    """As 16 seconds went by, and 250 MB."""
    path = long_list(tmp_path / "a.zip", 553_191, 553_191 & 0xFFFF)
    began = time.process_time()
    refused(path, tmp_path / "there", "holds more than 65,000 files")
    assert time.process_time() - began < 1


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_damaged_anywhere_is_refused_or_still_a_run(parts, tmp_path, packing):
    whole = zipped(tmp_path / "a.zip", parts, packing).read_bytes()
    list_at = whole.rfind(b"PK\x05\x06") - 46 * len(parts)
    dice, refusals = random.Random(0), 0
    for turn in range(300):
        data = bytearray(whole)
        if turn % 3 == 0:
            del data[dice.randrange(len(data)) :]
        else:  # anywhere, or in the list of members, which is small and tells the most
            low = 0 if turn % 3 == 1 else list_at
            for _ in range(dice.choice((1, 3))):
                data[dice.randrange(low, len(data))] ^= 1 << dice.randrange(8)
        path = tmp_path / "b.zip"
        path.write_bytes(data)
        try:
            run, _ = open_run(path, path=tmp_path / "opened" / str(turn))
        except CheckpointError as error:
            assert str(error).startswith("b.zip")
            refusals += 1
        else:
            assert run.snapshot_steps() == [3] and run.config and run.status.state == "stopped"
    assert refusals > 150
    left = sorted(path.name for path in (tmp_path / "opened").iterdir())
    assert len(left) == 300 - refusals and all(name.isdigit() for name in left)
