"""Thousands of damaged files: each ends in a sentence, none in a crash or a stall."""

import io
import random
import string
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganlab.caps import Caps
from ganlab.data.intake import take_in
from ganlab.data.pictures import clean

SECONDS = 1.0  # that a single file may take
PER_KIND = 380
ZIPS = 400
PLAIN = set(string.ascii_letters + string.digits + string.punctuation + " ×…’")


def scene(mode: str, size: tuple[int, int]) -> Image.Image:
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (9, 11, 3), np.uint8)).resize(size)
    return picture.convert(mode)


def packed(mode: str, form: str, size=(96, 72), **options) -> bytes:
    file = io.BytesIO()
    scene(mode, size).save(file, form, **options)
    return file.getvalue()


def originals() -> dict[str, bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [scene("P", (40, 30)).rotate(10 * i) for i in range(3)]
    return {
        "photo.jpg": packed("RGB", "JPEG", exif=exif),
        "passes.jpg": packed("RGB", "JPEG", progressive=True),
        "print.jpg": packed("CMYK", "JPEG"),
        "a.png": packed("RGBA", "PNG", exif=exif),
        "indexed.png": packed("P", "PNG", transparency=3),
        "a.webp": packed("RGBA", "WEBP", exif=exif),
        "moving.webp": packed("RGB", "WEBP", save_all=True, append_images=[scene("RGB", (96, 72))]),
        "moving.gif": packed("P", "GIF", size=(40, 30), save_all=True, append_images=frames),
        "a.bmp": packed("RGB", "BMP"),
        "a.tif": packed("RGB", "TIFF"),
        "packed.tif": packed("RGB", "TIFF", compression="tiff_lzw"),
        "jpeg.tif": packed("RGB", "TIFF", compression="jpeg"),
        "a.heic": packed("RGB", "HEIF"),
    }


def damaged(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Cut off, flipped, spliced, overwritten in its header, or several of these."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        way = rng.randrange(6)
        at = rng.randrange(len(out)) if out else 0
        if way == 0:
            del out[at:]
        elif way == 1:
            for _ in range(rng.choice((1, 4, 30))):
                if out:
                    out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
        elif way == 2:
            other = rng.choice(others)
            out[at:] = other[rng.randrange(len(other)) :]
        elif way == 3:  # where sizes, counts and offsets are
            place = rng.randrange(min(64, len(out) or 1))
            out[place : place + 4] = rng.choice(
                (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", rng.randbytes(4))
            )
        elif way == 4:
            del out[at : at + rng.randrange(1, 40)]
        else:
            out[at:at] = rng.randbytes(rng.randrange(1, 40))
    return bytes(out)


def check_words(words: str) -> None:
    assert words and set(words) <= PLAIN, words
    assert not words.endswith("Error") and "Traceback" not in words and "0x" not in words


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_pictures_of_every_format_are_cleaned_or_refused_in_words():
    rng = random.Random(1)
    sources = originals()
    everything = list(sources.values())
    ends = {"cleaned": 0, "refused": 0}
    slowest = 0.0
    for data in everything:
        clean(data)  # each is fine before it is damaged
        for _ in range(PER_KIND):
            bad = damaged(data, everything, rng)
            start = time.perf_counter()
            try:
                cleaned = clean(bad)
            except ValueError as error:
                check_words(str(error))
                ends["refused"] += 1
            else:
                assert cleaned.picture.mode in ("L", "RGB", "RGBA")
                assert max(cleaned.picture.size) <= 256
                ends["cleaned"] += 1
            slowest = max(slowest, time.perf_counter() - start)
    assert sum(ends.values()) == len(sources) * PER_KIND >= 4_000
    assert min(ends.values()) > 500, ends
    assert slowest < SECONDS


def test_damaged_files_under_any_name_are_entries_of_one_report(tmp_path: Path):
    rng = random.Random(2)
    sources = originals()
    everything = list(sources.values())
    suffixes = [name.rpartition(".")[2] for name in sources] + ["txt", "zip.png", ""]
    album = tmp_path / "album"
    album.mkdir()
    for i in range(200):
        bad = damaged(rng.choice(everything), everything, rng)
        (album / f"{i:04d}.{rng.choice(suffixes)}").write_bytes(bad)
    for i in range(2):
        (album / f"good-{i}.png").write_bytes(packed("RGB" if i else "L", "PNG", size=(50, 50 + i)))
    report = take_in([album], tmp_path / "staged", caps=Caps())
    assert len(report.entries) == 202
    for entry in report.entries:
        assert entry.status in ("kept", "mended", "left out")
        assert entry.notes or entry.status == "kept"


def test_damaged_zips_are_read_as_far_as_possible_or_refused_in_words(tmp_path: Path):
    rng = random.Random(3)
    album = io.BytesIO()
    with zipfile.ZipFile(album, "w", zipfile.ZIP_DEFLATED) as bundle:
        for i in range(3):
            bundle.writestr(f"{'ab'[i % 2]}/{i}.png", packed("RGB", "PNG", size=(20 + i, 20)))
    original = album.getvalue()
    table = original.rindex(b"PK\x05\x06") - 200
    ends = {"read": 0, "refused": 0}
    for i in range(ZIPS):
        bad = bytearray(damaged(original, [original], rng) if i % 2 else original)
        if i % 2 == 0:  # in the table of contents, where zips are the most fragile
            for _ in range(rng.choice((1, 2, 8))):
                bad[rng.randrange(table, len(bad))] = rng.randrange(256)
        file = tmp_path / "album.zip"
        file.write_bytes(bad)
        start = time.perf_counter()
        try:
            report = take_in([file], tmp_path / "staged", caps=Caps())
        except ValueError as error:
            assert str(error).endswith(".") and "can be used" in str(error)
            ends["refused"] += 1
        else:
            assert report.usable >= 2
            ends["read"] += 1
        assert time.perf_counter() - start < SECONDS
    assert sum(ends.values()) == ZIPS and min(ends.values()) > 20, ends


@pytest.mark.parametrize("size", [0, 1, 3, 12, 100])
def test_files_of_a_few_bytes_are_refused_in_words(size):
    rng = random.Random(size)
    for name, data in originals().items():
        with pytest.raises(ValueError) as refused:
            clean(data[:size])
        check_words(str(refused.value))
        with pytest.raises(ValueError):
            clean(data[: min(len(data), 12)] + rng.randbytes(size)), name
