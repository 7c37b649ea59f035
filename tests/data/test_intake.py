"""Uploads: what is taken in, how it is mended, and what is said about it."""

import json
import os
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import drawn
from PIL import Image
from uploading import encoded, photo, write_folder, write_zip

from ganlab.caps import HOME, Caps
from ganlab.data.intake import take_in
from ganlab.data.report import Entry, Report, load_report, picture_file
from ganlab.data.staged import see, to_dataset
from ganlab.data.uploads import safe_text


@pytest.fixture
def staged(tmp_path) -> Path:
    return tmp_path / "staged"


def kept_picture(staged: Path, number: int = 0) -> Image.Image:
    return Image.open(picture_file(staged, number))


def take_one(tmp_path: Path, content: bytes, name: str = "1.png", **options):
    """The entry and the cleaned picture of a file taken in beside two others."""
    files = {name: content, "y.png": encoded(photo(91)), "z.png": encoded(photo(92))}
    report = take_in([write_folder(tmp_path / "one", files)], tmp_path / "staged", **options)
    entry = next(entry for entry in report.entries if entry.name == name)
    return entry, kept_picture(tmp_path / "staged", entry.number) if entry.usable else None


# Sources ------------------------------------------------------------------------------------


def test_files_folders_and_zips_are_taken_in_together(tmp_path, staged):
    loose = write_folder(tmp_path / "loose", {"tmp123": encoded(photo(1))}) / "tmp123"
    folder = write_folder(
        tmp_path / "pets",
        {"cats/1.png": encoded(photo(2)), "dogs/1.png": encoded(photo(3)), ".hidden": b"x"},
    )
    bundle = write_zip(tmp_path / "x.zip", {"birds/1.png": encoded(photo(4))})
    report = take_in([(loose, "mine.png"), folder, bundle], staged)
    assert report.tasks == {"birds": 1, "cats": 1, "dogs": 1, "pictures": 1}
    assert [entry.name for entry in report.entries][-1] == "mine.png"
    assert [entry.number for entry in report.entries] == [0, 1, 2, 3]
    assert report.remarks == () and "Only 4 pictures" in report.advice


def test_a_zip_wrapped_in_one_folder_has_the_tasks_inside_it(tmp_path, staged):
    files = {f"wrap/{task}/{i}.png": encoded(photo(i, task)) for task in "ab" for i in range(2)}
    assert take_in([write_zip(tmp_path / "x.zip", files)], staged).tasks == {"a": 2, "b": 2}


def test_a_name_with_folders_in_it_tells_the_task(tmp_path, staged):
    folder = write_folder(tmp_path / "up", {str(i): encoded(photo(i)) for i in range(2)})
    sources = [(folder / "0", "cats/a.png"), (folder / "1", "dogs\\b.png")]
    assert take_in(sources, staged).tasks == {"cats": 1, "dogs": 1}


def test_the_report_outlives_the_originals_and_another_upload_replaces_it(tmp_path, staged):
    first = write_folder(tmp_path / "a", {f"{i}.png": encoded(photo(i)) for i in range(3)})
    report = take_in([first], staged)
    assert load_report(staged) == report
    assert Report.from_dict(json.loads(json.dumps(report.to_dict()))) == report
    second = write_folder(tmp_path / "b", {f"{i}.png": encoded(photo(i)) for i in range(2)})
    take_in([second], staged)
    assert len(load_report(staged).entries) == len(list((staged / "pictures").iterdir())) == 2
    with pytest.raises(ValueError, match="upload some first"):
        load_report(tmp_path / "nowhere")


def test_ten_pictures_need_no_advice(tmp_path, staged):
    folder = write_folder(tmp_path / "a", {f"{i}.png": encoded(photo(i)) for i in range(10)})
    assert take_in([folder], staged).advice == ""


def test_progress_never_goes_back_and_ends_at_one(tmp_path, staged):
    folder = write_folder(tmp_path / "a", {f"{i}.png": encoded(photo(i)) for i in range(5)})
    steps = []
    take_in([folder], staged, on_progress=lambda done, text: steps.append((done, text)))
    fractions = [done for done, _ in steps]
    assert fractions == sorted(fractions) and fractions[-1] == 1 and len(steps) >= 6
    assert steps[0][1] == "Reading pictures: 1 of 5"


# Pictures of every kind ------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "HEIF"])
def test_every_format_is_read_whatever_its_name(tmp_path, form):
    entry, picture = take_one(tmp_path, encoded(photo(1), form), "holiday.dat")
    assert entry.status == "kept" and (entry.width, entry.height) == (80, 60)
    difference = np.abs(np.asarray(picture, float) - np.asarray(photo(1), float))
    assert difference.mean() < (20 if form == "GIF" else 8)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("turn", [3, 6, 7])
def test_pictures_are_turned_as_the_camera_says(tmp_path, form, turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    expected = {
        3: photo(1).transpose(Image.Transpose.ROTATE_180),
        6: photo(1).transpose(Image.Transpose.ROTATE_270),
        7: photo(1).transpose(Image.Transpose.TRANSVERSE),
    }[turn]
    entry, seen = take_one(tmp_path, encoded(photo(1), form, exif=exif))
    assert entry.status == "mended" and entry.notes == ("turned as the camera says",)
    assert (entry.width, entry.height) == seen.size == expected.size
    assert np.abs(np.asarray(seen, float) - np.asarray(expected, float)).mean() < 8
    assert not seen.getexif()


def test_heic_pictures_are_upright_as_their_decoder_gives_them(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for scale in (1, 10):  # as it is, and shrunk
        original = photo(1, size=(80 * scale, 60 * scale))
        entry, seen = take_one(tmp_path, encoded(original, "HEIF", exif=exif.tobytes()))
        expected = original.transpose(Image.Transpose.ROTATE_270)
        assert (entry.width, entry.height) == expected.size
        assert seen.size == ((60, 80) if scale == 1 else (192, 256))
        expected = expected.resize(seen.size)
        assert np.abs(np.asarray(seen, float) - np.asarray(expected, float)).mean() < 8


@pytest.mark.parametrize(
    "picture, form, note",
    [
        (photo(1).convert("CMYK"), "JPEG", "CMYK made RGB"),
        (photo(1).convert("CMYK"), "TIFF", "CMYK made RGB"),
        (Image.fromarray(np.full((9, 9), 32768, np.uint16) * (np.arange(9) > 3)), "PNG", "16 bits"),
        (photo(1).convert("LA"), "PNG", None),
        (photo(1).convert("P"), "GIF", None),
        (photo(1).convert("1"), "PNG", None),
        (photo(1).convert("L"), "TIFF", None),
    ],
)
def test_pictures_of_every_kind_are_made_plain(tmp_path, picture, form, note):
    entry, seen = take_one(tmp_path, encoded(picture, form))
    assert seen.mode in ("L", "RGB") and entry.status == ("mended" if note else "kept")
    assert note is None or any(note in said for said in entry.notes)


def test_only_the_first_frame_of_an_animation_is_taken(tmp_path):
    frames = [photo(i).convert("P") for i in range(12)]
    moving = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    entry, seen = take_one(tmp_path, moving)
    assert entry.notes == ("first of 12 frames",)
    assert np.abs(np.asarray(seen, float) - np.asarray(photo(0), float)).mean() < 20


@pytest.mark.parametrize("form", ["GIF", "TIFF"])
def test_thousands_of_frames_cost_no_more_than_one(tmp_path, form):
    frames = [Image.new("L", (8, 8), i % 256) for i in range(3000 if form == "GIF" else 1000)]
    content = encoded(photo(1).convert("P"), form, save_all=True, append_images=frames)
    start = time.perf_counter()
    entry, _ = take_one(tmp_path, content)
    assert entry.status == "mended" and "frames" in entry.notes[0]
    assert time.perf_counter() - start < 3


def test_large_pictures_are_shrunk_and_small_ones_never_enlarged(tmp_path):
    entry, seen = take_one(tmp_path, encoded(photo(1).resize((1000, 500)), "JPEG"))
    assert seen.size == (256, 128) and entry.notes == ("shrunk from 1000×500",)
    assert entry.status == "kept"
    assert take_one(tmp_path, encoded(photo(1).resize((3, 5))))[1].size == (3, 5)
    assert take_one(tmp_path, encoded(photo(1).resize((5000, 2))))[1].size == (256, 1)


@pytest.mark.parametrize("background, expected", [("white", 255), ("#000000", 0), ("edge", 200)])
def test_what_is_transparent_is_shown_on_whatever_colour_one_chooses_later(
    tmp_path, background, expected
):
    pixels = np.full((40, 40, 4), (200, 200, 200, 255), np.uint8)
    pixels[10:30, 10:30] = (1, 2, 3, 0)
    pixels[:5, :20] = 0
    pixels[32:, :20, :3] = 90
    pixels[32:, :20, 3] = 255
    pixels[-1] = 200, 200, 200, 255
    pixels[:, 0, 3] = 0
    entry, kept = take_one(tmp_path, encoded(Image.fromarray(pixels)))
    assert kept.mode == "RGBA" and kept.getpixel((20, 20))[3] == 0
    assert entry.notes == ("transparent parts filled",)
    assert entry.status == "mended" and entry.transparent
    seen = see(tmp_path / "staged", entry.number, 32, background=background)
    assert seen[16, 16].tolist() == pytest.approx(3 * [expected], abs=1)
    row = to_dataset(tmp_path / "staged", size=32, background=background).images[entry.number]
    assert row[:, 16, 16].tolist() == pytest.approx(3 * [expected], abs=1)


def test_a_picture_that_only_could_be_transparent_is_none(tmp_path):
    entry, kept = take_one(tmp_path, encoded(photo(1).convert("RGBA")))
    assert kept.mode == "RGB" and not entry.transparent and entry.notes == ()


def test_a_colour_that_does_not_exist_is_refused(tmp_path, staged):
    take_one(tmp_path, encoded(photo(1)))
    with pytest.raises(ValueError, match="no colour; choose"):
        to_dataset(staged, size=32, background="mauvish")


# What is left out ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("a.png", b"", "is empty"),
        ("a.png", b"Dear diary,\n today", "is a text file named .png"),
        ("a.jpg", b"<!DOCTYPE html><html>", "is a web page named .jpg, not the picture"),
        ("a.jpg", b"%PDF-1.7 x", "is a PDF named .jpg; save its pages as PNG"),
        ("a.png", b"\x93\x01\x02\xff" * 99, "is not a picture that can be read"),
        ("a.heic", b"\0\0\0\x18ftypavif\0\0\0\0avifmif1" + b"\0" * 90, "is an AVIF picture"),
        ("a.jpg", b"\0\0\0\x18ftypisom\0\0\0\0isomiso2" + b"\0" * 90, "is a video named .jpg"),
        ("in.zip", b"PK\x03\x04" + b"\0" * 90, "is a zip"),
    ],
)
def test_what_is_no_picture_is_named_for_what_it_is(tmp_path, name, content, words):
    entry, _ = take_one(tmp_path, content, name)
    assert entry.status == "left out" and not entry.usable and words in entry.notes[0]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "HEIF"])
def test_a_picture_that_was_cut_off_is_left_out(tmp_path, form):
    content = encoded(photo(1, "detailed"), form)
    entry, _ = take_one(tmp_path, content[: len(content) * 2 // 3])
    assert not entry.usable
    assert entry.notes[0] in ("is cut off in the middle", "is damaged")


def test_a_gigantic_picture_is_not_decoded(tmp_path):
    chunks = [(b"IHDR", struct.pack(">II5B", 60_000, 60_000, 1, 0, 0, 0, 0)), (b"IDAT", b"x")]
    vast = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    assert "pixels" in take_one(tmp_path, vast)[0].notes[0]
    large = encoded(Image.new("1", (300, 300)))
    caps = Caps(pixels=80_000)
    entry, _ = take_one(tmp_path, large, caps=caps)
    assert entry.notes == ("300×300 is more than 80,000 pixels (GANLAB_MAX_PIXELS)",)


def test_nearly_blank_pictures_are_left_out_but_can_be_put_back(tmp_path, staged):
    rng = np.random.default_rng(0)
    paper = Image.fromarray(rng.integers(247, 252, (64, 64, 3), np.uint8))
    entry, picture = take_one(tmp_path, encoded(paper))
    assert entry.blank and entry.usable and not entry.include and picture is not None
    assert entry.notes == ("a nearly blank picture",)
    assert load_report(staged).chosen([entry.number, 1])[0] == entry


# Names and limits ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, shown",
    [
        ("Katze 猫 قطة.png", "Katze 猫 قطة.png"),
        ("a\x00b\x1b[31m\u202egnp.exe\n", "ab[31mgnp.exe"),
        ("caf\udce9.png", "caf?.png"),
        ("\x07", "without a name"),
        ("👩\u200d🎨.png", "👩\u200d🎨.png"),
    ],
)
def test_names_in_any_script_are_made_safe_to_show(name, shown):
    assert safe_text(name) == shown
    assert len(safe_text(name * 100)) <= 100


def test_names_that_differ_only_in_case_and_bad_encodings_are_all_taken(tmp_path, staged):
    folder = write_folder(tmp_path / "a", {"A.png": encoded(photo(1)), "a.png": encoded(photo(2))})
    (folder / "x.png").mkdir()
    with open(os.fsencode(folder) + b"/caf\xe9.png", "wb") as file:
        file.write(encoded(photo(3)))
    report = take_in([folder], staged)
    assert [entry.name for entry in report.entries] == ["A.png", "a.png", "caf?.png"]
    assert report.usable == 3 and load_report(staged) == report


def test_more_pictures_than_the_limit_are_not_read(tmp_path, staged):
    folder = write_folder(tmp_path / "a", {f"{i}.png": encoded(photo(i)) for i in range(9)})
    report = take_in([folder], staged, caps=Caps.of("public", pictures=4))
    assert [entry.name for entry in report.entries] == ["0.png", "1.png", "2.png", "3.png"]
    assert report.remarks == (
        "4 pictures are the limit (GANLAB_MAX_PICTURES): of 9 files, the first 4 by name were "
        f"read. {HOME}",
    )


def test_when_the_time_is_up_what_was_read_counts(tmp_path, staged, monkeypatch):
    folder = write_folder(tmp_path / "a", {f"{i}.png": encoded(photo(i)) for i in range(9)})
    asked = iter(range(100))
    report = take_in([folder], staged, should_stop=lambda: next(asked) == 2)
    assert len(report.entries) == 3 and "stopped" in report.remarks[0]
    slow = Caps.of("public", intake_seconds=1)
    report = take_in([folder], staged, caps=slow, on_progress=lambda *_: time.sleep(0.4))
    assert 2 <= len(report.entries) < 9 and "took 1 seconds" in report.remarks[0]
    assert "(GANLAB_INTAKE_SECONDS)" in report.remarks[0] and HOME in report.remarks[0]


def test_more_bytes_than_the_limit_are_not_read(tmp_path, staged):
    photos = [photo(i, size=(500, 500)) for i in range(4)]
    files = {f"{i}.bmp": encoded(picture, "BMP") for i, picture in enumerate(photos)}
    folder = write_folder(tmp_path / "a", files)
    report = take_in([folder], staged, caps=Caps.of("public", upload_mb=1))
    assert len(report.entries) == 2 and "1 MB are the limit" in report.remarks[0]
    assert "(GANLAB_MAX_UPLOAD_MB)" in report.remarks[0] and HOME in report.remarks[0]


def test_the_default_limits_allow_five_hundred_photos_of_a_phone():
    caps = Caps()
    assert caps.pictures >= 500 and caps.upload_mb >= 500 * 4 and caps.pixels >= 48_000_000


@pytest.mark.parametrize(
    "files, complaint",
    [
        ({}, "No picture can be used.*none in what"),
        ({"a.png": encoded(photo(1))}, "Only one picture"),
        ({"a.png": b"", "b.png": b"words"}, "a.png is empty; b.png is a text file"),
        ({f"{i}.png": encoded(photo(1)) for i in "ab"}, "Only one.*b.png is nearly the same as a"),
    ],
)
def test_an_upload_without_two_usable_pictures_is_refused(tmp_path, staged, files, complaint):
    with pytest.raises(ValueError, match=complaint):
        take_in([write_folder(tmp_path / "a", files)] if files else [], staged)


def test_an_entry_that_was_left_out_is_not_included():
    entry = Entry(0, "a", "t", "kept", usable=True)
    assert entry.include and not entry.noted("why", status="left out").include


def test_one_of_two_similar_drawings_is_odd_to_nobody(tmp_path, staged):
    rng = np.random.default_rng(0)
    files = {f"{i:02d}.png": encoded(drawn("discs", 64, rng)) for i in range(11)}
    report = take_in([write_folder(tmp_path / "a", files)], staged)
    assert not any(entry.odd for entry in report.entries)
