"""Reading data sets from folders and zips."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganlab.data import reading
from ganlab.data.reading import read_pictures


def picture(colour="red", size=(64, 64), mode="RGB", form="PNG", **options) -> bytes:
    packed = io.BytesIO()
    Image.new(mode, size, colour).save(packed, form, **options)
    return packed.getvalue()


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    return path


def write_folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return path


@pytest.fixture(params=[write_zip, write_folder], ids=["zip", "folder"])
def write_source(request, tmp_path):
    """Writes files into a zip or a folder called "source"."""
    name = "source.zip" if request.param is write_zip else "source"
    return lambda files: request.param(tmp_path / name, files)


# A subfolder is a task ------------------------------------------------------------


def test_a_subfolder_is_a_task_and_tasks_are_sorted_by_name(write_source):
    red, blue = picture("red"), picture("blue")
    source = write_source({"dogs/1.png": red, "cats/2.png": blue, "cats/a/3.png": blue})
    dataset = read_pictures(source)
    assert dataset.name == "source"
    assert dataset.tasks == ("cats", "dogs")
    assert dataset.task_ids.tolist() == [0, 0, 1]
    assert dataset.images[:, :, 0, 0].tolist() == [[0, 0, 255], [0, 0, 255], [255, 0, 0]]


def test_a_flat_folder_is_one_task_named_after_the_source(write_source):
    source = write_source({"1.png": picture(), "2.png": picture()})
    assert read_pictures(source).tasks == ("source",)
    assert read_pictures(source, name="mine").tasks == ("mine",)


def test_an_outermost_folder_that_holds_only_folders_is_skipped(write_source):
    files = {f"wrap/{task}/{i}.png": picture() for task in "ab" for i in range(2)}
    assert read_pictures(write_source(files)).tasks == ("a", "b")


def test_a_single_folder_of_pictures_is_the_task_itself(write_source):
    files = {"faces/1.png": picture(), "faces/2.png": picture()}
    assert read_pictures(write_source(files)).tasks == ("faces",)


def test_junk_and_hidden_files_are_ignored(write_source):
    files = {
        "a/1.png": picture(),
        "a/2.PNG": picture(),
        "__MACOSX/a/._1.png": b"junk",
        "a/.DS_Store": b"junk",
        ".hidden/3.png": picture(),
        "a/readme.txt": b"hello",
    }
    dataset = read_pictures(write_source(files))
    assert dataset.tasks == ("a",) and len(dataset) == 2


def test_only_the_chosen_tasks_are_read_in_the_order_given(write_source):
    source = write_source({"a/1.png": picture(), "b/1.png": b"broken", "c/1.png": picture()})
    dataset = read_pictures(source, tasks=["c", "a"])
    assert dataset.tasks == ("c", "a") and len(dataset) == 2
    with pytest.raises(ValueError, match=r"no task 'd'.*a, b, c"):
        read_pictures(source, tasks=["d"])


def test_odd_paths_in_a_zip_reach_neither_the_disk_nor_the_data_set(tmp_path):
    files = {"a/1.png": picture(), "a\\2.png": picture(), "/b/3.png": picture()}
    source = write_zip(tmp_path / "x.zip", files)
    with zipfile.ZipFile(source, "a") as bundle:
        for name in ("../../evil.png", "./.", "folder/"):
            bundle.writestr(name, picture())
    dataset = read_pictures(source)
    assert dataset.tasks == ("a", "b") and len(dataset) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]
    assert not (tmp_path.parent / "evil.png").exists()


# Pictures ---------------------------------------------------------------------------


def read_one(tmp_path: Path, content: bytes, **options) -> torch.Tensor:
    """The picture (C, H, W), read from a zip beside a second one."""
    source = write_zip(tmp_path / "one.zip", {"1.x.png": content, "2.png": picture("green")})
    return read_pictures(source, **options).images[0]


def test_pictures_are_cropped_to_the_middle_and_shrunk(tmp_path):
    wide = Image.new("RGB", (300, 100), "red")
    wide.paste("blue", (100, 0, 200, 100))
    packed = io.BytesIO()
    wide.save(packed, "PNG")
    image = read_one(tmp_path, packed.getvalue(), size=32)
    assert image.shape == (3, 32, 32)
    assert (image == torch.tensor([0, 0, 255])[:, None, None]).all()


def test_shrinking_is_antialiased(tmp_path):
    stripes = np.zeros((128, 128), np.uint8)
    stripes[:, ::2] = 255
    packed = io.BytesIO()
    Image.fromarray(stripes).save(packed, "PNG")
    image = read_one(tmp_path, packed.getvalue(), size=32, channels=1).float()
    assert (image[:, 2:-2, 2:-2] - 127.5).abs().max() < 5


def test_pictures_are_turned_as_the_camera_says(tmp_path):
    image = Image.new("RGB", (64, 64), "white")
    image.paste("black", (0, 0, 64, 32))  # dark above
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    packed = io.BytesIO()
    image.save(packed, "JPEG", exif=exif, quality=95)
    turned = read_one(tmp_path, packed.getvalue())
    assert turned[:, :16].float().mean() > 250 and turned[:, -16:].float().mean() < 5


@pytest.mark.parametrize(
    "content",
    [
        picture((255, 0, 0, 0), mode="RGBA"),
        picture((0, 0), mode="LA"),
        picture(0, mode="P", transparency=0),
        picture((255, 0, 0, 0), mode="RGBA", form="WEBP", lossless=True),
    ],
    ids=["RGBA", "LA", "P", "WebP"],
)
def test_what_is_transparent_becomes_white(tmp_path, content):
    assert (read_one(tmp_path, content) == 255).all()


def test_sixteen_bit_greys_are_scaled_not_cut_off(tmp_path):
    packed = io.BytesIO()
    Image.fromarray(np.full((64, 64), 32768, np.uint16)).save(packed, "PNG")
    image = read_one(tmp_path, packed.getvalue(), channels=1)
    assert (image.float() - 127.5).abs().max() <= 1


def test_grey_28_pixel_pictures_get_a_black_border_instead_of_being_resized(tmp_path):
    image = read_one(tmp_path, picture(200, (28, 28), "L"), size=32, channels=1)
    assert (image[:, 2:-2, 2:-2] == 200).all()
    assert int((image == 0).sum()) == 32 * 32 - 28 * 28


def test_the_size_follows_the_first_picture(tmp_path):
    assert read_one(tmp_path, picture(size=(32, 200))).shape[-1] == 32
    assert read_one(tmp_path, picture(size=(33, 200))).shape[-1] == 64


def test_grey_pictures_have_one_channel_even_when_stored_in_colour(tmp_path):
    files = {f"{i}.png": picture((i, i, i)) for i in range(5)}
    source = write_zip(tmp_path / "grey.zip", files)
    assert read_pictures(source).channels == 1
    assert read_pictures(source, channels=3).channels == 3
    files["9.png"] = picture("red")
    assert read_pictures(write_zip(tmp_path / "colour.zip", files)).channels == 3


def test_broken_pictures_are_skipped_with_a_warning_that_names_them(tmp_path, caplog):
    files = {f"{i}.png": picture(size=(64, 64)) for i in range(3)}
    files |= {"bad.png": b"not a picture", "cut.png": picture(form="BMP")[:200]}
    dataset = read_pictures(write_zip(tmp_path / "x.zip", files))
    assert len(dataset) == 3 and dataset.task_ids.tolist() == [0, 0, 0]
    assert "Skipped 2 of 5" in caplog.text
    assert "bad.png" in caplog.text and "cut.png" in caplog.text


@pytest.mark.parametrize(
    "files, complaint",
    [
        ({}, "No pictures"),
        ({"notes.txt": b"hi"}, "No pictures"),
        ({"1.png": picture()}, "one picture.*at least 2"),
        ({"1.png": picture(), "2.png": b"broken"}, "Only 1 of the 2.*2.png"),
        ({"a/1.png": picture(), "a/2.png": picture(), "b/3.png": b""}, "task 'b'.*b/3.png"),
    ],
)
def test_a_source_without_enough_pictures_is_refused_in_plain_words(tmp_path, files, complaint):
    with pytest.raises(ValueError, match=complaint):
        read_pictures(write_zip(tmp_path / "x.zip", files))


def test_a_picture_with_too_many_pixels_is_named_and_not_decoded(tmp_path):
    vast = picture(0, (20_000, 20_000), "1")  # 50 kB
    files = {"vast.png": vast, "large.png": picture(0, (8000, 8000), "1"), "ok.png": picture()}
    with pytest.raises(ValueError, match=r"Only 1 of the 3.*large.png.*vast.png.*pixels"):
        read_pictures(write_zip(tmp_path / "x.zip", files))


def test_a_zip_entry_that_unpacks_to_far_too_much_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MAX_FILE_BYTES", 1_000_000)
    files = {"bomb.png": bytes(2_000_000), "1.png": picture()}
    with pytest.raises(ValueError, match=r"bomb.png: unpacks to more than 1 MB"):
        read_pictures(write_zip(tmp_path / "x.zip", files))


def test_a_file_that_is_no_zip_and_a_path_that_is_not_there_are_refused(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"hello")
    with pytest.raises(ValueError, match=r"x\.zip is neither"):
        read_pictures(tmp_path / "x.zip")
    with pytest.raises(ValueError, match="no folder or zip"):
        read_pictures(tmp_path / "missing")


@pytest.mark.parametrize("options", [{"size": 48}, {"channels": 2}])
def test_sizes_and_channels_that_no_model_has_are_refused(tmp_path, options):
    source = write_zip(tmp_path / "x.zip", {"1.png": picture(), "2.png": picture()})
    with pytest.raises(ValueError, match="choose"):
        read_pictures(source, **options)


def test_reading_tells_how_far_it_is(tmp_path):
    files = {f"{i:03d}.png": picture(size=(8, 8)) for i in range(200)}
    fractions = []
    read_pictures(write_zip(tmp_path / "x.zip", files), on_progress=fractions.append)
    assert fractions == sorted(fractions) and fractions[-1] == 1.0 and len(fractions) >= 3


def test_reading_twice_gives_the_same_data_set(tmp_path):
    files = {f"{t}/{i}.png": picture((i, 9, 7)) for t in "ab" for i in range(100)}
    source = write_zip(tmp_path / "x.zip", files)
    assert read_pictures(source).manifest() == read_pictures(source).manifest()
