"""A visitor mixes heads and looks at what generators draw, shipped ones and their own."""

import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from e2e.conftest import PATIENCE_MS, PHONE, Visitors
from e2e.visitor import expect_state, turn, wait_for_run

pytestmark = pytest.mark.browser

IS_INSIDE = """tab => tab.getBoundingClientRect().bottom
  <= tab.parentElement.getBoundingClientRect().bottom"""


def turn_to(page: Page, name: str) -> Locator:
    """Turns to Blend or Browse; gives the picture there."""
    page.get_by_role("tab", name=name).click()
    picture = page.locator(f"#{name.lower()}-picture img")
    picture.wait_for(timeout=60_000)
    return picture


def expect_another(picture: Locator, act: Callable[[], object]) -> None:
    """What `act` does changes the picture."""
    before = picture.get_attribute("src")
    act()
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while picture.get_attribute("src") == before:  # an assertion would print both pictures
        assert time.monotonic() < deadline, "the picture stayed as it was"
        picture.page.wait_for_timeout(50)


def test_samples_are_looked_at_seed_by_seed_and_head_by_head(page: Page):
    picture = turn_to(page, "Browse")
    labels = page.locator("#browse-picture .gl-labels span")
    expect(labels).to_have_count(5)
    first = picture.get_attribute("src")
    expect_another(picture, page.locator("#browse-after").click)
    expect_another(picture, page.locator("#browse-before").click)
    assert picture.get_attribute("src") == first

    page.get_by_role("combobox", name="Head").click()
    expect_another(picture, page.get_by_role("option", name="micah").click)
    expect(labels).to_have_count(0)
    page.get_by_role("combobox", name="Generator").click()
    expect_another(picture, page.get_by_role("option", name=re.compile("fashion32")).click)
    expect(labels).to_have_count(10)
    expect_another(picture, page.locator("#browse-random").click)


def test_a_link_stays_what_it_is_until_the_page_has_turned_to_it(page: Page):
    held: list[Route] | None = []

    def hold(route: Route) -> None:
        """Lets through what the first tab asks as it opens, which needs to know nothing."""
        if held is not None and route.request.post_data_json["data"]:
            held.append(route)
        else:
            route.continue_()

    page.route("**/run/predict*", hold)  # the address's query follows
    link = f"{page.url.split('?')[0]}?tab=browse&model=fashion32&head=bag&seed=7"
    page.goto(link)
    expect(page.get_by_role("tab", name="Train", exact=True)).to_be_visible()
    page.wait_for_timeout(1500)  # for all that the page does by itself
    assert held and page.url == link
    waiting, held = held, None
    for route in waiting:
        route.continue_()
    expect(page.locator("#browse-picture")).to_contain_text("Seed 7", timeout=60_000)
    expect(page.get_by_role("combobox", name="Head")).to_have_value("bag")
    assert page.url == link


def test_a_run_of_ones_own_is_used_in_blend_and_browse(page: Page):
    page.get_by_role("tab", name="Transfer").click()
    page.locator("#example-line-art").click()
    expect(page.locator("#start-transfer")).to_be_enabled(timeout=60_000)
    page.locator("#strategy").get_by_role("radio", name="New head").check()
    page.locator("#transfer-seconds input").fill("6")
    page.locator("#start-transfer").click()
    wait_for_run(page)
    expect_state(page, "Finished", 60)

    source = page.get_by_role("combobox", name="A generator that can already draw")
    source.click()  # what has just been made can be started from
    page.get_by_role("option", name=re.compile("^Your run: Line art")).wait_for()
    page.keyboard.press("Escape")
    expect(source).to_have_value(re.compile("^avatars64"))

    page.locator("#to-blend").click()
    expect(page.get_by_role("tab", name="Blend")).to_have_attribute("aria-selected", "true")
    picture = page.locator("#blend-picture img")
    expect(picture).to_be_visible(timeout=60_000)
    mine = re.compile("^Your run: Line art from avatars64 · New head · ")
    expect(page.get_by_role("combobox", name="Generator")).to_have_value(mine)
    rows = page.locator("#mixer li")
    expect(rows).to_have_count(6)  # beside the source's five heads
    page.wait_for_timeout(1500)  # for what the turned tab asks
    expect(page.locator("#blend-note")).to_have_text("")
    expect_another(picture, lambda: page.locator("#mixer input").last.press("End"))
    expect(picture).to_have_attribute("alt", re.compile("line-art 100 %$"))

    page.get_by_role("tab", name="Transfer").click()
    expect_state(page, "Finished")
    shown = page.locator("#run").get_by_role("button").filter(visible=True).all_inner_texts()
    assert [text.strip() for text in shown if "Download" in text] == ["Download best"]
    with page.expect_download():
        page.locator("#download").click()
    page.locator("#to-browse").click()
    expect(page.locator("#browse-picture .gl-labels")).to_contain_text("line-art", timeout=60_000)
    page.reload()
    expect(page.locator("#browse-picture img")).to_be_visible(timeout=60_000)
    page.get_by_role("tab", name="Transfer").click()
    expect_state(page, "Finished")


def test_a_phone_shows_tabs_then_pictures_then_sliders(visit: Visitors):
    page = visit(**PHONE)
    for name in ("Blend", "Browse"):
        picture = turn_to(page, name)
        for scheme in ("light", "dark"):
            turn(page, scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            order = [
                page.get_by_role("tablist").first,
                picture,
                page.locator(f"#{name.lower()}-seed"),
            ]
            tops = [part.bounding_box()["y"] for part in order]
            assert tops == sorted(tops)
    views = page.locator("#browse-views").get_by_role("tab")
    expect(views).to_have_count(7)
    for view in views.all():
        view.tap(trial=True)
    lines = [tab.evaluate(IS_INSIDE) for tab in page.get_by_role("tab", selected=True).all()]
    assert lines == [True, True]  # of both rows of tabs, the line below is not cut off
