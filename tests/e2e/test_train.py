"""A visitor fills the form, trains, watches, stops, looks back and takes the model home."""

import json
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from served import REPOSITORY, Server

from e2e.conftest import Visitors
from e2e.visitor import (
    SECTIONS,
    choose_data,
    choose_fashion,
    expect_state,
    grid_step,
    open_section,
    run_in_address,
    start,
    step,
    train_for,
    wait_for_grid,
    wait_for_run,
    wait_for_step_above,
)
from ganlab.data.catalog import CATALOG

pytestmark = pytest.mark.browser

ANSWERS_COME_LATE = """() => {
  const ask = window.fetch;
  window.fetch = async (...asked) => {
    const answer = await ask(...asked);
    await new Promise((go) => setTimeout(go, 600));
    return answer;
  };
}"""
# The next answer that tells of a run under way comes when it is let go; `states`: what is shown.
HOLDS_AN_ANSWER = """() => {
  const ask = window.fetch;
  let isHeld = false;
  window.fetch = async (...asked) => {
    const answer = await ask(...asked);
    if (isHeld || !(await answer.clone().text()).includes("gl-busy")) return answer;
    isHeld = true;
    await new Promise((go) => { window.letGo = go; });
    return answer;
  };
  const state = document.querySelector("#state");
  window.states = [];
  new MutationObserver(() => states.push(state.querySelector(".gl-chip").innerText))
    .observe(state, {subtree: true, childList: true, characterData: true});
}"""
POINTS_OF_LINE = """id => [...document.querySelectorAll(`#${id} .mark-line path`)]
    .map(path => path.getAttribute('d').split(/[ML]/).length - 1)"""


@pytest.mark.alone
def test_the_server_answers_soon_and_its_empty_page_says_what_will_appear_and_one_button_starts_it(
    page: Page, server: Server, measured: Callable[..., None]
):
    boot = server.boot_seconds
    measured("Command to a page that answers (first start, with the timing)", boot)
    assert boot < 20
    measured("Memory before this test's training", server.resources()["mb"], "MB")
    assert server.resources()["mb"] < 2000
    empty = page.locator("#empty")
    expect(empty.get_by_role("heading", name="Pictures will appear here")).to_be_visible()
    expect(empty.get_by_role("button")).to_have_count(1)
    expect(page.locator("#state")).not_to_be_visible()

    began = time.monotonic()
    empty.get_by_role("button", name="Begin").click()
    wait_for_grid(page)
    measured("Begin (avatars) to first grid", time.monotonic() - began)
    expect_state(page, "Learning")
    expect(page.locator("#empty")).not_to_be_visible()


def test_another_data_set_changes_its_pictures_tasks_and_licence(page: Page):
    strip = page.locator("#data-card img")
    before = strip.get_attribute("src")
    expect(page.locator("#tasks").get_by_role("checkbox")).to_have_count(5)

    choose_fashion(page)
    expect(strip).to_have_attribute("alt", "Real pictures from Fashion")
    assert strip.get_attribute("src") != before
    expect(page.locator("#data-card")).to_contain_text("32 px · grey · 10 tasks")
    expect(page.locator("#tasks").get_by_role("checkbox")).to_have_count(10)
    page.locator("#data-card summary").click()
    expect(page.locator("#data-card details")).to_contain_text("Fashion-MNIST, MIT, by Zalando SE")

    choose_data(page, "Robots")
    expect(strip).to_have_attribute("alt", "Real pictures from Robots")
    expect(page.locator("#tasks")).not_to_be_visible()  # there is nothing to choose
    expect(page.locator("#data-card details")).to_contain_text("Bottts")


def test_a_preset_fills_the_settings_the_estimate_and_the_shell_command(page: Page):
    open_section(page, "Advanced settings")
    open_section(page, "The same in the shell")
    command, estimate = page.locator("#command"), page.locator("#estimate")
    expect(command).to_contain_text("--data avatars --tasks avataaars --preset quick")
    expect(estimate).to_contain_text("About 1 min 2 s here")

    page.get_by_role("radio", name="Better").check()
    expect(page.get_by_role("spinbutton", name="Train for")).to_have_value("600")
    expect(page.get_by_role("spinbutton", name="Width", exact=True)).to_have_value("48")
    expect(page.get_by_role("spinbutton", name="Learning rate")).to_have_value("0.001")
    expect(estimate).to_contain_text("About 10 min 2 s here")
    expect(command).to_contain_text("--preset better")

    page.get_by_role("radio", name="Classic DCGAN").check()
    expect(page.get_by_role("spinbutton", name="Train for")).to_have_value("60")
    expect(page.get_by_role("combobox", name="Architecture")).to_have_value("DCGAN")
    expect(page.get_by_role("combobox", name="Loss")).to_have_value(re.compile("saturating"))
    expect(page.get_by_role("spinbutton", name="Learning rate")).to_have_value("0.0002")
    expect(page.get_by_role("checkbox", name="Mirror pictures")).not_to_be_checked()
    expect(command).to_contain_text("--preset dcgan")

    page.get_by_role("spinbutton", name="Batch size").fill("16")
    train_for(page, 200, "steps")
    expect(command).to_contain_text("--preset dcgan --steps 200 --batch-size 16")


def test_a_bad_value_is_named_and_starts_nothing(page: Page, server: Server):
    runs = server.run_ids()
    amount = page.get_by_role("spinbutton", name="Train for")
    width = page.get_by_role("spinbutton", name="Width", exact=True)
    rate = page.get_by_role("spinbutton", name="Learning rate")
    open_section(page, "Advanced settings")

    def refused(message: str) -> None:
        expect(page.locator("#estimate")).to_contain_text(message, ignore_case=True)
        page.get_by_role("button", name="Start", exact=True).click()
        shown = page.get_by_test_id("toast-text").last
        expect(shown).to_contain_text(message, ignore_case=True)
        expect(shown).to_be_visible()

    for value, message in (
        ("0", "seconds is 0: choose between 1 and 864000"),
        ("-5", "seconds is -5: choose between 1 and 864000"),
        ("", "Say for how many seconds to train."),
    ):
        amount.fill(value)
        refused(message)
    amount.fill("60")
    for value, message in (
        ("3", "width is 3: choose between 8 and 128"),
        ("12.5", "width is 12.5: give a whole number"),
        ("", "Width is empty: give a number."),
    ):
        width.fill(value)
        refused(message)
    width.fill("32")
    rate.fill("7")
    refused("learning rate is 7: choose between 1e-06 and 1")
    rate.fill("0.001")
    page.get_by_role("checkbox", name="avataaars").uncheck()
    refused("Tick at least one task to train on.")

    expect(page.locator("#empty")).to_be_visible()
    assert server.run_ids() == runs


def test_start_right_after_the_choice_of_data_trains_on_its_tasks(page: Page, server: Server):
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    network.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 600, "downloadThroughput": -1, "uploadThroughput": -1},
    )  # so that Start is pressed while the boxes of the set before are shown
    page.get_by_role("combobox", name="Data set").click()
    page.get_by_role("option", name="Fashion", exact=True).click()
    run_id = start(page)
    config = json.loads((server.home / "runs" / run_id / "run.json").read_text())["config"]
    assert config["data"] == "fashion"
    assert set(config["tasks"] or CATALOG["fashion"].tasks) == set(CATALOG["fashion"].suggested)


@pytest.mark.alone
def test_a_started_run_shows_pictures_within_seconds_and_then_moves(
    page: Page, measured: Callable[..., None]
):
    choose_fashion(page)
    began = time.monotonic()
    start(page)
    wait_for_grid(page)
    seconds = time.monotonic() - began
    measured("Start (fashion) to first grid", seconds)
    assert seconds < 10  # some 2 s where nothing else runs: the summary says what it was
    expect_state(page, "Learning")
    # Long before the footer asks by itself.
    expect(page.locator("#footer")).to_contain_text("1 run trains", timeout=3000)

    first_step, first_grid = step(page), page.locator("#grid img").get_attribute("src")
    page.locator("#losses .mark-line path").first.wait_for()
    before = page.evaluate(POINTS_OF_LINE, "losses")
    assert len(before) == 2  # G and D
    for plot in ("losses", "scores", "norms"):
        page.wait_for_function(
            f"([id, n]) => {{ const p = ({POINTS_OF_LINE})(id); return p.length == 2"
            " && p.every(x => x > n) }",
            arg=[plot, max(before)],
        )
    wait_for_step_above(page, first_step)
    page.wait_for_function("src => document.querySelector('#grid img').src != src", arg=first_grid)
    expect(page.locator("#facts")).to_contain_text("images/s")
    bar = page.get_by_role("progressbar", name="Training")
    assert 0 < int(bar.get_attribute("aria-valuenow")) < 100


@pytest.mark.alone
def test_a_stopped_run_says_so_at_once_and_resumes_where_it_was(
    page: Page, server: Server, measured: Callable[..., None]
):
    choose_fashion(page)
    run_id = start(page)
    wait_for_grid(page)
    wait_for_step_above(page, 10)

    began = time.monotonic()
    page.get_by_role("button", name="Stop").click()
    expect_state(page, "Stopped")
    seconds = time.monotonic() - began
    measured("Stop to Stopped", seconds)
    assert seconds < 2
    stopped_at, curve = step(page), server.curve_of(run_id)
    expect(page.locator("#state")).to_contain_text(f"Saved at step {stopped_at:,}.")
    expect(page.get_by_role("button", name="Stop")).not_to_be_visible()

    page.evaluate(
        """() => { window.steps = []; new MutationObserver(() => window.steps.push(
            +document.querySelector('#facts dd').innerText.replaceAll(',', ''))
        ).observe(document.getElementById('facts'),
            {subtree: true, childList: true, characterData: true}) }"""
    )
    page.get_by_role("button", name="Resume").click()
    expect_state(page, "Learning")
    wait_for_step_above(page, stopped_at + 10)
    assert min(page.evaluate("window.steps")) >= stopped_at
    assert server.curve_of(run_id)[: len(curve)] == curve


def test_an_answer_that_a_later_one_has_overtaken_is_not_the_last_word(page: Page):
    choose_fashion(page, ("bag",))
    start(page)
    wait_for_grid(page)
    page.evaluate(HOLDS_AN_ANSWER)
    page.wait_for_function("!!window.letGo")
    page.get_by_role("button", name="Stop").click()
    expect_state(page, "Stopped")
    page.evaluate("letGo()")
    back = "states.indexOf('Learning', states.indexOf('Stopped'))"
    page.wait_for_function(f"{back} > 0 && states.at(-1) == 'Stopped'")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()


def test_a_finished_run_can_train_longer(page: Page):
    choose_fashion(page, ("bag",))
    train_for(page, 10, "steps")
    start(page)
    expect_state(page, "Finished")
    assert step(page) == 10
    expect(page.locator("#health")).not_to_be_visible()  # too short to be measured
    expect(page.get_by_role("progressbar", name="Training")).to_have_attribute(
        "aria-valuenow", "100"
    )
    page.get_by_role("button", name="Train longer").click()
    page.wait_for_function("document.querySelector('#facts dd').innerText == '15'")
    expect_state(page, "Finished")


def test_the_slider_goes_back_and_stays_while_the_run_goes_on(page: Page):
    choose_fashion(page)
    start(page)
    slider = page.locator("#moment").get_by_role("slider")
    page.wait_for_function("+document.querySelector('#moment input[type=range]')?.max >= 3")

    page.evaluate(ANSWERS_COME_LATE)  # so that most moves meet a tick that is under way
    for _ in range(3):
        slider.press("Home")
        expect(
            page.get_by_role("img", name="Generated pictures at step 0", exact=True)
        ).to_be_visible()
        grids, seen = int(slider.get_attribute("max")), step(page)
        page.wait_for_function(
            "n => +document.querySelector('#moment input[type=range]').max > n", arg=grids
        )
        wait_for_step_above(page, seen)
        assert grid_step(page) == 0
        assert slider.input_value() == "1"

        slider.press("End")
        page.wait_for_function("!/ 0$/.test(document.querySelector('#grid img').alt)")
        shown = grid_step(page)
        page.wait_for_function(
            "n => +document.querySelector('#grid img').alt.split(' ').at(-1) > n", arg=shown
        )
        assert slider.input_value() == slider.get_attribute("max")


def test_one_click_downloads_a_model_that_the_shell_can_sample(
    page: Page, server: Server, tmp_path: Path
):
    choose_fashion(page, ("bag", "coat"))
    train_for(page, 10, "steps")
    start(page)
    expect_state(page, "Finished", 60)
    with page.expect_download() as download:
        page.locator("#download").click()  # "Download best", where it took long enough to be judged
    assert download.value.suggested_filename == "ganlab-fashion-bag-coat-step10.zip"
    model, pictures = tmp_path / "model.zip", tmp_path / "pictures.npz"
    download.value.save_as(model)
    with zipfile.ZipFile(model) as archive:
        names = {Path(name).name for name in archive.namelist()}
    assert {"generator.safetensors", "README.md", "preview.jpg"} <= names

    command = [sys.executable, "-m", "ganlab", "sample", str(model), "--n", "4", "--seed", "1"]
    subprocess.run(
        [*command, "--out", str(pictures)],
        cwd=REPOSITORY,
        env=server.environment(),
        check=True,
        timeout=240,
    )
    with np.load(pictures) as made:
        assert made["images"].shape == (4, 32, 32, 1)
        assert list(made["tasks"]) == ["bag", "coat"]


def test_earlier_runs_are_listed_open_again_and_can_be_deleted(page: Page, server: Server):
    choose_fashion(page, ("bag",))
    train_for(page, 5, "steps")
    first = start(page)
    expect_state(page, "Finished")
    page.get_by_role("checkbox", name="coat").check()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page).not_to_have_url(re.compile(first))
    second = run_in_address(page)
    expect_state(page, "Finished")

    open_section(page, "Your runs")
    runs = page.locator("#runs").get_by_role("radio")
    expect(runs).to_have_count(2)
    expect(runs.first).to_be_checked()  # the newest, which is on view
    earlier = page.get_by_role("radio", name=re.compile(r"Fashion \(bag\) · .* · finished"))
    earlier.check()
    expect(page).to_have_url(re.compile(first))
    expect(page.locator("#state")).to_contain_text("Fashion (bag)")

    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Delete this run").click()
    expect(runs).to_have_count(2)
    assert {first, second} <= server.run_ids()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete this run").click()
    expect(runs).to_have_count(1)
    expect(page.get_by_text("The run is deleted.")).to_be_visible()
    expect(page.get_by_role("button", name="Begin")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/$"))
    assert first not in server.run_ids()


def test_a_data_set_that_cannot_be_downloaded_is_explained_and_another_one_trains(
    visit: Visitors, page: Page
):
    choose_data(page, "MNIST")
    card = page.locator("#data-card")
    expect(card.get_by_role("alert")).to_have_text(
        "MNIST (12 MB) is not on this machine and could not be downloaded, because there is no "
        "connection to its server; choose a bundled data set (avatars, fashion) or pictures of "
        "your own, or try again later."
    )
    start(page)
    expect_state(page, "Failed")
    expect(page.locator("#state")).to_contain_text("could not be downloaded")
    expect(page.get_by_role("button", name="Download", exact=True)).to_be_disabled()

    choose_fashion(page)
    expect(card.get_by_role("alert")).to_have_count(0)
    page.get_by_role("button", name="Start", exact=True).click()
    wait_for_grid(page)
    expect_state(page, "Learning")


def test_nothing_leaves_the_machine(visit: Visitors, page: Page):
    for section in SECTIONS:
        open_section(page, section)
    page.locator("#data-card summary").click()
    choose_fashion(page, ("bag",))
    train_for(page, 2)
    page.get_by_role("button", name="Start", exact=True).click()
    wait_for_run(page)
    expect_state(page, "Finished", 60)
    fonts = page.evaluate("document.fonts.ready.then(fonts => [...fonts].map(f => f.status))")
    assert "error" not in fonts
    assert visit.guard.went_elsewhere == []
