"""From staged pictures to a data set, and a data set kept as a folder."""

import io
import json

import numpy as np
import pytest
import torch
from conftest import drawings
from PIL import Image
from uploading import encoded, photo, write_folder

from ganlab.data.dataset import Dataset
from ganlab.data.intake import take_in
from ganlab.data.reading import read_pictures
from ganlab.data.saved import read_saved, save_pictures
from ganlab.data.staged import see, thumbnails, to_dataset


@pytest.fixture
def staged(tmp_path):
    """Two tasks: three wide pictures and one of nearly nothing in cats, two tall ones in dogs."""
    files = {f"cats/{i}.png": encoded(photo(i, size=(128, 64))) for i in range(3)}
    files["cats/9.png"] = encoded(Image.new("RGB", (64, 64), "white"))
    files |= {f"dogs/{i}.png": encoded(photo(i + 10, size=(64, 128))) for i in range(2)}
    take_in([write_folder(tmp_path / "pets", files)], tmp_path / "staged")
    return tmp_path / "staged"


def test_the_suggested_pictures_become_a_data_set(staged):
    dataset = to_dataset(staged, size=32, name="pets", mirrors=False)
    assert dataset.tasks == ("cats", "dogs") and dataset.task_ids.tolist() == [0, 0, 0, 1, 1]
    assert dataset.images.shape == (5, 3, 32, 32)
    assert (dataset.name, dataset.mirrors) == ("pets", False)


def test_a_choice_of_ones_own_may_have_a_blank_picture_in_it_and_lose_a_task(staged):
    dataset = to_dataset(staged, size=32, included={3, 0})
    assert dataset.tasks == ("cats",) and len(dataset) == 2
    assert (dataset.images[1] == 255).all()
    with pytest.raises(ValueError, match="1 picture chosen; choose at least 2"):
        to_dataset(staged, size=32, included=[1])
    with pytest.raises(ValueError, match="Picture 77 cannot be used"):
        to_dataset(staged, size=32, included=[0, 1, 77])


def test_pictures_are_cropped_padded_or_squashed(staged):
    crop, pad, squash = (see(staged, 0, 32, fit) for fit in ("crop", "pad", "squash"))
    assert crop.shape == pad.shape == squash.shape == (32, 32, 3)
    whole = np.asarray(photo(0, size=(128, 64)).resize((32, 32), Image.Resampling.LANCZOS), float)
    assert np.abs(squash - whole).mean() < 3
    assert (pad[:8] == 255).all() and (pad[-8:] == 255).all() and not (pad[8:-8] == 255).all()
    assert (see(staged, 0, 32, "pad", "black")[:8] == 0).all()
    edge = see(staged, 0, 32, "pad", "edge")
    assert (edge[0, 0] == edge[-1, -1]).all() and not (edge[0] == 255).all()
    with pytest.raises(ValueError, match="choose crop, pad, squash"):
        see(staged, 0, 32, "stretch")
    with pytest.raises(ValueError, match="no picture 77"):
        see(staged, 77, 32)


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
def test_what_one_sees_is_what_the_model_gets(staged, fit):
    dataset = to_dataset(staged, size=64, fit=fit)
    assert (dataset.images[4].permute(1, 2, 0).numpy() == see(staged, 5, 64, fit)).all()


def test_grey_pictures_make_a_grey_data_set_even_when_stored_in_colour(tmp_path):
    greys = {f"{i}.png": encoded(photo(i).convert("L").convert("RGB")) for i in range(3)}
    take_in([write_folder(tmp_path / "a", greys)], tmp_path / "s")
    assert to_dataset(tmp_path / "s", size=32).channels == 1
    assert to_dataset(tmp_path / "s", size=32, channels=3).channels == 3
    assert see(tmp_path / "s", 0, 32).shape == (32, 32, 3)


def test_sizes_and_channels_that_no_model_has_are_refused(staged):
    for wrong in ({"size": 48}, {"size": 32, "channels": 2}):
        with pytest.raises(ValueError, match="choose"):
            to_dataset(staged, **wrong)


def test_every_usable_picture_has_a_thumbnail(staged):
    small = thumbnails(staged, 40)
    assert sorted(small) == [0, 1, 2, 3, 4, 5]
    assert Image.open(io.BytesIO(small[0])).size == (40, 20)
    assert sum(map(len, small.values())) < 12_000


# Kept as a folder ---------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_a_saved_data_set_is_read_back_equal_in_every_bit(tmp_path, channels):
    dataset = drawings(("discs", "squares"), 6, channels=channels)
    save_pictures(dataset, tmp_path / "data", names=[f"IMG {i}" for i in range(12)])
    again = read_saved(tmp_path / "data")
    assert again.manifest() == dataset.manifest() and again.mirrors == dataset.mirrors
    assert torch.equal(again.task_ids, dataset.task_ids)
    ordinary = read_pictures(tmp_path / "data", name="drawings")
    assert ordinary.manifest() == dataset.manifest()
    pictures = json.loads((tmp_path / "data" / "manifest.json").read_text())["pictures"]
    assert pictures[7] == {"file": "squares/00007.png", "task": 1, "name": "IMG 7"}


def test_an_upload_can_be_saved_and_read_as_any_folder(staged, tmp_path):
    dataset = to_dataset(staged, size=64)
    save_pictures(dataset, tmp_path / "data")
    assert read_saved(tmp_path / "data").manifest() == dataset.manifest()
    assert read_pictures(tmp_path / "data", name=dataset.name).manifest() == dataset.manifest()


def test_tasks_of_any_name_and_order_are_kept(tmp_path):
    tasks = ("猫", "a/b", "..", "Cats", "cats", "con", "x" * 300, "CON.txt", ".hidden")
    images = torch.arange(18 * 3 * 32 * 32).to(torch.uint8).reshape(18, 3, 32, 32)
    dataset = Dataset("all", images, torch.arange(18) % 9, tasks, mirrors=False)
    save_pictures(dataset, tmp_path / "data")
    again = read_saved(tmp_path / "data")
    assert again.tasks == tasks and torch.equal(again.images, images)
    assert torch.equal(again.task_ids, dataset.task_ids) and not again.mirrors
    folders = sorted(path.name for path in (tmp_path / "data").iterdir() if path.is_dir())
    assert len({name.casefold() for name in folders}) == 9 and "猫" in folders


def test_saved_pictures_that_are_missing_or_changed_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no saved pictures"):
        read_saved(tmp_path)
    save_pictures(drawings(("discs",), 3), tmp_path / "data")
    file = tmp_path / "data" / "discs" / "00001.png"
    Image.new("RGB", (8, 8)).save(file)
    with pytest.raises(ValueError, match="was changed"):
        read_saved(tmp_path / "data")
    file.unlink()
    with pytest.raises(ValueError, match=r"00001\.png.*cannot be read"):
        read_saved(tmp_path / "data")
