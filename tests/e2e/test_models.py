"""A visitor looks through all models, compares two, and tends their own."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from e2e.conftest import PHONE, Server, Visitors
from e2e.visitor import (
    choose_fashion,
    expect_state,
    open_section,
    start,
    train_for,
    wait_for_grid,
    wait_for_run,
)

pytestmark = pytest.mark.browser

KEPT_ANOTHER = """run => JSON.parse(localStorage["ganlab.runs"]).run != run"""


def all_models(page: Page) -> Locator:
    """Turns to the gallery; gives its cards."""
    page.get_by_role("tab", name="Browse").click()
    page.get_by_role("tab", name="All models").click()
    cards = page.locator(".gl-model")
    cards.first.wait_for()
    return cards


def card_of(page: Page, title: str) -> Locator:
    return page.get_by_role("article", name=title, exact=True)


def choose_in_menu(card: Locator, what: str) -> None:
    card.locator("summary").click()
    card.get_by_role("button", name=what).click()


def test_models_are_filtered_compared_and_opened(page: Page):
    cards = all_models(page).filter(visible=True)
    expect(cards).to_have_count(2)
    page.get_by_label("Filter").fill("trouser")
    expect(cards).to_have_count(1)
    expect(cards).to_contain_text("fashion32")
    page.get_by_label("Filter").fill("")
    page.get_by_role("button", name="Yours").click()
    expect(page.locator(".gl-models-none")).to_contain_text("None of your own yet")
    page.get_by_role("button", name="All", exact=True).click()

    card_of(page, "avatars64").get_by_role("button", name="Compare").click()
    expect(page.locator(".gl-models-hint")).to_contain_text("avatars64 with what?")
    card_of(page, "fashion32").get_by_role("button", name="Compare").click()
    pictures = [page.locator(f"#compare-{side} img") for side in "ab"]
    for picture in pictures:
        expect(picture).to_be_visible()
    expect(page.locator("#compare-note")).to_contain_text("The same latents, of seed 1")
    before = [picture.get_attribute("src") for picture in pictures]
    page.locator("#compare-random").click()
    for picture, old in zip(pictures, before, strict=True):
        expect(picture).not_to_have_attribute("src", old)
    old = pictures[1].get_attribute("src")
    page.locator("#compare-head-b input").click()
    page.get_by_role("option", name="bag").click()
    expect(pictures[1]).not_to_have_attribute("src", old)
    heading = page.locator("#compare-name-a h3")
    heading.evaluate("heading => { heading.textContent = 'A long title '.repeat(9); }")
    assert heading.bounding_box()["height"] > 30  # more than a line
    tops = [picture.bounding_box()["y"] for picture in pictures]
    assert tops[0] == tops[1]
    page.locator("#compare-close").click()
    expect(page.locator("#compare")).to_have_count(0)

    card_of(page, "fashion32").get_by_role("button", name="Open").click()
    expect(page.get_by_role("tab", name="Samples")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#browse-picture .gl-labels span")).to_have_count(10)
    expect(page.get_by_role("combobox", name="Generator").filter(visible=True)).to_have_value(
        re.compile("^fashion32")
    )


def test_a_run_that_starts_while_a_model_is_copied_is_kept_and_so_is_the_copy(page: Page):
    all_models(page)
    held = []
    page.route("**/queue/join*", lambda route: held.append(route), times=1)
    choose_in_menu(card_of(page, "avatars64"), "Duplicate")
    page.get_by_role("tab", name="Train").click()
    choose_fashion(page, ("trouser",))
    train_for(page, 5, "steps")
    run_id = start(page)
    (copying,) = held
    copying.continue_()  # it brings what the browser kept before that run
    page.wait_for_function(KEPT_ANOTHER, arg=run_id)

    page.reload()
    page.get_by_role("button", name="Your runs").click()
    expect(page.locator("#runs").get_by_role("radio")).to_have_count(2)


def test_a_run_is_seen_while_it_learns_then_named_copied_deleted_and_brought_back(
    page: Page, server: Server
):
    choose_fashion(page, ("trouser",))
    train_for(page, 12)
    run_id = start(page)
    wait_for_grid(page)
    all_models(page)
    mine = page.locator(f".gl-model[data-name='{run_id}']")
    expect(mine.locator(".gl-chips")).to_contain_text("Learning")
    choose_in_menu(mine, "Rename")
    page.get_by_label("Name", exact=True).fill("Tom & <b>Jerry")
    page.get_by_role("button", name="Save").click()
    expect(mine.locator("h3")).to_have_text("Tom & <b>Jerry")
    expect(mine.locator(".gl-chips")).to_contain_text("Finished", timeout=60_000)  # by itself

    choose_in_menu(mine, "Duplicate")
    copy = card_of(page, "Copy of Tom & <b>Jerry")
    expect(copy.locator(".gl-lineage")).to_contain_text("Tom & <b>Jerry →")
    expect(page.get_by_role("region", name="Family tree")).to_contain_text("Copy of Tom")
    choose_in_menu(mine, "Delete")
    expect(page.locator(".gl-models-notice")).to_contain_text("is deleted")
    expect(mine).to_have_count(0)
    expect(copy.locator(".gl-lineage")).to_contain_text("a run that is not here")
    assert run_id not in server.run_ids()
    page.get_by_role("button", name="Undo").filter(visible=True).click()
    expect(mine.locator("h3")).to_have_text("Tom & <b>Jerry")

    page.get_by_role("tab", name="Train").click()  # and where runs are deleted as well
    page.get_by_role("button", name="Your runs").click()
    page.get_by_role("radio", name="Copy of Tom").check()
    expect(page.locator("#state .gl-title")).to_have_text("Copy of Tom & <b>Jerry")
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator("#delete").click()
    expect(page.locator("#hint")).to_contain_text("The run is deleted.")
    page.locator("#undo-delete").click()
    expect(page.locator("#state .gl-title")).to_have_text("Copy of Tom & <b>Jerry")


@pytest.mark.parametrize("device", [{}, PHONE], ids=["desktop", "phone"])
def test_a_deleted_run_is_brought_back_where_it_was_deleted_later_and_by_its_link(
    visit: Visitors, server: Server, device: dict
):
    page = visit(**device)
    undo, deleted = page.locator("#undo-last"), page.locator("#deleted")
    open_section(page, "Your runs")
    expect(page.locator("#delete")).to_be_disabled()
    choose_fashion(page, ("bag",))
    train_for(page, 5, "steps")
    run_id = start(page)
    expect_state(page, "Finished")
    page.locator("#delete").evaluate("button => button.scrollIntoView({block: 'center'})")
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator("#delete").click()
    expect(deleted).to_contain_text("Deleted: Fashion (bag)")
    expect(undo).to_be_in_viewport(ratio=1)
    expect(page.locator("#delete")).to_be_disabled()
    undo.click()
    expect_state(page, "Finished")
    expect(deleted).to_have_count(0)
    assert wait_for_run(page) == run_id
    expect(page.locator("#delete")).to_be_enabled()

    page.once("dialog", lambda dialog: dialog.accept())
    page.locator("#delete").click()
    expect(deleted).to_be_visible()
    page.reload()
    expect(undo).to_be_visible()  # though the list is closed
    all_models(page)
    expect(page.locator(".gl-models-notice")).to_contain_text("Fashion (bag) · Quick look is delet")

    link = f"{server.url}/?run={run_id}"
    other = visit(link)
    expect(other.locator("#hint")).to_contain_text("There is no such run here")
    expect(other.locator("#undo-delete")).to_have_count(0)
    page.goto(link)
    expect(page.locator("#hint")).to_contain_text("The run is deleted.")
    expect(page.locator("#undo-delete")).to_be_in_viewport(ratio=1)
    page.locator("#undo-delete").click()
    expect_state(page, "Finished")
    assert wait_for_run(page) == run_id
