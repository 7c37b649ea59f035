"""Copies are found, drawings that differ in little are not, and strangers are flagged."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageDraw
from uploading import encoded, photo, write_folder

from ganlab.data.catalog import BUNDLED_FOLDER
from ganlab.data.intake import take_in
from ganlab.data.looks import find_copies, look_at


def bundled(name: str, count: int, under: str = "") -> dict[str, bytes]:
    with zipfile.ZipFile(BUNDLED_FOLDER / f"{name}.zip") as bundle:
        names = [inside for inside in sorted(bundle.namelist()) if inside.startswith(under)]
        return {
            f"{name}-{inside}".replace("/", "-"): bundle.read(inside) for inside in names[:count]
        }


def face(mouth: str) -> Image.Image:
    picture = Image.new("RGB", (256, 256), (250, 220, 190))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((30, 30, 226, 226), fill=(255, 200, 60), outline="black", width=4)
    for x in (80, 150):
        draw.ellipse((x, 90, x + 24, 114), fill="black")
    box = (90, 130, 166, 190)
    draw.arc(box, *((20, 160) if mouth == "smiles" else (200, 340)), fill="black", width=7)
    return picture


def recompressed(picture: Image.Image, quality: int) -> Image.Image:
    return Image.open(io.BytesIO(encoded(picture, "JPEG", quality=quality)))


def rescaled(picture: Image.Image, factor: float) -> Image.Image:
    size = tuple(round(length * factor) for length in picture.size)
    return picture.resize(size, Image.Resampling.BICUBIC)


def is_copy(a: Image.Image, b: Image.Image) -> bool:
    return find_copies([look_at(a), look_at(b)]) == {1: 0}


@pytest.mark.parametrize("quality", [30, 50, 90])
@pytest.mark.parametrize("factor", [0.5, 0.75, 1, 2])
def test_recompressed_and_rescaled_copies_are_found(quality, factor):
    for original in (photo(1, "detailed", (256, 192)), face("smiles")):
        assert is_copy(original, recompressed(rescaled(original, factor), quality))


def test_drawings_that_differ_only_in_a_mouth_are_no_copies():
    assert not is_copy(face("smiles"), face("frowns"))
    assert is_copy(face("smiles"), face("smiles"))


def test_mirror_images_and_other_proportions_are_no_copies():
    original = photo(1, size=(256, 192))
    assert not is_copy(original, original.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    assert not is_copy(original, original.resize((256, 256)))


def test_two_pictures_of_grain_are_no_copies():
    rng = np.random.default_rng(0)
    a, b = (Image.fromarray(rng.integers(0, 256, (256, 256), np.uint8)) for _ in range(2))
    assert not is_copy(a, b) and is_copy(a, a)


def test_a_copy_in_an_upload_names_its_original_and_is_left_out(tmp_path):
    files = {f"IMG_{i}.jpg": encoded(photo(i, "detailed", (320, 240)), "JPEG") for i in range(3)}
    again = Image.open(io.BytesIO(files["IMG_2.jpg"])).resize((200, 150))
    files["sent.webp"] = encoded(again, "WEBP", quality=60)
    report = take_in([write_folder(tmp_path / "a", files)], tmp_path / "staged")
    copy = report.entries[3]
    assert copy.duplicate_of == 2 and copy.notes == ("nearly the same as IMG_2.jpg",)
    assert copy.usable and not copy.include and report.usable == 3


@pytest.mark.parametrize("name", ["robots", "line-art", "emoji"])
def test_the_bundled_sets_have_no_copies_no_blanks_and_hardly_a_stranger(tmp_path, name):
    report = take_in([BUNDLED_FOLDER / f"{name}.zip"], tmp_path / "staged")
    assert report.usable == 60 and report.tasks == {name: 60}
    assert sum(entry.odd for entry in report.entries) <= 1


@pytest.mark.parametrize(
    "stranger, under", [("emoji", ""), ("fashion", "bag/"), ("avatars", "avataaars/")]
)
def test_one_stranger_among_thirty_robots_is_flagged_and_stays(tmp_path, stranger, under):
    files = {**bundled("robots", 30), **bundled(stranger, 1, under)}
    report = take_in([write_folder(tmp_path / "a", files)], tmp_path / "staged")
    odd = [entry for entry in report.entries if entry.odd]
    assert [entry.name.split("-")[0] for entry in odd] == [stranger]
    assert odd[0].include and odd[0].notes[-1] == "unlike all the others"


def test_among_a_handful_nothing_is_odd(tmp_path):
    files = {**bundled("robots", 8), **bundled("emoji", 1)}
    report = take_in([write_folder(tmp_path / "a", files)], tmp_path / "staged")
    assert not any(entry.odd for entry in report.entries)
