"""Step 1 of a transfer: what is taken in, what is told of it, and whatever a page may send."""

import base64
import io
import math
import os
import re
import shutil
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch
from PIL import Image

from ganlab.data import catalog, intake
from ganlab.data.report import KEPT, LEFT_OUT, MENDED, Entry, Report, load_report
from ganlab.ui import upload as step
from ganlab.ui.sent import _Files, sweep_uploads
from ganlab.ui.upload import (
    BACKGROUNDS,
    EXAMPLE,
    EXAMPLES,
    FITS,
    Upload,
    build_upload,
    can_train,
    choose,
    folder_of,
    forget_old_uploads,
    named_pictures,
    preview,
    show_upload,
    staged_pictures,
    summary,
    take_files,
    tick,
    ticked,
    tiles,
)

HOSTILE = "<img src=x onerror=alert(1)>.png"
RUBBISH = [
    None, "", "x", "../x", "../../etc/passwd", "/etc", "/", ".", "..", "~", "\0", "\ud800",
    "a" * 100_000, "a" * 16, "." * 16, "../../../../../.", "example:nonsense", "example:",
    "example:avatars", "example:../robots", "example:example:robots", "robots", [], ["robots"],
    [None], {}, {"value": 1}, True, False, -1, 0, 1, 0.5, 10**400, math.nan, math.inf, (1, 2),
    b"bytes", ...,
]  # fmt: skip


def names_of(upload_id: object) -> list[str] | None:
    return named_pictures(upload_id, 64)[1]


@pytest.fixture(scope="module")
def upload() -> Upload:
    with gr.Blocks():
        return build_upload()


def photo(seed: int, size: tuple[int, int] = (80, 60)) -> Image.Image:
    """Soft shapes of any colour, different for every seed."""
    cells = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    return Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC)


def half_clear(seed: int) -> Image.Image:
    """The same, with nothing in its left half."""
    picture = photo(seed, (64, 64)).convert("RGBA")
    picture.paste((0, 0, 0, 0), (0, 0, 32, 64))
    return picture


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder for what is about to be uploaded."""
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


def save(folder: Path, *pictures: Image.Image) -> list[str]:
    """Writes pictures named by their number; gives their paths."""
    paths = [str(folder / f"{number}.png") for number in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        picture.save(path)
    return paths


@pytest.fixture
def five(tmp_path: Path) -> str:
    """The id of three wide pictures, a copy of the first and a text called a picture."""
    folder = tmp_path / "five"
    folder.mkdir()
    paths = save(folder, photo(0), photo(1), photo(2), photo(0))
    (folder / "4.png").write_text("not a picture")
    return take_files([*paths, str(folder / "4.png")])[0]


def uploads(home: Path) -> list[str]:
    folder = home / "uploads"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def shown(upload: Upload, upload_id: Any) -> dict[str, Any]:
    """The updates of step 1 by the names of their components."""
    updates = show_upload(upload, upload_id)
    assert all(any(key is component for component in upload.shown) for key in updates)
    names = {component: name for name, component in vars(upload).items() if name != "examples"}
    return {names[component]: update for component, update in updates.items()}


def pixels(html: str) -> np.ndarray:
    """Of the first picture in some HTML."""
    packed = re.search(r"data:image/\w+;base64,([\w+/=]+)", html)[1]
    with Image.open(io.BytesIO(base64.b64decode(packed))) as picture:
        return np.asarray(picture.convert("RGB"), float)


# Taking files in --------------------------------------------------------------------------------


def test_files_that_are_taken_in_get_an_id_a_report_and_a_thumbnail_each(upload, files, home):
    upload_id, emptied = take_files(save(files, photo(0), photo(1), photo(2)))
    assert re.fullmatch(r"\w{16}", upload_id)
    assert emptied is None  # the list of files
    assert uploads(home) == [upload_id]
    assert folder_of(upload_id) == home / "uploads" / upload_id
    assert names_of(upload_id) == ["0.png", "1.png", "2.png"]
    assert [entry.status for entry in load_report(folder_of(upload_id)).entries] == [KEPT] * 3
    page = shown(upload, upload_id)
    assert page["current"] == upload_id
    assert page["result"].visible and page["choices"].visible
    assert page["tiles"].count("data:image/webp;base64,") == 3
    assert "<b>3 pictures</b> to learn from" in page["summary"]


def test_what_was_uploaded_is_not_needed_any_more(upload, files):
    upload_id, _ = take_files(save(files, photo(0), photo(1)))
    shutil.rmtree(files)
    dataset = staged_pictures(upload_id, 32)
    assert dataset.images.shape == (2, 3, 32, 32)
    assert "data:image/webp;base64," in shown(upload, upload_id)["tiles"]


def test_the_staged_pictures_are_those_that_were_uploaded(files):
    pictures = [photo(i, (64, 64)) for i in range(2)]
    dataset = staged_pictures(take_files(save(files, *pictures))[0], 64)
    for staged, picture in zip(dataset.images, pictures, strict=True):
        assert torch.equal(staged, torch.from_numpy(np.array(picture)).permute(2, 0, 1))


def test_subfolders_of_a_zip_become_tasks_which_are_named(upload, files):
    with zipfile.ZipFile(files / "pets.zip", "w") as bundle:
        for i in range(4):
            packed = io.BytesIO()
            photo(i).save(packed, "PNG")
            bundle.writestr(f"{('cats', 'dogs')[i % 2]}/{i}.png", packed.getvalue())
    upload_id, _ = take_files([str(files / "pets.zip")])
    assert staged_pictures(upload_id, 32).tasks == ("cats", "dogs")
    assert "2 tasks, from the subfolders: cats, dogs" in shown(upload, upload_id)["summary"]


def test_no_two_uploads_share_an_id(files, home):
    paths = save(files, photo(0), photo(1))
    first, second = take_files(paths)[0], take_files(paths)[0]
    assert uploads(home) == sorted({first, second})
    assert len(uploads(home)) == 2


def test_what_holds_no_picture_is_refused_in_escaped_words_and_leaves_nothing(files, home):
    (files / HOSTILE).write_text("not a picture")
    with pytest.raises(gr.Error) as refused:
        take_files([str(files / HOSTILE)])
    said = refused.value.message
    assert said.startswith("No picture can be used, and training needs at least 2.")
    assert escape(HOSTILE) in said and "is a text file" in said
    assert "<" not in said
    assert refused.value.title == "No pictures that can be used"
    assert uploads(home) == []


def test_a_single_picture_is_refused_and_leaves_nothing(files, home):
    with pytest.raises(gr.Error, match="Only one picture can be used"):
        take_files(save(files, photo(0)))
    assert uploads(home) == []


@pytest.mark.parametrize("nothing", [[], None, "", "x", 7, {}, {"path": "/etc"}, True])
def test_no_files_at_all_are_refused_before_anything_is_made(home, nothing):
    with pytest.raises(gr.Error, match="Nothing was uploaded"):
        take_files(nothing)
    assert not home.exists()


@pytest.mark.parametrize("gone", ["/nowhere.png", "", None, {}, 7, "\0", "\ud800", "a" * 10_000])
def test_files_that_are_not_there_are_refused(home, gone):
    with pytest.raises(gr.Error, match="Nothing was uploaded"):
        take_files([gone])
    assert not home.exists()


def test_a_folder_of_the_server_is_not_taken_in(files, home):
    """Gradio lets the folder pass in which everybody's uploads lie."""
    save(files, photo(0), photo(1), photo(2))
    with pytest.raises(gr.Error, match="Nothing was uploaded"):
        take_files([str(files)])
    upload_id, _ = take_files([str(files), str(files / "0.png"), str(files / "1.png")])
    assert names_of(upload_id) == ["0.png", "1.png"]


# What a hostile page may send -------------------------------------------------------------------


@pytest.mark.parametrize("rubbish", RUBBISH, ids=lambda value: repr(value)[:24])
def test_an_id_of_nothing_empties_the_step_and_changes_nothing(upload, five, home, rubbish):
    before = sorted((path, path.stat().st_mtime_ns) for path in home.rglob("*"))
    assert folder_of(rubbish) is None
    assert staged_pictures(rubbish, 64) is None
    assert names_of(rubbish) is None
    choose(rubbish, fit="pad")
    tick(rubbish, {0: False})
    page = shown(upload, rubbish)
    assert page.keys() == {"current", "result"}
    assert page["current"] == ""
    assert not page["result"].visible
    assert sorted((path, path.stat().st_mtime_ns) for path in home.rglob("*")) == before


def test_an_id_is_no_path_even_where_it_would_lead_to_an_upload(five, home):
    assert folder_of(five)
    for path in (f"./{five}", f"../uploads/{five}", f"{five}/", f"{five}\n", f" {five}"):
        assert folder_of(path) is None
    assert folder_of(str(home / "uploads" / five)) is None


def test_a_folder_without_a_report_is_no_upload(home):
    (home / "uploads" / ("b" * 16) / "pictures").mkdir(parents=True)
    assert folder_of("b" * 16) is None


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


# The summary ------------------------------------------------------------------------------------


def entry(number: int, status: str = KEPT, **more: Any) -> Entry:
    values = {"name": f"{number}.png", "task": "pictures", "usable": True, **more}
    return Entry(number, status=status, **values)


def counts(html: str) -> str:
    """The first line of a summary, as text."""
    return re.sub("<.*?>", "", re.search(r"<p>(.*?)</p>", html)[1])


def report_of(*statuses: str) -> Report:
    return Report(tuple(entry(i, status) for i, status in enumerate(statuses)))


def test_the_summary_counts_what_is_used_mended_and_left_out():
    report = report_of(*[KEPT] * 9, MENDED, MENDED, LEFT_OUT)
    assert counts(summary(report, None)) == "11 pictures to learn from · 2 mended · 1 left out"
    plain = summary(report_of(*[KEPT] * 12), None)
    assert counts(plain) == "12 pictures to learn from"
    assert "gl-note" not in plain  # nothing more to say


def test_the_summary_counts_as_the_ticks_have_it():
    report = report_of(*[KEPT] * 9, MENDED, MENDED, LEFT_OUT)
    everything = list(range(12))
    assert counts(summary(report, everything)) == "12 pictures to learn from · 2 mended"
    some = [0, 1, 9]
    assert counts(summary(report, some)) == "3 pictures to learn from · 1 mended · 9 left out"
    assert counts(summary(report, [4])) == "1 picture to learn from · 11 left out"
    assert counts(summary(report, [])) == "0 pictures to learn from · 12 left out"


def test_the_summary_names_the_odd_one_until_it_is_left_out():
    entries = [entry(i) for i in range(12)]
    report = Report((*entries, entry(12, name="dog.png", odd=True)))
    advice = "Unlike all others: dog.png. Leave it out below if it strayed in."
    assert advice in summary(report, None)
    assert advice in summary(report, list(range(13)))
    assert "Unlike" not in summary(report, list(range(12)))
    assert "Unlike" not in summary(Report(tuple(entries)), None)


def test_the_summary_tells_few_pictures_what_to_expect():
    few, enough = (summary(report_of(*[KEPT] * n), None) for n in (9, 10))
    assert "Only 9 pictures are used. The model will mostly repeat them" in few
    assert "repeat" not in enough


def test_the_summary_repeats_what_the_report_remarks():
    report = Report(tuple(map(entry, range(12))), ("500 pictures are the limit.",))
    assert '<p class="gl-note">500 pictures are the limit.</p>' in summary(report, None)


def test_names_stay_text_in_the_summary():
    odd = entry(0, name=HOSTILE, task=HOSTILE, odd=True)
    rest = [entry(i) for i in range(1, 13)]
    html = summary(Report((odd, *rest), (f"{HOSTILE} is a link.",)), None)
    assert html.count(escape(HOSTILE)) == 3  # odd, a task, in a remark
    assert "<img" not in html


# The tiles --------------------------------------------------------------------------------------


def listed(html: str) -> list[tuple[str, str, bool | None]]:
    """Name, status and tick of each tile; None = there is no box to tick."""
    rows = re.findall(r"<li.*?</li>", html)
    assert len(rows) == html.count("<li")
    boxes = [re.search(r'<input type="checkbox"[^>]*>', row) for row in rows]
    return [
        (
            re.search(r"<b[^>]*>(.*?)</b>", row)[1],
            re.search(r"<em>(.*?)</em>", row)[1],
            " checked " in box[0] if box else None,
        )
        for row, box in zip(rows, boxes, strict=True)
    ]


def test_the_tiles_show_every_file_with_the_left_out_ones_first(upload, five):
    html = shown(upload, five)["tiles"]
    assert listed(html) == [
        ("3.png", "left out", False),
        ("4.png", "left out", None),
        ("0.png", "kept", True),
        ("1.png", "kept", True),
        ("2.png", "kept", True),
    ]
    assert "nearly the same as 0.png" in html
    assert "is a text file named .png" in html
    assert html.count("data:image/webp;base64,") == 4
    assert html.count('class="gl-nothing"') == 1  # the text has no picture
    assert abs(pixels(html) - np.asarray(photo(0, (64, 48)), float)).mean() < 8


def test_ticks_of_the_tiles_are_those_of_the_choice(upload, five):
    tick(five, {3: True})
    tick(five, {1: False})
    ticks = {name: box for name, _, box in listed(shown(upload, five)["tiles"])}
    assert ticks == {"0.png": True, "1.png": False, "2.png": True, "3.png": True, "4.png": None}


def test_every_box_tells_the_number_of_its_picture(upload, five):
    html = shown(upload, five)["tiles"]
    numbers = re.findall(r'data-number="(\d+)"[^>]*aria-label="Include (\d+)\.png"', html)
    assert numbers == [(n, n) for n in "3012"]


def test_the_odd_one_comes_before_the_kept_and_says_so(five):
    folder = folder_of(five)
    entries = [entry(0), entry(1, MENDED, notes=("turned upright", "a < b")), entry(2, odd=True)]
    html = tiles(folder, Report(tuple(entries)), None)
    assert [(name, status) for name, status, _ in listed(html)] == [
        ("2.png", "odd one"), ("0.png", "kept"), ("1.png", "mended"),
    ]  # fmt: skip
    assert "turned upright; a &lt; b" in html
    copy = entry(3, LEFT_OUT, odd=True)  # left out is what counts
    assert listed(tiles(folder, Report((copy,)), None)) == [("3.png", "left out", False)]


def test_names_stay_text_beside_their_pictures(upload, files):
    save(files, photo(0), photo(1))
    photo(2).save(files / HOSTILE)
    (files / ('"' + HOSTILE)).write_text("not a picture")
    upload_id, _ = take_files([str(path) for path in files.iterdir()])
    assert HOSTILE in names_of(upload_id)
    html = shown(upload, upload_id)["tiles"]
    assert {name for name, *_ in listed(html)} == {
        "0.png", "1.png", escape(HOSTILE), escape('"' + HOSTILE),
    }  # fmt: skip
    assert "<img src=x" not in html and 'title=""' not in html
    assert html.count("<img ") == 3


# Uploads end ------------------------------------------------------------------------------------


def test_old_uploads_are_forgotten_and_young_ones_kept(upload, files, home):
    paths = save(files, photo(0), photo(1))
    old, young = take_files(paths)[0], take_files(paths)[0]
    for upload_id, age in {old: step.KEPT_SECONDS + 60, young: step.KEPT_SECONDS - 60}.items():
        then = time.time() - age
        os.utime(home / "uploads" / upload_id, (then, then))
    newest, _ = take_files(paths)  # makes room first
    assert uploads(home) == sorted([young, newest])
    assert shown(upload, old)["current"] == ""
    assert shown(upload, young)["current"] == young


def test_an_upload_that_somebody_still_chooses_from_is_young(files, home):
    upload_id, _ = take_files(save(files, photo(0), photo(1)))
    os.utime(home / "uploads" / upload_id, (0, 0))
    choose(upload_id, fit="pad")
    forget_old_uploads()
    assert uploads(home) == [upload_id]


def test_there_may_be_nothing_to_forget(home):
    forget_old_uploads()
    assert not home.exists()


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


def test_ticks_that_come_at_once_are_all_kept(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    many = take_files(save(folder, *(photo(seed) for seed in range(12))))[0]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda number: tick(many, {number: False}), range(8)))
    assert names_of(many) == ["6.png", "7.png", "8.png", "9.png"]  # 10 and 11 come after 1


def test_an_upload_that_breaks_off_leaves_nothing_and_one_without_room_is_refused(
    tmp_path, home, monkeypatch
):
    paths = save(tmp_path, photo(0), photo(1))

    def full(*args, **named):
        (args[1] / "half").mkdir(parents=True)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(intake, "take_in", full)
    with pytest.raises(gr.Error, match="disk is full"):
        take_files(paths)
    assert uploads(home) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1))
    with pytest.raises(gr.Error, match="disk is full"):
        take_files(paths)


def test_uploads_that_vanish_while_old_ones_are_sought_are_no_trouble(home, monkeypatch):
    gone = home / "uploads" / ("x" * 16)
    gone.mkdir(parents=True)
    monkeypatch.setattr(Path, "iterdir", lambda self: iter([gone, gone.with_name("y" * 16)]))
    forget_old_uploads()
    assert gone.exists()


def test_pictures_can_train_if_two_are_chosen(five):
    assert can_train(five) and can_train(EXAMPLE + "emoji")
    assert not can_train("") and not can_train("x" * 16) and not can_train(None)
    tick(five, {0: False})
    tick(five, {1: False})
    with pytest.raises(ValueError, match="1 picture chosen"):
        can_train(five)


def test_what_was_sent_goes_some_time_after_it_was_taken_in(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    monkeypatch.setattr("ganlab.ui.sent._files", _Files())
    sent, ours = tmp_path / "gradio" / ("a" * 64), tmp_path / "ours"
    for folder in (sent, ours):
        folder.mkdir(parents=True)
    again = Path(save(sent, photo(0), photo(1))[0])
    files = [*map(str, sorted(sent.iterdir())), *save(ours, photo(2), photo(3))]
    take_files(files)
    sweep_uploads()
    assert len(list(sent.iterdir())) == 2  # somebody else may just be sending the same

    monkeypatch.setattr("ganlab.ui.sent.DONE_SECONDS", -1.0)
    again.with_suffix(".new").write_bytes(again.read_bytes())
    again.with_suffix(".new").replace(again)  # as gradio puts a file that is sent again
    sweep_uploads()
    assert list(sent.iterdir()) == [again] and len(list(ours.iterdir())) == 2
    with pytest.raises(gr.Error):
        take_files([str(again)])
    sweep_uploads()
    assert not sent.exists()
