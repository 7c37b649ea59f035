"""A visitor moves a sample along directions, names what they find, and teaches one by picks."""

import re

import pytest
from playwright.sync_api import Page, expect

from e2e.test_viewers import expect_another, turn_to

pytestmark = pytest.mark.browser


def open_directions(page: Page) -> None:
    turn_to(page, "Browse")
    page.get_by_role("tab", name="Directions").click()
    expect(page.locator(".gl-along img").last).to_be_visible(timeout=60_000)


def names(page: Page) -> list[str]:
    return [field.input_value() for field in page.locator(".gl-name input").all()]


def test_directions_are_tried_named_kept_and_taught(page: Page):
    open_directions(page)
    assert names(page) == [f"Direction {number}" for number in range(1, 11)]
    preview = page.locator(".gl-edited img")
    first = preview.get_attribute("src")
    slider = page.locator(".gl-along input").nth(1)
    expect_another(preview, lambda: slider.press("End"))
    strip = page.locator(".gl-along img").first
    expect_another(preview, lambda: strip.click(position={"x": 5, "y": 10}))
    expect(page.locator(".gl-along input").first).to_have_value("-3")
    expect_another(preview, page.locator(".gl-edited [data-do=reset]").click)
    assert preview.get_attribute("src") == first
    expect_another(preview, page.locator(".gl-edited [data-do=undo]").click)
    expect(slider).to_have_value("3")

    says = page.locator(".gl-edited p")
    page.locator(".gl-edited [data-do=use]").click()
    expect(says).to_have_text("avataaars: the sample you picked")
    expect(slider).to_have_value("0")
    page.locator(".gl-edited [data-do=undo]").click()
    expect(says).to_have_text("avataaars: the first sample of the seed")
    expect(slider).to_have_value("3")

    field = page.get_by_role("textbox", name="Name of Direction 2")
    field.fill("long hair")
    field.press("Enter")
    expect(page.get_by_role("textbox", name="Name of long hair")).to_be_visible()
    assert names(page)[:3] == ["long hair", "Direction 1", "Direction 3"]
    expect(page.locator(".gl-along input").first).to_have_value("3")  # as it was set

    page.get_by_role("button", name="Teach a direction").click()
    tiles = page.locator(".gl-marks button")
    expect(tiles).to_have_count(20)
    find = page.get_by_role("button", name="Find the direction")
    for number in (0, 1, 2):
        tiles.nth(number).click()
    for number in (3, 4, 5):
        tiles.nth(number).dblclick()
    expect(tiles.nth(3)).to_have_attribute("aria-label", "Sample 4: without")
    page.get_by_role("button", name="20 more").click()
    expect(tiles).to_have_count(40)
    expect(page.locator(".gl-counts")).to_have_text("3 with, 3 without")
    page.get_by_role("textbox", name="Name of the direction").fill("glasses")
    find.click()
    expect(page.get_by_role("textbox", name="Name of glasses")).to_be_visible()
    expect(page.get_by_text(re.compile("fall on the right side"))).to_be_visible()

    page.reload()
    open_directions(page)
    assert names(page)[:3] == ["long hair", "glasses", "Direction 1"]
    page.get_by_role("button", name="Delete long hair").click()
    expect(page.locator(".gl-name input").first).to_have_value("glasses")
