"""What is told of an upload: its summary, and a tile for each file."""

import re
from html import escape
from typing import Any

import numpy as np

from ganlab.data.report import KEPT, LEFT_OUT, MENDED, Entry, Report
from ganlab.ui.upload import take_files
from ganlab.ui.upload_figures import summary, tiles
from ganlab.ui.uploaded import folder_of, tick
from upload.taken import HOSTILE, names_of, photo, pixels, save, shown


def entry(number: int, status: str = KEPT, **more: Any) -> Entry:
    values = {"name": f"{number}.png", "task": "pictures", "usable": True, **more}
    return Entry(number, status=status, **values)


# The summary ------------------------------------------------------------------------------------


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
