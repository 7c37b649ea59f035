"""A visitor goes back through a run of their own, from noise to now, while it still trains."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from e2e.visitor import choose_fashion, expect_state, start, train_for

pytestmark = pytest.mark.browser

# The steps that the figure shows from now on, however briefly.
NOTE_STEPS = """() => {
  window.figure = document.querySelector("#time figure");
  window.steps = [];
  new MutationObserver(() => steps.push(figure.dataset.step))
    .observe(figure, {attributeFilter: ["data-step"]});
}"""


def expect_drawn(page: Page, least: int) -> int:
    """All moments are there, and so many or more of them; gives their number."""
    page.wait_for_function(
        """least => {
          const all = document.querySelectorAll("#time .gl-time-ticks i");
          return all.length >= least && [...all].every((i) => i.classList.contains("gl-drawn"));
        }""",
        arg=least,
        timeout=60_000,
    )
    return page.locator("#time .gl-time-ticks i").count()


def test_a_run_is_seen_from_noise_to_now_while_it_trains(page: Page, tmp_path: Path):
    choose_fashion(page, ("bag", "trouser"))
    train_for(page, 240)  # of a longer run, more is measured
    start(page)
    expect(page.locator("#to-browse")).to_be_enabled(timeout=60_000)
    page.locator("#to-browse").click()
    page.get_by_role("button", name="Sample 2 of bag").click(timeout=60_000)
    expect(page.locator("#sample-detail")).to_contain_text("bag")

    page.emulate_media(reduced_motion="reduce")
    page.get_by_role("tab", name="Time machine").click()
    slider = page.locator("#time").get_by_role("slider", name="Moment")
    caption = page.locator("#time figcaption")
    grid, one = (page.locator(f"#time .gl-time-{name} img") for name in ("grid", "one"))
    seen = expect_drawn(page, 2)
    expect(caption).to_contain_text(
        re.compile(r"^Step [1-9][\d,]* · \d+ s of training.*the newest")
    )
    now = [picture.get_attribute("src") for picture in (grid, one)]
    slider.press("Home")
    expect(caption).to_have_text("Step 0 · untrained: noise")
    expect(slider).to_have_attribute("aria-valuetext", "Step 0 · untrained: noise")
    noise = [picture.get_attribute("src") for picture in (grid, one)]
    assert noise[0] != now[0] and noise[1] != now[1]

    seen = expect_drawn(page, seen + 1)  # a moment joins, and whoever looks back is left in peace
    expect(caption).to_have_text("Step 0 · untrained: noise")
    assert grid.get_attribute("src") == noise[0]
    slider.press("End")
    expect(caption).to_contain_text("the newest")
    play = page.locator("#time").get_by_role("button", name="Play")
    page.evaluate(NOTE_STEPS)
    play.click()  # from the right end, so from the beginning
    page.wait_for_function("steps.length > 2")
    page.wait_for_function("document.querySelector('#time button').innerText === 'Play'")
    steps = [int(step) for step in page.evaluate("steps")]
    assert steps[0] == 0 and steps == sorted(steps) and len(steps) >= seen
    expect(play).to_be_visible()
    expect(caption).to_contain_text("the newest")

    page.locator("#make-time-film").click()
    expect(page.locator("#time-film-made video")).to_be_visible(timeout=60_000)
    with page.expect_download() as download:
        page.locator("#time-film-made").get_by_role("link", name="Download").click()
    download.value.save_as(tmp_path / "film.mp4")
    assert (tmp_path / "film.mp4").read_bytes()[4:8] == b"ftyp"

    page.get_by_role("tab", name="Train", exact=True).click()
    page.locator("#stop").click()
    expect_state(page, "Stopped")
    page.get_by_role("tab", name="Browse").click()
    expect(caption).to_contain_text(re.compile("the last$"))  # it trains no more
