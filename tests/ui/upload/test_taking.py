"""Step 1 of a transfer: what is taken in and what goes again, and whatever a page may send."""

import io
import os
import re
import shutil
import time
import zipfile
from html import escape
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
import torch

from ganlab.caps import Caps
from ganlab.data import intake
from ganlab.data.report import KEPT, load_report
from ganlab.jobs import Jobs
from ganlab.room import need_room
from ganlab.ui.layout import build_page
from ganlab.ui.sent import _Files, sweep_uploads
from ganlab.ui.upload import take_files
from ganlab.ui.uploaded import (
    KEPT_SECONDS,
    SURE_SECONDS,
    choose,
    folder_of,
    forget_old_uploads,
    staged_pictures,
    tick,
)
from upload.taken import HOSTILE, RUBBISH, names_of, photo, save, shown, uploads

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


def test_uploads_have_a_part_of_the_disk_and_leave_trainings_the_rest(files, home, monkeypatch):
    monkeypatch.setenv("GANLAB_MAX_DISK_MB", "4")
    paths = save(files, photo(0), photo(1))
    first, second = (take_files(paths)[0] for _ in range(2))
    (home / "uploads" / first / "more").write_bytes(bytes(1_000_000))
    with pytest.raises(gr.Error, match=r"all of the 1 MB.*GANLAB_MAX_DISK_MB"):
        take_files(paths)
    assert uploads(home) == sorted({first, second})
    need_room(home, Caps(disk_mb=4), 2_000_000)
    an_hour_ago = time.time() - SURE_SECONDS - 1
    for upload_id in (first, second):
        os.utime(home / "uploads" / upload_id, (an_hour_ago, an_hour_ago))
    choose(first, fit="pad")  # somebody looks at it
    os.utime(home / "uploads" / second, (an_hour_ago, an_hour_ago))
    with pytest.raises(gr.Error, match="try again later"):
        take_files(paths)
    assert uploads(home) == [first]
    os.utime(home / "uploads" / first, (an_hour_ago, an_hour_ago))
    third, _ = take_files(paths)
    assert uploads(home) == [third]


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


# Uploads end ------------------------------------------------------------------------------------


def test_old_uploads_are_forgotten_and_young_ones_kept(upload, files, home):
    paths = save(files, photo(0), photo(1))
    old, young = take_files(paths)[0], take_files(paths)[0]
    for upload_id, age in {old: KEPT_SECONDS + 60, young: KEPT_SECONDS - 60}.items():
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


def test_uploads_that_vanish_while_old_ones_are_sought_are_no_trouble(home, monkeypatch):
    gone = home / "uploads" / ("x" * 16)
    gone.mkdir(parents=True)
    monkeypatch.setattr(Path, "iterdir", lambda self: iter([gone, gone.with_name("y" * 16)]))
    forget_old_uploads()
    assert gone.exists()


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


def test_uploads_are_taken_in_one_at_a_time_whichever_way_they_come(tmp_path):
    jobs = Jobs(tmp_path / "runs", workers=0)
    page = build_page(jobs)
    jobs.close()
    taking = [
        fn for fn in page.fns.values() if getattr(fn.fn, "__qualname__", "").endswith(".take")
    ]
    assert len(taking) == 2
    assert {(fn.concurrency_id, fn.concurrency_limit) for fn in taking} == {("pictures", 1)}
