"""A page that nobody sees asks the server nothing."""

import pytest
from playwright.sync_api import Page, Request, expect

from e2e.visitor import choose_fashion, start, step, wait_for_grid, wait_for_step_above

pytestmark = pytest.mark.browser

# As the browser says it of a tab in the background, which a page of a test never is.
TURN = """is_hidden => {
  Object.defineProperty(document, "hidden", {get: () => is_hidden, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_a_tab_in_the_background_rests_and_catches_up_when_it_is_seen_again(page: Page):
    choose_fashion(page)
    start(page)
    wait_for_grid(page)
    page.evaluate(TURN, True)
    page.wait_for_timeout(1500)  # for a tick that is under way
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request))
    before = step(page)
    page.wait_for_timeout(3500)
    assert asked == [] and step(page) == before

    page.evaluate(TURN, False)
    wait_for_step_above(page, before)
    expect(page.locator("#footer")).to_contain_text("1 run trains")
