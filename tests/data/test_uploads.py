"""Hostile uploads end in a sentence, and nothing outside the folder is touched."""

import os
import stat
import struct
import time
import zipfile
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin
from uploading import encoded, photo, write_folder, write_zip

from ganlab.caps import HOME, PROFILES, PUBLIC, Caps
from ganlab.data.intake import take_in
from ganlab.data.pictures import clean

PICTURE = encoded(photo(1))
GOOD = {"y.png": encoded(photo(91)), "z.png": encoded(photo(92))}


def entry_of(report, name: str):
    return next(entry for entry in report.entries if entry.name == name)


def test_paths_that_lead_out_of_a_zip_lead_nowhere(tmp_path):
    files = {"../../evil.png": PICTURE, "/abs.png": GOOD["y.png"], "C:\\w.png": GOOD["z.png"]}
    report = take_in([write_zip(tmp_path / "x.zip", files)], tmp_path / "in" / "staged")
    assert {entry.name for entry in report.entries} == {"evil.png", "abs.png", "w.png"}
    assert not list(tmp_path.rglob("evil.png"))
    assert not (tmp_path.parent / "evil.png").exists()


def test_links_and_devices_in_zips_and_folders_are_not_followed(tmp_path):
    link = zipfile.ZipInfo("link.png")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    bundle = write_zip(tmp_path / "x.zip", GOOD)
    with zipfile.ZipFile(bundle, "a") as file:
        file.writestr(link, "/etc/passwd")
    report = take_in([bundle], tmp_path / "staged")
    assert "links are not followed" in entry_of(report, "link.png").notes[0]

    folder = write_folder(tmp_path / "folder", GOOD)
    secret = write_folder(tmp_path / "secret", {"s.png": PICTURE})
    (folder / "link.png").symlink_to(secret / "s.png")
    (folder / "links").symlink_to(secret)
    os.mkfifo(folder / "pipe.png")
    report = take_in([folder], tmp_path / "staged")
    assert report.usable == 2
    assert "links are not followed" in entry_of(report, "link.png").notes[0]
    assert "links are not followed" in entry_of(report, "links").notes[0]
    assert "no ordinary file" in entry_of(report, "pipe.png").notes[0]
    with pytest.raises(ValueError, match=r"pipe\.png is no ordinary file"):
        take_in([folder / "pipe.png"], tmp_path / "staged")


def test_a_zip_in_a_zip_is_not_opened(tmp_path):
    inner = write_zip(tmp_path / "inner.zip", GOOD).read_bytes()
    report = take_in([write_zip(tmp_path / "x.zip", {**GOOD, "in.zip": inner})], tmp_path / "s")
    assert entry_of(report, "in.zip").notes[0].startswith("is a zip; upload it by itself")


def test_a_bomb_is_not_unpacked(tmp_path):
    bundle = write_zip(tmp_path / "x.zip", GOOD)
    with (
        zipfile.ZipFile(bundle, "a", zipfile.ZIP_DEFLATED) as file,
        file.open("bomb.png", "w", force_zip64=True) as bomb,
    ):
        for _ in range(110):
            bomb.write(bytes(1_000_000))
    start = time.perf_counter()
    report = take_in([bundle], tmp_path / "staged")
    assert entry_of(report, "bomb.png").notes == (
        "has 110 MB, and 100 MB is the limit of one picture (GANLAB_MAX_PICTURE_MB)",
    )
    # A bomb that lies about its size is read as far as it says, and then found damaged.
    content = bytearray(bundle.read_bytes())
    for signature, place in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = content.rindex(signature) + place
        content[at : at + 4] = struct.pack("<I", 5000)
    bundle.write_bytes(content)
    note = entry_of(take_in([bundle], tmp_path / "staged"), "bomb.png").notes[0]
    assert note == "is damaged inside the zip"
    assert time.perf_counter() - start < 5


def test_many_large_members_stop_at_the_limit_of_the_upload(tmp_path):
    files = {f"{i}.bmp": encoded(photo(i, size=(600, 600)), "BMP") for i in range(6)}
    report = take_in([write_zip(tmp_path / "x.zip", files)], tmp_path / "s", caps=Caps(upload_mb=3))
    assert len(report.entries) == 3 and "3 MB are the limit" in report.remarks[0]


def test_a_hundred_thousand_entries_are_not_even_listed(tmp_path):
    many = tmp_path / "many.zip"
    entry = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", *[20] * 6, 0, 0, 0, 1, *[0] * 4, 0, 0) + b"x"
    table = entry * 100_000
    for said in (100_000 % 65_536, 3):  # what the end record says of it may be a lie
        end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, said, said, len(table), 4, 0)
        many.write_bytes(b"PK\x03\x04" + table + end)
        start = time.perf_counter()
        with pytest.raises(ValueError, match=r"5,000 files .GANLAB_MAX_ENTRIES.: pack fewer"):
            take_in([many], tmp_path / "staged", caps=Caps())
        assert time.perf_counter() - start < 2
    folder = write_folder(tmp_path / "f", {f"{i}.txt": b"" for i in range(30)})
    with pytest.raises(ValueError, match="f holds more than 20 files"):
        take_in([folder], tmp_path / "staged", caps=Caps(entries=20))
    files = sorted(folder.iterdir())
    with pytest.raises(ValueError, match="More than 20 files"):
        take_in(files, tmp_path / "staged", caps=Caps(entries=20))


@pytest.mark.parametrize("profile", PROFILES)
def test_only_who_cannot_set_a_limit_is_told_where_they_can(tmp_path, profile):
    folder = write_folder(tmp_path / "f", {f"{i}.txt": b"" for i in range(30)})
    for sources in ([folder], sorted(folder.iterdir())):
        with pytest.raises(ValueError, match=r"20 files.*GANLAB_MAX_ENTRIES") as refused:
            take_in(sources, tmp_path / "staged", caps=Caps.of(profile, entries=20))
        assert (HOME.rstrip(".") in str(refused.value)) == (profile == PUBLIC)


def test_of_too_many_files_in_several_the_limit_is_told(tmp_path):
    files = {f"{i}.txt": b"" for i in range(15)}
    zips = [write_zip(tmp_path / f"{name}.zip", files) for name in "ab"]
    with pytest.raises(ValueError, match=r"b\.zip holds, with those before, more than 20 files"):
        take_in(zips, tmp_path / "staged", caps=Caps(entries=20))


def test_a_source_with_too_many_files_does_not_spoil_those_after_it(tmp_path):
    files = {f"{i}.txt": b"" for i in range(30)}
    sources = [
        write_zip(tmp_path / "many.zip", files),
        write_folder(tmp_path / "folder", GOOD),
        write_zip(tmp_path / "good.zip", GOOD),
    ]
    report = take_in(sources, tmp_path / "staged", caps=Caps(entries=20))
    assert report.usable == len(GOOD)  # the zip has the same pictures once more
    (told,) = report.remarks
    assert told.startswith("many.zip holds more than 20 files")


def test_one_bad_source_does_not_spoil_the_others(tmp_path):
    folder = write_folder(tmp_path / "good", GOOD)
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 and no more")
    (tmp_path / "no.zip").write_bytes(b"hello")
    report = take_in([tmp_path / "bad.zip", tmp_path / "no.zip", folder, "/gone"], tmp_path / "s")
    assert report.usable == 2
    assert report.remarks == (
        "bad.zip is a zip that was cut off; upload or pack it again.",
        "no.zip is called a zip but is none.",
        "gone is not there.",
    )


def test_a_locked_zip_is_named(tmp_path):
    bundle = write_zip(tmp_path / "x.zip", GOOD)
    content = bytearray(bundle.read_bytes())
    at = -1
    while (at := content.find(b"PK\x01\x02", at + 1)) >= 0:
        content[at + 8] |= 1
    bundle.write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.zip is locked with a password"):
        take_in([bundle], tmp_path / "staged")


def test_members_that_share_their_bytes_are_refused(tmp_path):
    bundle = write_zip(tmp_path / "x.zip", GOOD)
    content = bytearray(bundle.read_bytes())
    second = content.rindex(b"PK\x01\x02")
    content[second + 42 : second + 46] = bytes(4)  # where the first one begins
    bundle.write_bytes(content)
    with pytest.raises(ValueError, match="unpack to more than it holds"):
        take_in([bundle], tmp_path / "staged")


def test_a_zip_that_lies_about_where_its_table_is_is_refused(tmp_path):
    bundle = write_zip(tmp_path / "x.zip", GOOD)
    good = bundle.read_bytes()
    end = good.rindex(b"PK\x05\x06")
    far = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 2, 2, 1 << 60, 1 << 62)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    bundle.write_bytes(good[:end] + far + locator + good[end:])
    with pytest.raises(ValueError, match=r"x.zip (is a damaged zip|holds more)"):
        take_in([bundle], tmp_path / "staged")


def test_names_in_a_zip_are_read_in_the_alphabet_they_were_written_in(tmp_path):
    bundle = write_zip(tmp_path / "x.zip", {"xxx.png": PICTURE, **GOOD})
    content = bundle.read_bytes().replace(b"xxx.png", "猫.png".encode())
    bundle.write_bytes(content)
    assert entry_of(take_in([bundle], tmp_path / "staged"), "猫.png").usable


def test_unusual_ways_to_pack_are_not_unpacked(tmp_path):
    bundle = write_zip(tmp_path / "x.zip", GOOD)
    with zipfile.ZipFile(bundle, "a", zipfile.ZIP_LZMA) as file:
        file.writestr("a.png", PICTURE)
    assert "packed in a way" in entry_of(take_in([bundle], tmp_path / "s"), "a.png").notes[0]


# Traps inside pictures ----------------------------------------------------------------------


def refused_quickly(content: bytes) -> str:
    start = time.perf_counter()
    with pytest.raises(ValueError) as refused:
        clean(content)
    assert time.perf_counter() - start < 2
    return str(refused.value)


def exif_bomb() -> bytes:
    """Thousands of fields that all point to the same 60,000 bytes."""
    fields = [struct.pack("<HHII", 1000 + i, 7, 60_000, 8) for i in range(4000)]
    fields.append(struct.pack("<HHIHH", 274, 3, 1, 6, 0))
    return b"II*\0" + struct.pack("<IH", 8, len(fields)) + b"".join(fields) + bytes(16_000)


def test_notes_that_would_fill_the_memory_are_never_read_and_still_turn_the_picture():
    plain = encoded(photo(1), "JPEG")
    note = (b"Exif\0\0" + exif_bomb())[:65_000]
    bomb = (
        plain[:2]
        + b"\xff\xe1"
        + struct.pack(">H", 2 + len(note[:65_000]))
        + note[:65_000]
        + plain[2:]
    )
    start = time.perf_counter()
    assert clean(bomb).picture.size == (60, 80)
    assert time.perf_counter() - start < 2


def test_a_tiff_whose_fields_share_their_bytes_is_refused():
    bomb = encoded(photo(1), "TIFF")
    (at,) = struct.unpack_from("<I", bomb, 4)
    (count,) = struct.unpack_from("<H", bomb, at)
    fields = bomb[at + 2 : at + 2 + 12 * count]
    many = b"".join(struct.pack("<HHII", 40_000 + i, 7, len(bomb), 8) for i in range(9000))
    header = struct.pack("<H", count + 9000) + fields + many + bytes(4)
    assert (
        refused_quickly(bomb[:4] + struct.pack("<I", len(bomb)) + bomb[8:] + header) == "is damaged"
    )


@pytest.mark.parametrize("filler", [b"\xff", b"\xff\xfe\0\2", b"\xff\xe1\0\2"])
def test_a_jpeg_of_endless_nothing_is_no_stall(filler):
    plain = encoded(photo(1), "JPEG")
    start = time.perf_counter()
    try:
        clean(plain[:2] + filler * 5_000_000 + plain[2:])
    except ValueError as error:
        assert str(error) == "is damaged"
    assert time.perf_counter() - start < 2


def test_a_jpeg_in_a_thousand_passes_is_refused():
    plain = encoded(Image.new("L", (5000, 5000)), "JPEG", progressive=True)
    scan = plain.rindex(b"\xff\xda")
    bomb = plain[:-2] + plain[scan:-2] * 1000 + plain[-2:]
    assert "so many passes" in refused_quickly(bomb)


def test_a_png_of_a_million_parts_and_one_of_endless_text_are_refused():
    plain = encoded(photo(1))
    parts = struct.pack(">I4sI", 0, b"abCd", 0) * 1_000_000
    assert refused_quickly(plain[:33] + parts + plain[33:]) == "is damaged"
    notes = PngImagePlugin.PngInfo()
    notes.add_text("c", "x" * 60_000_000, zip=True)
    assert refused_quickly(encoded(photo(1), pnginfo=notes)) == "is damaged"


def test_a_webp_as_large_as_they_come_is_refused_before_room_is_made_for_it():
    plain = encoded(photo(1).convert("RGBA"), "WEBP", exif=b"Exif\0\0II*\0")
    assert plain[12:16] == b"VP8X"
    bomb = plain[:24] + b"\xff\x3f\0\xff\x3f\0" + plain[30:]
    assert "16384×16384 is more than" in refused_quickly(bomb)


def test_a_gif_of_endless_remarks_is_refused():
    plain = encoded(photo(1).convert("P"), "GIF")
    at = 13 + 768
    assert (
        refused_quickly(plain[:at] + b"!\xfe" + b"\1x" * 2_000_000 + b"\0" + plain[at:])
        == "is damaged"
    )


def test_nothing_is_left_outside_the_folder(tmp_path: Path):
    folder = write_folder(tmp_path / "a", GOOD)
    take_in([folder], tmp_path / "staged")
    names = {
        str(path.relative_to(tmp_path / "staged")) for path in (tmp_path / "staged").rglob("*")
    }
    assert names == {"pictures", "pictures/0000.png", "pictures/0001.png", "report.json"}


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC9, 0xCA, 0xCF])
def test_a_jpeg_of_a_kind_whose_work_cannot_be_foretold_is_refused(marker):
    plain = bytearray(encoded(Image.new("L", (64, 64)), "JPEG"))
    plain[plain.index(b"\xff\xc0") + 1] = marker
    assert refused_quickly(bytes(plain)) == "is a rare kind of JPEG; save it anew"


def test_one_file_that_points_beyond_all_numbers_does_not_take_the_others_along(tmp_path):
    trap = b"II+\0" + struct.pack("<HHQ", 8, 0, 2**63) + bytes(50)
    pictures = {f"{n}.png": encoded(photo(n)) for n in range(3)}
    folder = write_folder(tmp_path / "mine", {**pictures, "trap.tif": trap})
    report = take_in([folder], tmp_path / "staged")
    assert entry_of(report, "trap.tif").notes == ("is cut off in the middle",)
    assert report.usable == 3


def test_a_jpeg_whose_notes_point_beyond_all_numbers_is_kept():
    notes = b"Exif\0\0II+\0" + struct.pack("<HHQ", 8, 0, 2**63)
    plain = encoded(photo(1), "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", 2 + len(notes)) + notes
    assert clean(plain[:2] + segment + plain[2:]).size == clean(plain).size


def test_a_remark_that_looks_like_a_huge_zips_end_is_not_believed(tmp_path):
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as bundle:
        for n in range(60):
            bundle.writestr(f"{n}.txt", b"")
        last = bundle.infolist()[-1]
        forged = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, 10, 0)
        last.comment = forged + bytes(20)  # the place of the locator, without its name
    with pytest.raises(ValueError, match="more than 20 files"):
        take_in([path], tmp_path / "staged", caps=Caps(entries=20))


def test_a_downloaded_generator_among_pictures_is_told_where_to_open_it(tmp_path):
    files = {"model.json": b"{}", "generator.safetensors": b"x", "preview.png": encoded(photo(3))}
    model = write_zip(tmp_path / "ganlab-mine.zip", files)
    folder = write_folder(tmp_path / "mine", GOOD)
    report = take_in([folder, model], tmp_path / "staged")
    assert report.usable == 2
    said = "ganlab-mine.zip: is a generator of ganlab, not pictures; open it under Your runs."
    assert said.split(": ")[1] in " ".join(report.remarks)
