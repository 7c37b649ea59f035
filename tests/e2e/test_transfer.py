"""A visitor drops pictures in, looks through them, and takes a generator of their own home."""

import io
import json
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import drawn
from PIL import Image
from playwright.sync_api import Page, expect

from e2e.conftest import PHONE, Server, Visitors
from e2e.visitor import (
    expect_state,
    grid_step,
    open_section,
    turn,
    wait_for_grid,
    wait_for_run,
)
from ganlab.__main__ import main

pytestmark = pytest.mark.browser

CHANGED = """() => {
  const image = document.querySelector('#grid img');
  return image && !/ 0$/.test(image.alt);
}"""


@pytest.fixture
def drawings(tmp_path: Path) -> list[Path]:
    """Sixteen drawings, one of them transparent and one not square, a copy and a broken file."""
    rng = np.random.default_rng(1)
    files = []
    for number in range(16):
        picture = drawn("discs", 96, rng)
        if number == 3:
            picture = picture.crop((0, 0, 96, 60))
        if number == 5:
            picture.putalpha(Image.linear_gradient("L").resize((96, 96)))
        files.append(tmp_path / f"drawing {number:02d}.png")
        picture.save(files[-1])
    copy, broken = tmp_path / "drawing 16 again.jpg", tmp_path / "broken.png"
    with Image.open(files[0]) as first:
        first.save(copy, quality=90)
    broken.write_bytes(files[1].read_bytes()[:200])
    return [*files, copy, broken]


def turn_to_transfer(page: Page) -> None:
    page.get_by_role("tab", name="Transfer").click()
    page.locator("#start-transfer").wait_for()


def drop(page: Page, files: list[Path]) -> None:
    page.locator("#pictures input[type=file]").set_input_files(files)


def is_ready(page: Page, seconds: float = 90) -> None:
    """Start can be pressed."""
    expect(page.locator("#start-transfer")).to_be_enabled(timeout=1000 * seconds)


def press_start(page: Page) -> str:
    page.locator("#start-transfer").click()
    return wait_for_run(page)


def train_for(page: Page, seconds: float) -> None:
    page.locator("#transfer-seconds input").fill(str(seconds))


@pytest.mark.alone
def test_from_dropped_files_to_samples_of_the_downloaded_zip(
    visit: Visitors,
    page: Page,
    drawings: list[Path],
    tmp_path: Path,
    measured: Callable[..., None],
):
    turn_to_transfer(page)
    expect(page.get_by_role("heading", name="Your generator will appear here")).to_be_visible()
    expect(page.locator("#start-transfer")).to_be_disabled()

    drop(page, drawings)
    summary = page.locator("#intake-summary")
    expect(summary).to_contain_text("16 pictures to learn from · 1 mended · 2 left out")
    expect(page.get_by_alt_text("As the model sees them: 64 × 64 pixels")).to_be_visible()
    is_ready(page)
    expect(page.locator("#nearest")).to_contain_text("Nearest to your pictures:")

    train_for(page, 6)
    began = time.monotonic()
    press_start(page)
    page.wait_for_function(CHANGED, timeout=60_000)
    measured("Start of a transfer to the first changed pictures", time.monotonic() - began)
    expect(page.locator("#before img")).to_have_attribute("alt", re.compile(r"step 0$"))
    expect(page.locator("#pairs img")).to_be_visible()
    expect(page.locator("#state")).to_be_in_viewport()  # though Start lay far below
    wipe = page.get_by_role("slider", name="Before and after")
    at = wipe.bounding_box()
    edge = at["x"] + 14 + 0.25 * (at["width"] - 28)  # where it lies at first
    page.mouse.move(edge, at["y"] + 80)
    page.mouse.down()
    for further in (60, 120, 180):
        page.mouse.move(edge + further, at["y"] + 90)
    page.mouse.up()
    assert int(wipe.input_value()) == pytest.approx(25 + 100 * 180 / (at["width"] - 28), abs=1.5)
    source = page.locator("#before img")
    for value, hidden in (("0", "100%"), ("100", "0%")):  # all of now; all of the source
        wipe.fill(value)
        expect(source).to_have_css("clip-path", re.compile(rf"inset\(0px (calc\()?{hidden}"))
    expect_state(page, "Finished", 60)

    with page.expect_download() as download:
        page.locator("#download").click()
    zipped, pictures = tmp_path / "mine.zip", tmp_path / "mine.npz"
    download.value.save_as(zipped)
    with zipfile.ZipFile(zipped) as archive:
        names = set(archive.namelist())
        manifest = json.loads(archive.read("run/data/manifest.json"))
    assert {"generator.safetensors", "discriminator.safetensors", "run/metrics.jsonl"} <= names
    assert {"drawing 00.png", "drawing 05.png"} < {p["name"] for p in manifest["pictures"]}
    sample = ["sample", str(zipped), "--n", "4", "--seed", "1", "--out", str(pictures)]
    assert main(sample) == 0
    with np.load(pictures) as made:
        assert made["images"].shape == (4, 64, 64, 3)

    other = visit()  # somebody else, who was given the zip
    open_section(other, "Your runs")
    other.locator("#open-zip").locator("xpath=..").locator("input[type=file]").set_input_files(
        zipped
    )
    wait_for_run(other)
    expect_state(other, "Finished")
    before = grid_step(other)
    other.get_by_role("button", name="Train longer").click()
    expect_state(other, "Learning")
    other.wait_for_function(
        "n => +document.querySelector('#grid img').alt.split(' ').at(-1) > n",
        arg=before,
        timeout=60_000,
    )


def test_every_picture_is_listed_with_what_became_of_it_and_a_tick(
    page: Page, drawings: list[Path]
):
    turn_to_transfer(page)
    drop(page, drawings)
    is_ready(page)
    open_section(page, "Every picture")
    rows = page.locator("#tiles li")
    expect(rows).to_have_count(18)
    expect(rows.filter(has_text="broken.png")).to_contain_text("left out")
    expect(rows.filter(has_text="broken.png").get_by_role("checkbox")).to_have_count(0)
    again = page.get_by_role("checkbox", name="Include drawing 16 again.jpg")
    expect(again).not_to_be_checked()
    expect(rows.filter(has_text="again")).to_contain_text("nearly the same as drawing 00.png")

    again.check()
    expect(page.locator("#intake-summary")).to_contain_text("17 pictures to learn from")
    expect(rows.filter(has_text="again").locator("em")).to_have_text("kept")
    page.get_by_role("checkbox", name="Include drawing 07.png").uncheck()
    expect(rows.filter(has_text="drawing 07.png").locator("em")).to_have_text("left out")
    expect(page.locator("#intake-summary")).to_contain_text("16 pictures to learn from")

    seen = page.locator("#intake-preview img")
    shown = seen.get_attribute("src")
    page.locator("#background").get_by_role("radio", name="Black").check()
    expect(seen).not_to_have_attribute("src", shown)
    shown = seen.get_attribute("src")
    page.locator("#fit").get_by_role("radio", name="Pad").check()
    expect(seen).not_to_have_attribute("src", shown)

    page.reload()  # all of it is kept
    turn_to_transfer(page)
    expect(page.locator("#intake-summary")).to_contain_text("16 pictures to learn from")
    expect(page.locator("#fit").get_by_role("radio", name="Pad")).to_be_checked()
    is_ready(page)
    open_section(page, "Every picture")
    expect(page.get_by_role("checkbox", name="Include drawing 07.png")).not_to_be_checked()


def test_what_cannot_be_used_is_explained_and_the_page_lives_on(page: Page, tmp_path: Path):
    nonsense = [tmp_path / "letter.png", tmp_path / "<b>bold.jpg", tmp_path / "empty.zip"]
    nonsense[0].write_bytes(b"Dear Sir or Madam")
    nonsense[1].write_bytes(bytes(1000))
    with zipfile.ZipFile(nonsense[2], "w"):
        pass
    turn_to_transfer(page)
    drop(page, nonsense)
    toast = page.get_by_test_id("toast-text").last
    expect(toast).to_contain_text("No picture can be used, and training needs at least 2")
    expect(toast).to_contain_text("bbold.jpg is not a picture")
    problem = page.locator("#intake-problem")  # and stays when the toast has gone
    expect(problem).to_contain_text("No picture can be used, and training needs at least 2")
    expect(page.locator("#start-transfer")).to_be_disabled()

    page.locator("#example-emoji").click()
    expect(page.locator("#intake-summary")).to_contain_text("Emoji: 60 pictures, ready.")
    expect(problem).not_to_contain_text("No picture")
    is_ready(page)


DROPS_TOO_MUCH = """(zone, name) => {
  const data = new DataTransfer();
  data.items.add(new File([new ArrayBuffer(201e6)], name));
  for (const name of ["dragenter", "dragover", "drop"])
    zone.dispatchEvent(new DragEvent(name, {bubbles: true, cancelable: true, dataTransfer: data}));
}"""


def test_a_file_that_is_too_large_is_refused_by_name_and_is_not_sent(page: Page, tmp_path: Path):
    sent: list[str] = []
    page.on("request", lambda it: sent.append(it.url) if "/upload" in it.url else None)
    large = tmp_path / "chosen.zip"
    with open(large, "wb") as file:
        file.truncate(201_000_000)
    turn_to_transfer(page)
    toast = page.get_by_test_id("toast-text").last
    drop(page, [large])
    expect(toast).to_have_text(
        "chosen.zip is too large: send files of at most 200 MB (GANLAB_MAX_FILE_MB)."
    )
    zone = page.locator("#pictures button").first
    zone.evaluate(DROPS_TOO_MUCH, "dropped.zip")
    expect(toast).to_contain_text("dropped.zip is too large")
    zone.evaluate(DROPS_TOO_MUCH, "film.mov")  # which would not be sent, however large
    expect(toast).to_contain_text("Invalid file type")
    assert not sent

    problem = page.locator("#intake-problem")  # and stays when the toast has gone
    expect(problem).to_contain_text("dropped.zip is too large")
    page.locator("#example-emoji").click()
    is_ready(page)
    expect(problem).not_to_contain_text("dropped.zip")


def test_messages_wait_for_those_that_came_after_them_and_for_the_pointer(page: Page):
    toast, text = page.get_by_test_id("toast-body"), page.get_by_test_id("toast-text")
    zone = page.locator("#pictures button").first
    turn_to_transfer(page)
    page.clock.install()
    zone.evaluate(DROPS_TOO_MUCH, "first.zip")
    expect(text).to_contain_text(["first.zip"])
    page.clock.run_for(5_000)  # that one's time is nine seconds
    zone.evaluate(DROPS_TOO_MUCH, "second.zip")
    expect(text).to_contain_text(["first.zip", "second.zip"])
    page.clock.run_for(8_000)
    expect(text).to_contain_text(["first.zip", "second.zip"])
    toast.hover()
    page.clock.run_for(60_000)
    expect(text).to_contain_text(["first.zip", "second.zip"])
    page.mouse.move(0, 0)
    page.clock.run_for(16_000)
    expect(toast).to_have_count(0)

    zone.evaluate(DROPS_TOO_MUCH, "third.zip")
    expect(text).to_contain_text(["third.zip"])
    page.locator("#transfer-seconds input").click()  # to mend what it says, perhaps
    page.clock.run_for(5_000)
    expect(text).to_contain_text(["third.zip"])
    page.get_by_role("tab", name="Blend").click()
    expect(toast).to_have_count(0)


def test_on_a_phone_messages_leave_the_tabs_free_and_a_finger_does_not_hold_them(visit: Visitors):
    page = visit(**PHONE)
    turn_to_transfer(page)
    page.clock.install()
    page.locator("#pictures button").first.evaluate(DROPS_TOO_MUCH, "first.zip")
    toast = page.get_by_test_id("toast-body")
    tabs = page.get_by_role("tab", name="Blend").bounding_box()
    box = toast.bounding_box()
    assert tabs["y"] + tabs["height"] < box["y"] and box["y"] + box["height"] <= 844
    page.get_by_test_id("toast-text").tap()
    page.clock.run_for(16_000)
    expect(toast).to_have_count(0)


def test_a_zip_of_folders_has_a_task_for_each_and_too_few_pictures_are_told_what_to_expect(
    page: Page, tmp_path: Path
):
    rng = np.random.default_rng(2)
    packed = tmp_path / "shapes.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for task in ("discs", "squares"):
            for number in range(4):
                buffer = io.BytesIO()
                drawn(task, 64, rng).save(buffer, "PNG")
                archive.writestr(f"shapes/{task}/{number}.png", buffer.getvalue())
    turn_to_transfer(page)
    drop(page, [packed])
    summary = page.locator("#intake-summary")
    expect(summary).to_contain_text("2 tasks, from the subfolders: discs, squares")
    expect(summary).to_contain_text("Only 8 pictures are used. The model will mostly repeat")
    is_ready(page)


def test_a_race_that_is_stopped_says_how_far_it_got_and_its_best_lap_can_be_opened(page: Page):
    turn_to_transfer(page)
    page.locator("#example-line-art").click()
    is_ready(page)
    page.get_by_role("checkbox", name="Race several strategies").check()
    train_for(page, 4)
    press_start(page)
    expect(page.locator("#race-table")).to_contain_text("learning")
    expect(page.locator("#take-lap")).to_have_count(0)
    lap = page.locator("#pick-lap").get_by_role("radio")
    expect(lap).to_have_count(1, timeout=120_000)
    expect(lap).to_be_checked()
    page.locator("#stop").click()
    expect_state(page, "Stopped")
    expect(page.locator("#state")).to_contain_text(re.compile(r"Stopped (in|after) lap \d of 3\."))
    expect(page.locator("#facts")).to_contain_text(re.compile(r"Laps over\s*\d of 3"))
    race = page.url
    page.locator("#take-lap").click()
    expect(page).not_to_have_url(race)
    expect_state(page, "Finished")


def test_a_strategy_shows_what_trains_when_and_a_race_names_a_winner(page: Page, server: Server):
    turn_to_transfer(page)
    page.locator("#example-line-art").click()
    is_ready(page)
    note = page.locator("#strategy-note")
    page.locator("#strategy").get_by_role("radio", name="New head").check()
    expect(note).to_contain_text("one more task of the same generator")
    expect(note.get_by_role("img", name="What trains when: New head")).to_be_visible()
    page.locator("#strategy").get_by_role("radio", name="From scratch").check()
    expect(note.get_by_role("img", name="What trains when: From scratch")).to_be_visible()

    page.get_by_role("checkbox", name="Race several strategies").check()
    racers = page.locator("#racers")
    expect(racers.get_by_role("checkbox", name="Fine-tune all")).to_be_checked()
    racers.get_by_role("checkbox", name="FreezeD").uncheck()
    train_for(page, 4)
    expect(page.locator("#start-transfer")).to_have_text("Start the race")
    press_start(page)
    table = page.locator("#race-table")
    expect(table.get_by_role("row")).to_have_count(3)  # with its head
    page.reload()
    expect_state(page, "Finished", 90)
    expect(table.get_by_role("row").filter(has_text="Fine-tune all")).to_contain_text(
        re.compile(r"\d+\.\d\d")
    )
    expect(page.locator("#verdict")).to_contain_text(re.compile("wins|No clear winner"))
    expect(page.locator("#race-grids figure")).to_have_count(3)  # the source's first

    page.locator("#pick-lap").get_by_role("radio", name="Fine-tune all").check()
    race = page.url
    page.locator("#take-lap").click()
    expect(page).not_to_have_url(race)
    expect_state(page, "Finished")
    wait_for_grid(page)
    expect(page.locator("#download")).to_be_enabled()


def test_a_transfer_survives_a_reload_and_stops_with_a_snapshot(page: Page, server: Server):
    turn_to_transfer(page)
    page.locator("#example-robots").click()
    is_ready(page)
    page.reload()  # already before Start, nothing is lost
    expect(page.get_by_role("tab", name="Transfer")).to_have_attribute("aria-selected", "true")
    is_ready(page)
    head = page.get_by_role("combobox", name="Head")
    head.click()
    page.get_by_role("option", name="micah").click()
    page.locator("#strategy").get_by_role("radio", name="Fine-tune all").check()
    train_for(page, 300)
    run = press_start(page)
    page.wait_for_function(CHANGED, timeout=60_000)
    page.reload()
    expect_state(page, "Learning")
    expect(page.get_by_role("tab", name="Transfer")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#strategy").get_by_role("radio", name="Fine-tune all")).to_be_checked()
    expect(head).to_have_value("micah")
    page.get_by_role("button", name="Stop", exact=True).click()
    expect_state(page, "Stopped")
    assert server.state_of(run) == "stopped"
    page.get_by_role("button", name="Resume").click()
    expect_state(page, "Learning")


def test_a_phone_shows_all_of_it_and_stays_at_the_pictures_while_they_change(visit: Visitors):
    page = visit(**PHONE)
    turn_to_transfer(page)
    page.locator("#example-line-art").click()
    is_ready(page)
    steps = [page.locator(f".gl-step i >> text={n} >> visible=true").first for n in (1, 2, 3)]
    for scheme in ("light", "dark"):
        turn(page, scheme)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["viewport"]["width"]
        places = [step.bounding_box()["y"] for step in steps]
        assert places == sorted(places)
    train_for(page, 10)  # enough to be measured, on a busy machine too
    press_start(page)
    expect_state(page, "Finished", 60)
    expect(page.locator("#kid")).to_be_attached()  # more has come than there was
    expect(page.locator("#state")).to_be_in_viewport()
    run, form = (page.locator(name).bounding_box() for name in ("#state", "#pictures"))
    assert run["y"] < form["y"]

    wipe, here = page.locator("#before input"), page.evaluate("scrollY")
    at = wipe.bounding_box()
    swipe(page, at["x"] + 0.7 * at["width"], at["y"] + at["height"] - 5, 0, -120)
    assert page.evaluate("scrollY") > here + 50 and wipe.input_value() == "25"
    at = wipe.bounding_box()
    swipe(page, at["x"] + 14 + 0.25 * (at["width"] - 28), at["y"] + 20, 0.5 * at["width"], 0)
    assert int(wipe.input_value()) > 60


def swipe(page: Page, x: float, y: float, by_x: float, by_y: float) -> None:
    """A finger comes down, moves and leaves."""
    touch = page.context.new_cdp_session(page)
    touch.send(
        "Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]}
    )
    for part in range(1, 11):
        point = {"x": x + by_x * part / 10, "y": y + by_y * part / 10}
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
        page.wait_for_timeout(20)
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(300)
