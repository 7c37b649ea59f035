"""What is chosen of an upload: ticks, fit and background; and examples, where nothing is."""

import re
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
import torch

from ganlab.data import catalog
from ganlab.data.dataset import Dataset
from ganlab.ui import upload_figures
from ganlab.ui.upload import BACKGROUNDS, FITS, take_files
from ganlab.ui.upload_figures import preview, ticked
from ganlab.ui.uploaded import (
    EXAMPLE,
    EXAMPLES,
    can_train,
    choose,
    folder_of,
    staged_pictures,
    tick,
)
from upload.taken import RUBBISH, half_clear, names_of, photo, pixels, save, shown, uploads

# Ticks ------------------------------------------------------------------------------------------


def test_a_tick_includes_a_picture_and_its_removal_leaves_it_out(five):
    assert names_of(five) == ["0.png", "1.png", "2.png"]  # the copy is left out
    tick(five, {3: True})
    assert names_of(five) == ["0.png", "1.png", "2.png", "3.png"]
    tick(five, {0: False})
    assert names_of(five) == ["1.png", "2.png", "3.png"]
    assert len(staged_pictures(five, 32)) == 3
    tick(five, {0: False})  # again
    assert names_of(five) == ["1.png", "2.png", "3.png"]


def test_what_cannot_be_used_cannot_be_ticked(five):
    tick(five, {4: True})  # the text
    assert names_of(five) == ["0.png", "1.png", "2.png"]


def test_several_ticks_of_one_moment_are_all_kept(five):
    tick(five, {3: True, 0: False, 4: True, 77: True, -1: True})
    assert names_of(five) == ["1.png", "2.png", "3.png"]


def test_ticks_of_nothing_that_is_there_choose_nothing(five):
    for ticks in ({}, {4: True}, {5: True, 77: False}):
        tick(five, ticks)
    assert not (folder_of(five) / "choices.json").exists()


def test_what_is_ticked_is_read_out_of_the_event():
    data = {"ticks": [[3, True], [0, False]], "more": 1}
    assert ticked(SimpleNamespace(_data=data)) == {3: True, 0: False}
    assert ticked(gr.EventData(None, {"ticks": [[12, False]]})) == {12: False}


@pytest.mark.parametrize("rubbish", [each for each in RUBBISH if type(each) not in (int, bool)])
def test_rubbish_ticks_nothing(rubbish):
    assert ticked(rubbish) == {}
    several = [[rubbish, True], [1, rubbish], [1, True, rubbish], [True, True], [1, 1]]
    for data in (rubbish, {"ticks": rubbish}, {"ticks": [rubbish]}, {"ticks": several}):
        assert ticked(SimpleNamespace(_data=data)) == {}


def test_with_fewer_than_two_ticked_the_preview_says_what_to_do(upload, five):
    tick(five, {0: False})
    tick(five, {1: False})
    with pytest.raises(ValueError, match="1 picture chosen"):
        staged_pictures(five, 64)
    page = shown(upload, five)
    assert "1 picture chosen; choose at least 2." in page["preview"]
    assert "gl-mistake" in page["preview"]
    assert "<b>1 picture</b> to learn from" in page["summary"]
    tick(five, {2: False})
    assert "No pictures chosen; choose at least 2." in shown(upload, five)["preview"]


def test_ticks_that_come_at_once_are_all_kept(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    many = take_files(save(folder, *(photo(seed) for seed in range(12))))[0]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda number: tick(many, {number: False}), range(8)))
    assert names_of(many) == ["6.png", "7.png", "8.png", "9.png"]  # 10 and 11 come after 1


def test_pictures_can_train_if_two_are_chosen(five):
    assert can_train(five) and can_train(EXAMPLE + "emoji")
    assert not can_train("") and not can_train("x" * 16) and not can_train(None)
    tick(five, {0: False})
    tick(five, {1: False})
    with pytest.raises(ValueError, match="1 picture chosen"):
        can_train(five)


# Fit and background -----------------------------------------------------------------------------


def test_choices_are_kept_until_they_are_changed(upload, five):
    page = shown(upload, five)
    assert (page["fit"].value, page["background"].value) == ("crop", "white")
    choose(five, fit="pad", background="black")
    tick(five, {0: False})
    page = shown(upload, five)
    assert (page["fit"].value, page["background"].value) == ("pad", "black")
    choose(five, fit="squash")
    page = shown(upload, five)
    assert (page["fit"].value, page["background"].value) == ("squash", "black")
    assert names_of(five) == ["1.png", "2.png"]


def test_the_fit_changes_what_the_model_sees(files):
    upload_id, _ = take_files(save(files, photo(0, (128, 64)), photo(1, (128, 64))))
    seen = {}
    for fit in FITS:
        choose(upload_id, fit=fit, background="black")
        seen[fit] = staged_pictures(upload_id, 32).images
    edges = {fit: torch.cat([images[:, :, :8], images[:, :, -8:]]) for fit, images in seen.items()}
    assert (edges["pad"] == 0).all()
    assert not (edges["crop"] == 0).all() and not (edges["squash"] == 0).all()
    assert not torch.equal(seen["crop"], seen["squash"])


def test_the_background_is_put_behind_what_is_padded(files):
    upload_id, _ = take_files(save(files, photo(0, (128, 64)), photo(1, (128, 64))))
    corners = {}
    for background in BACKGROUNDS:
        choose(upload_id, fit="pad", background=background)
        corners[background] = staged_pictures(upload_id, 32).images[:, :, 0, 0]
    assert (corners["white"] == 255).all()
    assert (corners["black"] == 0).all()
    assert not (corners["edge"] == 255).all() and not (corners["edge"] == 0).all()


def test_the_background_is_put_behind_what_is_transparent_on_thumbnails_too(upload, files):
    upload_id, _ = take_files(save(files, half_clear(0), half_clear(1)))
    for background, level in {"white": 255, "black": 0}.items():
        choose(upload_id, background=background)
        images = staged_pictures(upload_id, 64).images
        assert (images[..., :30] == level).all()
        assert not (images[..., 34:] == level).all()
        page = shown(upload, upload_id)
        assert abs(pixels(page["tiles"])[:, :28] - level).max() < 16
        assert abs(pixels(page["preview"])[:, :28] - level).max() < 16


def test_a_background_is_asked_for_only_where_there_is_something_to_fill(upload, five, files):
    assert not shown(upload, five)["background"].visible
    choose(five, fit="squash")
    assert not shown(upload, five)["background"].visible
    choose(five, fit="pad")
    assert shown(upload, five)["background"].visible
    clear, _ = take_files(save(files, photo(0), photo(1), half_clear(2)))
    for fit in FITS:
        choose(clear, fit=fit)
        assert shown(upload, clear)["background"].visible


def test_a_fit_is_asked_for_only_where_a_picture_is_not_square(upload, files, five):
    assert shown(upload, five)["fit"].visible
    square, _ = take_files(save(files, photo(0, (64, 64)), photo(1, (32, 32))))
    assert not shown(upload, square)["fit"].visible


def test_the_preview_is_drawn_of_what_the_model_sees(files):
    upload_id, _ = take_files(save(files, photo(0), photo(1), photo(2)))
    for size in (32, 64):
        html = preview(upload_id, size)
        images = staged_pictures(upload_id, size).images.permute(0, 2, 3, 1).numpy()
        assert f"As the model sees them: {size} × {size} pixels" in html
        drawn = pixels(html)
        assert drawn.shape == (size, 3 * size, 3)
        assert abs(drawn - np.concatenate(images, axis=1)).mean() < 4


def test_the_preview_of_many_shows_sixteen_from_all_of_them():
    drawn = pixels(preview(EXAMPLE + "robots", 32))
    assert drawn.shape == (2 * 32, 8 * 32, 3)
    images = staged_pictures(EXAMPLE + "robots", 32).images.permute(0, 2, 3, 1).numpy()
    last = images[45]  # of sixty, each third
    assert abs(drawn[32:, -32:] - last).mean() < 8


@pytest.mark.parametrize("n", range(2, 17))
def test_the_preview_covers_what_its_last_row_leaves_free(monkeypatch, n):
    every = staged_pictures(EXAMPLE + "robots", 32)
    few = Dataset("Few", every.images[:n], torch.zeros(n, dtype=torch.int64), ("all",))
    monkeypatch.setattr(upload_figures, "staged_pictures", lambda upload_id, size: few)
    html = preview("few", 32)
    rows, columns = (side // 32 for side in pixels(html).shape[:2])
    free = rows * columns - n
    assert columns <= 8 and free in (0, 1)
    covers = re.findall(r'<i style="width: ([\d.]+)%; height: (\d+)%">', html)
    assert covers == [(f"{100 / columns:.2f}", f"{100 / rows:.0f}")] * free


# Examples ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_there_at_once_with_nothing_to_choose(upload, home, name):
    page = shown(upload, EXAMPLE + name)
    assert page["current"] == EXAMPLE + name
    assert page["result"].visible
    assert not page["choices"].visible
    assert f"{catalog.CATALOG[name].title}: 60 pictures, ready." in page["summary"]
    assert "As the model sees them: 64 × 64 pixels" in page["preview"]
    assert uploads(home) == []


def test_an_example_is_the_set_of_the_catalogue_at_any_size():
    for size in (32, 64):
        staged = staged_pictures(EXAMPLE + "emoji", size)
        assert torch.equal(staged.images, catalog.load("emoji", size=size).images)
    assert names_of(EXAMPLE + "emoji") is None


def test_every_example_has_a_button(upload):
    assert list(upload.examples) == EXAMPLES == ["robots", "line-art", "emoji"]


def test_of_an_example_nothing_is_chosen(home):
    choose(EXAMPLE + "robots", fit="pad")
    tick(EXAMPLE + "robots", {0: False})
    assert len(staged_pictures(EXAMPLE + "robots", 32)) == 60
    assert not home.exists()
