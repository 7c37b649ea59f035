"""A page that nobody sees asks the server nothing."""

import pytest
from playwright.sync_api import Page, Request, Route, expect

from e2e.visitor import choose_fashion, start, step, wait_for_grid, wait_for_step_above

pytestmark = pytest.mark.browser

# As the browser says it of a tab in the background, which a page of a test never is.
TURN = """is_hidden => {
  const say = (name, value) => Object.defineProperty(
    document, name, {get: () => value, configurable: true});
  say("hidden", is_hidden);
  say("visibilityState", is_hidden ? "hidden" : "visible");
  document.dispatchEvent(new Event("visibilitychange"));
}"""

CLICKS = """window.gradio_config.dependencies
  .filter(each => each.targets.some(([_, event]) => event == "click")).map(each => each.id)"""


@pytest.mark.alone
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


@pytest.mark.alone
def test_who_comes_back_gets_news_at_once(page: Page):
    clicks = page.evaluate(CLICKS)
    asked: list[int] = []
    page.on("request", lambda request: asked.append(request.post_data_json["fn_index"]))
    page.evaluate(TURN, True)
    page.wait_for_timeout(3000)  # for what a page asks first
    asked.clear()
    page.evaluate(TURN, False)
    page.wait_for_timeout(700)
    assert len([n for n in asked if n in clicks]) == 2  # of a run and of the server: no timer's


def test_a_tab_turns_before_the_server_answers(page: Page):
    run, browse = page.locator("#empty"), page.locator("#browse-panel")
    expect(run).to_be_visible()
    held: list[Route] | None = []
    page.route(
        "**/run/predict",
        lambda route: route.continue_() if held is None else held.append(route),
    )
    page.get_by_role("tab", name="Browse").click()
    expect(browse).to_be_visible()
    page.get_by_role("tab", name="Train", exact=True).click()
    expect(run).to_be_visible()
    answered, held = held, None
    assert answered
    for route in answered:
        route.continue_()
    page.wait_for_timeout(1500)  # for the answers
    expect(run).to_be_visible()
    expect(browse).to_be_hidden()


@pytest.mark.alone
def test_a_page_with_a_run_asks_once_a_second_and_without_one_seldom(page: Page):
    asked: list[bool] = []
    page.on("request", lambda request: asked.append("/run/predict" in request.url))
    page.wait_for_timeout(3000)  # for what a page asks first
    asked.clear()
    page.wait_for_timeout(9000)
    assert 1 <= sum(asked) <= 4

    choose_fashion(page)
    start(page)
    wait_for_grid(page)
    asked.clear()
    page.wait_for_timeout(6000)
    assert sum(asked) >= 4
