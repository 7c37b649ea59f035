"""Find my picture: what it takes, what it says, and what it refuses."""

import base64
import io
import re
import time
from functools import partial
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
import torch
from PIL import Image
from sources import own_run

from ganlab import projection
from ganlab.caps import HOME
from ganlab.data import catalog
from ganlab.data.single import as_pixels, read_file
from ganlab.projection import Found
from ganlab.projections import Projections, ProjectionView
from ganlab.turns import NOBODY, Visitor
from ganlab.ui import browse_find
from ganlab.ui.browse_find import Target, own_sample, unseen_picture, uploaded
from ganlab.ui.find_figures import chosen_figure, search_figure, verdict
from ganlab.ui.footer import build_line
from ganlab.ui.lab import build_lab
from ganlab.ui.subject import from_text

PICTURE = np.arange(32 * 32 * 3, dtype=np.uint32).reshape(32, 32, 3).astype(np.uint8)
FOUND = Found(torch.zeros(1, 8), "<b>", PICTURE, 0.31, 0.2)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "SAMPLES", 16)
    monkeypatch.setattr(projection, "LEAST_SAMPLES", 8)
    monkeypatch.setattr(projection, "STARTS", 1)
    monkeypatch.setattr(browse_find, "Projections", partial(Projections, steps=4))


@pytest.fixture
def events(jobs):
    """The page's handlers, by the id of the component that triggers them."""
    with gr.Blocks() as page:
        build_lab(jobs, build_line())
    found = {}
    for event in page.fns.values():
        for target, _ in event.targets:
            block = page.blocks.get(target)
            found.setdefault(getattr(block, "elem_id", None) or type(block).__name__, event.fn)
            if isinstance(block, gr.Timer) and block.value == browse_find.SECONDS_BETWEEN_LOOKS:
                found["look"] = event.fn
        if getattr(event.fn, "__name__", "") == "enlarge":
            found["enlarge"] = event.fn
    return found


def saved(picture: Image.Image, path, **settings):
    picture.save(path, **settings)
    return path


def test_an_upload_becomes_a_square_of_the_generators_size_and_channels(tmp_path):
    wide = Image.new("RGB", (300, 100), "red")
    wide.paste("blue", (100, 0, 200, 100))
    for name in ("wide.png", "wide.webp", "wide.bmp"):
        picture = uploaded(saved(wide, tmp_path / name)).picture
        pixels = as_pixels(picture, 32, 3)
        assert pixels.shape == (32, 32, 3)
        assert np.abs(pixels.astype(int) - (0, 0, 255)).max() < 40
    assert as_pixels(picture, 64, 1).shape == (64, 64, 1)
    clear = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    assert (as_pixels(read_file(saved(clear, tmp_path / "clear.png")), 32, 3) == 255).all()


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (b"", "is empty"),
        (b"just some text, no picture", "text file"),
        (b"PK\x03\x04rest", "is a zip"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "is "),
        (b"\xff\xd8\xff" + bytes(100), "is "),
    ],
)
def test_what_is_no_picture_ends_in_a_sentence_that_names_it(tmp_path, content, wrong):
    path = tmp_path / "evil.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^evil\.png {wrong}|^evil\.png .*{wrong}"):
        uploaded(path)
    with pytest.raises(ValueError, match="cannot be opened"):
        uploaded(tmp_path / "gone.png")


def test_too_many_pixels_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("GANLAB_MAX_PIXELS", "5000")
    large = saved(Image.new("RGB", (100, 100)), tmp_path / "large.png")
    with pytest.raises(ValueError, match=r"5,000 pixels \(GANLAB_MAX_PIXELS\)\. .*picture\.$"):
        uploaded(large)
    monkeypatch.setenv("GANLAB_PROFILE", "public")
    with pytest.raises(ValueError, match=HOME):
        uploaded(large)


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setenv("GANLAB_MAX_PICTURE_MB", "1")
    (tmp_path / "large.png").write_bytes(bytes(1_000_001))
    with pytest.raises(ValueError, match=r"^large\.png has more than 1 MB \(GANLAB_MAX_PICTURE_MB"):
        uploaded(tmp_path / "large.png")


def test_a_sample_of_its_own_is_the_one_that_browse_looks_at(jobs):
    target = own_sample(jobs, "small", "b", 3, 1.0, "")
    again = own_sample(jobs, "small", "b", 3, 1.0, "")
    other = own_sample(jobs, "small", "a", 3, 1.0, "")
    assert target.title.endswith("b") and target.picture.size == (32, 32)
    assert target.picture.tobytes() == again.picture.tobytes() != other.picture.tobytes()


def test_held_out_pictures_come_from_the_bundled_data_that_it_learnt_from(jobs):
    run_id, _ = own_run(jobs)
    with pytest.raises(ValueError, match="not among those that come with"):
        unseen_picture(jobs, run_id, "")
    with pytest.raises(ValueError, match="not among those that come with"):
        unseen_picture(jobs, "small", "")
    run_id, _ = own_run(jobs)  # another: the first is open already
    run = jobs.run(run_id)
    run.describe(data={"name": "robots"}, model={**run.about["model"], "tasks": ["robots", "b"]})
    target = unseen_picture(jobs, run_id, "b")
    held_out = catalog.load("robots", size=32).split()[1]
    pixels = torch.from_numpy(np.array(target.picture)).permute(2, 0, 1)
    assert any(torch.equal(pixels, image) for image in held_out.images)


def test_a_search_says_where_it_is_and_how_near_it_came():
    def words(**changes) -> str:
        return re.sub(
            r"data:[^\"]*", "", search_figure(ProjectionView("m", PICTURE, **changes), "m")
        )

    assert "one search is before it" in words(place=1)
    assert "Draws samples" in words(state="running", done=0.1)
    running = words(state="running", done=0.5, best=FOUND, curve=(0.9, 0.31))
    assert 'aria-valuenow="50"' in running and "31&nbsp;%" in running and "90&nbsp;%" in running
    assert "training" not in running
    assert "goes first" in words(state="running", done=0.5, best=FOUND, curve=(1,), steps_back=True)
    ended = words(state="finished", done=1.0, best=FOUND, curve=(0.9, 0.31))
    assert "Close" in ended and "download=" in ended and "<polyline" in ended
    assert "<b>," not in ended and "&lt;b&gt;" in ended
    assert "as far as it came" in words(state="cancelled", best=FOUND, curve=(0.9,))
    assert "before anything" in words(state="cancelled")
    assert "Something went wrong" in words(state="failed")
    assert len({verdict(distance) for distance in (0, 0.3, 0.6, 1.2)}) == 4
    assert "&lt;i&gt;" in chosen_figure(PICTURE, "<i>")


def test_the_pair_is_downloaded_side_by_side():
    view = ProjectionView("m", PICTURE, state="finished", best=FOUND, curve=(0.9, 0.31))
    uri = re.search(r'href="data:image/png;base64,([^"]+)"', search_figure(view, "m"))[1]
    with Image.open(io.BytesIO(base64.b64decode(uri))) as pair:
        assert np.array_equal(np.asarray(pair), np.concatenate([PICTURE, PICTURE], 1))


def test_a_picture_is_found_and_used(events):
    note, target, current, stage, *_ = events["find-own"]("", "small", "b", 3, 1.0, "")
    assert note == "" and current == "" and "As this generator sees it" in stage
    search, *updates = events["find-it"](target, "small", "", {}, None)
    assert updates[4].active  # the timer
    view = wait_for(events, search)
    assert "Download both" in view[0] and not view[4].active and view[3].visible
    assert len(events["look"](search, view[5])) == 6  # nothing new: all skipped
    model, tabs = events["find-use"](search)
    assert model == "small" and tabs.selected == "samples"
    head, z = from_text(events["enlarge"](search), 8)
    assert head in ("a", "b") and z.shape == (1, 8)


def wait_for(events, search):
    view = events["look"](search, "")
    while view[4].active:
        time.sleep(0.02)
        view = events["look"](search, "")
    return view


def test_a_cancelled_search_ends_at_once(events):
    target = Target(Image.new("RGB", (64, 64), "red"), "Your picture")
    search, *_ = events["find-it"](target, "small", "a", {}, None)
    ended = events["find-cancel"](search, "")
    assert not ended[4].active and "Cancelled" in ended[0]


@pytest.mark.parametrize("anything", [None, 7, "x", ["a"], {"picture": 1}])
def test_whatever_a_page_sends_is_answered_with_a_sentence(events, anything):
    for act in (
        lambda: events["find-it"](anything, "small", "a", {}, None),
        lambda: events["find-cancel"](anything, ""),
        lambda: events["find-use"](anything),
        lambda: events["enlarge"](anything),
    ):
        with pytest.raises(gr.Error):
            act()
    assert "forgotten" in events["look"](anything, "")[0]
    assert "gl-mistake" in events["find-unseen"]("", anything, "a")[0]
    assert "gl-mistake" in events["find-own"]("", anything, "", 1, 1.0, "")[0]
    target = Target(Image.new("L", (5, 90)), "Your picture")
    with pytest.raises(gr.Error, match="Choose a generator"):
        events["find-it"](target, anything, "a", {}, None)
    # An unknown head is none, and so is a store that no page keeps.
    search, *_ = events["find-it"](target, "grey", anything, anything, None)
    wait_for(events, search)


def test_a_search_is_its_visitors(events, monkeypatch):
    asked, submit = [], Projections.submit

    def noted(*args):
        asked.append(args[-1])
        return submit(*args)

    monkeypatch.setattr(Projections, "submit", noted)
    target = Target(Image.new("RGB", (64, 64), "red"), "Your picture")
    came_from = SimpleNamespace(client=SimpleNamespace(host="1.2.3.4"))
    for store, request in (({"visitor": "a" * 32}, came_from), ({"visitor": "<b>"}, None)):
        search, *_ = events["find-it"](target, "small", "a", store, request)
        wait_for(events, search)
    assert asked == [Visitor("a" * 32, "1.2.3.4"), NOBODY]
