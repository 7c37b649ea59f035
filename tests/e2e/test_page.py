"""Who is there and with what: reloads, links, a second visitor, a restart, phones, keyboards,
screen readers, light and dark."""

import re

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from e2e.conftest import PHONE, Server, Visitors
from e2e.visitor import (
    SECTIONS,
    choose_fashion,
    contrasts,
    expect_state,
    open_section,
    run_in_address,
    start,
    step,
    train_for,
    wait_for_grid,
    wait_for_run,
    wait_for_step_above,
)

pytestmark = pytest.mark.browser

# Sends what a press of Stop sends, with tokens of our own making, and gives the answer.
POST_STOP = """async ([run, tokens]) => {
  const {components, dependencies} = window.gradio_config;
  const stop = components.find(c => c.props.elem_id == "stop").id;
  const fn = dependencies.find(d => d.targets.some(([id, on]) => id == stop && on == "click"));
  const session_hash = Math.random().toString(36).slice(2);
  await fetch("gradio_api/queue/join", {
    method: "POST",
    headers: {"Content-Type": "application/json"},
    body: JSON.stringify({data: [run, {run, tokens}], fn_index: fn.id, session_hash}),
  });
  const answers = new EventSource(`gradio_api/queue/data?session_hash=${session_hash}`);
  const answer = await new Promise(resolve => answers.onmessage = event => {
    const message = JSON.parse(event.data);
    if (message.msg == "process_completed") resolve(message);
  });
  answers.close();
  return [answer.success, answer.output.error];
}"""

# Who reads an event through a wrapper gets it with the wrapper as `this`.
COUNT_READERS_OF_EVENTS = """
let config;
window.direct = window.wrapped = 0;
Object.defineProperty(window, "gradio_config", {
  get: () => config,
  set(given) {
    config = given;
    for (const event of given.dependencies) {
      let {targets} = event;
      Object.defineProperty(event, "targets", {
        get() { this === event ? direct++ : wrapped++; return targets; },
        set(others) { targets = others; },
        enumerable: true,
      });
    }
  },
});
"""

# How often the size of an element is told: while it is in the page, and when it has left it.
TELLS_SIZES = """async () => {
  const box = document.body.appendChild(document.createElement("div"));
  const frames = async () => {
    for (let i = 0; i < 4; i++) await new Promise(requestAnimationFrame);
  };
  let told = 0;
  new ResizeObserver(() => told++).observe(box);
  await frames();
  const before = told;
  box.remove();
  await frames();
  return [before, told];
}"""

# Whether a box around what has the focus cuts off a part of its outline, more than half a pixel.
IS_CUT = """() => {
  const element = document.activeElement, style = getComputedStyle(element);
  const beyond = parseFloat(style.outlineOffset) + parseFloat(style.outlineWidth) - 0.5;
  const {left, right, top, bottom} = element.getBoundingClientRect();
  for (let box = element.parentElement; box != document.body; box = box.parentElement) {
    const edges = box.getBoundingClientRect(), {overflowX, overflowY} = getComputedStyle(box);
    const isNarrow = left - beyond < edges.left || right + beyond > edges.right;
    const isLow = top - beyond < edges.top || bottom + beyond > edges.bottom;
    if ((overflowX != "visible" && isNarrow) || (overflowY != "visible" && isLow)) return true;
  }
  return false;
}"""

EMPTY_TEXTS = (
    "[role=tab]",
    ".gl-header h1",
    ".gl-header p",
    ".gl-data p",
    ".gl-data .gl-meta",
    "#tasks [data-testid=block-info]",
    "#tasks .info-text, #tasks [class*=info]",
    "#tasks label.selected span",
    "#tasks label:not(.selected) span",
    "#preset label span",
    ".gl-note",
    "#amount input",
    "#start",
    "#begin",
    "#estimate p",
    "#advanced > button",
    ".gl-empty h2",
    ".gl-empty p",
    ".gl-empty .gl-g",
    ".gl-empty .gl-d",
    "#command .cm-line span",
)
RUN_TEXTS = (
    ".gl-chip",
    ".gl-title",
    ".gl-facts dt",
    ".gl-facts dd",
    "#stop",
    ".gl-grid figcaption",
    ".gl-labels span",
    "#moment .info-text, #moment [class*=info]",
    "#moment .min_value",
    ".gl-plot-head",
    ".gl-plot-head small",
    "#losses svg text",
)
TAKE_TEXTS = (
    "[role=tab]",
    "#code-onnx .cm-line",
    "#code-onnx .cm-line span",
    "#browse-panel .gl-note",
)
# Browsers that keep nothing, or something else.
ODD_STORAGE = {
    "full": """Storage.prototype.setItem = () => {
      throw new DOMException("", "QuotaExceededError"); }""",
    "forbidden": """Object.defineProperty(window, "localStorage", {
      get() { throw new DOMException("", "SecurityError"); }})""",
    "broken": """localStorage.setItem("ganlab.runs", '{"run": "');
      localStorage.setItem("ganlab.favourites", "[1]")""",
    "of another shape": """localStorage.setItem("ganlab.runs", JSON.stringify(
      {run: {}, tokens: ["x"], deleted: 7, pictures: [1]}))""",
}
CHIPS = ("queued", "running", "stopping", "stopped", "finished", "failed", "interrupted")


def test_a_reload_finds_the_run_again(page: Page):
    choose_fashion(page)
    run_id = start(page)
    wait_for_grid(page)
    wait_for_step_above(page, 0)
    before = step(page)
    page.reload()
    wait_for_grid(page)
    expect_state(page, "Learning")
    assert run_in_address(page) == run_id
    assert step(page) >= before
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(page.get_by_role("checkbox", name="trouser")).to_be_checked()  # the form shows the run

    held: list[Route] | None = []
    page.route(
        "**/run/predict",
        lambda route: route.continue_() if held is None else held.append(route),
    )
    page.goto(page.url.split("?")[0])  # not even the address is needed
    expect(page.locator("#empty")).to_be_visible()
    expect(page.locator("#begin")).to_be_hidden()  # until it is known that there is a run
    waiting, held = held, None
    for route in waiting:
        route.continue_()
    wait_for_grid(page)
    assert run_in_address(page) == run_id
    page.unroute_all()


def test_two_windows_of_a_browser_lose_none_of_each_others_runs(page: Page):
    windows = page, page.context.new_page()
    windows[1].goto(page.url)
    runs = set()
    for window in windows:
        window.bring_to_front()  # one behind hardly moves
        choose_fashion(window, ("bag",))
        train_for(window, 5, "steps")
        runs.add(start(window))
    for window in windows:
        window.bring_to_front()
        window.reload()
        open_section(window, "Your runs")
        listed = window.locator("#runs").get_by_role("radio")
        expect(listed).to_have_count(2)
        assert {radio.input_value() for radio in listed.all()} == runs


@pytest.mark.parametrize("storage", ODD_STORAGE)
def test_a_browser_that_keeps_nothing_for_us_shows_its_visitors_run(page: Page, storage: str):
    page.add_init_script(ODD_STORAGE[storage])
    page.reload()
    choose_fashion(page, ("bag",))
    start(page)
    wait_for_grid(page)
    page.get_by_role("button", name="Stop").click()  # which only its owner has
    expect_state(page, "Stopped")


def test_a_link_shows_the_run_to_others_who_cannot_stop_it(
    visit: Visitors, page: Page, server: Server
):
    choose_fashion(page)
    run_id = start(page)
    wait_for_grid(page)

    watcher = visit(page.url)
    wait_for_grid(watcher)
    expect_state(watcher, "Learning")
    assert run_in_address(watcher) == run_id
    for name in ("Stop", "Resume", "Train longer"):
        expect(watcher.get_by_role("button", name=name)).not_to_be_visible()

    for tokens in ({}, {run_id: "guessed"}, {run_id: None}, [], None):
        success, error = watcher.evaluate(POST_STOP, [run_id, tokens])
        assert not success
        assert error == "Only the browser that started this run can do that"
    wait_for_step_above(watcher, step(watcher) + 3)
    expect_state(watcher, "Learning")
    assert server.state_of(run_id) == "running"

    page.get_by_role("button", name="Stop").click()
    expect_state(watcher, "Stopped")
    expect(watcher.get_by_role("button", name="Resume")).not_to_be_visible()
    expect(watcher.locator("#state")).not_to_contain_text("Resume")


@pytest.mark.parametrize(
    ("run", "why", "device"),
    [
        ("AAAAAAAAAAAAAAAA", "There is no such run here: it may have been deleted.", PHONE),
        ("..%2F..%2Fetc", "This is not the id of a run.", {}),
        ("%3Cimg%20src=x%3E", "This is not the id of a run.", {}),
    ],
)
def test_a_link_to_no_run_shows_the_empty_state_and_a_hint(
    visit: Visitors, server: Server, run: str, why: str, device: dict
):
    page = visit(f"{server.url}/?run={run}", **device)
    expect(page.get_by_text(why)).to_be_in_viewport()
    expect(page.get_by_role("button", name="Begin")).to_be_visible()
    expect(page.locator("#state")).not_to_be_visible()
    expect(page).to_have_url(re.compile(r"/$"))


def test_a_second_visitor_waits_in_line_and_disturbs_nobody(visit: Visitors, page: Page):
    choose_fashion(page)
    start(page)
    wait_for_grid(page)

    second = visit()
    choose_fashion(second, ("bag",))
    train_for(second, 20, "steps")
    start(second)
    expect_state(second, "Waiting")
    line = second.locator("#state")
    expect(line).to_contain_text(
        re.compile(r"Place 1 in the queue\. Starts in about \d+ (min( \d+ s)?|s)\.")
    )
    expect(second.locator("#grid")).to_have_text("Not begun yet")
    expect(second.get_by_role("button", name="Stop")).to_be_visible()

    wait_for_step_above(page, step(page))
    expect_state(page, "Learning")
    expect_state(second, "Waiting")
    page.get_by_role("button", name="Stop").click()
    expect_state(page, "Stopped")
    expect_state(second, "Finished", 60)
    assert step(second) == 20


def test_a_killed_server_leaves_an_interrupted_run_that_resumes(
    visit: Visitors, page: Page, server: Server
):
    choose_fashion(page)
    run_id = start(page)
    wait_for_grid(page)
    wait_for_step_above(page, 5)
    page.get_by_role("button", name="Stop").click()  # saves a snapshot
    expect_state(page, "Stopped")
    saved = step(page)
    page.get_by_role("button", name="Resume").click()
    wait_for_step_above(page, saved + 5)

    server.kill()
    newest = server.snapshots_of(run_id)[-1]  # a machine that is busy has saved it once more
    assert newest >= saved
    expect(page.get_by_text("Connection to the server was lost")).to_be_visible()
    server.start()
    expect_state(page, "Interrupted", 60)  # the page comes back by itself
    visit.guard.errors.clear()  # no server, no answer
    page.reload()
    expect_state(page, "Interrupted")
    assert run_in_address(page) == run_id
    state = page.locator("#state")
    expect(state).to_contain_text("The server stopped while this run was under way.")
    expect(state).to_contain_text(f"Saved up to step {newest:,}. Resume goes on from there.")
    page.get_by_role("button", name="Resume").click()
    expect_state(page, "Learning")
    wait_for_step_above(page, newest + 5)
    curve = server.curve_of(run_id)
    assert curve == sorted(set(curve))


def sideways_scroll(page: Page) -> list[float]:
    """The page's width, the scale of what is seen of it, and how far it can be pushed aside."""
    return page.evaluate(
        """() => {
          window.scrollTo(1000, window.scrollY);
          const pushed = window.scrollX;
          window.scrollTo(0, window.scrollY);
          return [document.documentElement.scrollWidth, visualViewport.scale, pushed];
        }"""
    )


def is_in_order(*parts: Locator) -> None:
    """Each is below the one before."""
    tops = [part.bounding_box()["y"] for part in parts]
    assert tops == sorted(tops)


def test_a_phone_shows_everything_without_scrolling_sideways(visit: Visitors):
    fits = [390, 1, 0]
    page = visit(**PHONE)
    assert sideways_scroll(page) == fits
    page.get_by_role("button", name="Begin").tap(trial=True)

    choose_fashion(page)  # ten tasks
    assert sideways_scroll(page) == fits
    open_section(page, "Advanced settings")
    page.get_by_role("combobox", name="Precision").wait_for()
    open_section(page, "The same in the shell")
    page.locator("#command").get_by_text("--preset").wait_for()
    assert sideways_scroll(page) == fits

    page.get_by_role("button", name="Start", exact=True).tap()
    wait_for_run(page)
    expect(page.locator("#state")).to_be_in_viewport()  # scrolled there by itself
    run, tabs = page.locator("#state"), page.get_by_role("tablist")
    is_in_order(tabs, run, page.locator("#data"))
    wait_for_grid(page)
    page.locator("#norms .mark-line path").first.wait_for()
    assert sideways_scroll(page) == fits
    page.get_by_role("button", name="Stop").tap()
    expect_state(page, "Stopped")
    page.get_by_role("button", name="Start", exact=True).tap(trial=True)
    assert sideways_scroll(page) == fits

    page.get_by_role("tab", name="Transfer").tap()  # whose form comes before another tab's run
    expect(page.locator("#pictures")).to_be_visible()
    is_in_order(tabs, page.locator("#pictures"), run)
    assert sideways_scroll(page) == fits


def tab_to(page: Page, elem_id: str) -> None:
    """Presses Tab until the element has the focus, visibly."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('[id]')?.id") == elem_id:
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none"
            assert not page.evaluate(IS_CUT)
            return
    raise AssertionError(f"Tab does not come to #{elem_id}")


def test_the_keyboard_alone_starts_and_stops_a_run(page: Page):
    started = ""
    for button in ("begin", "start"):
        tab_to(page, button)
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url, old=started: "run=" in url and not (old and old in url))
        started = run_in_address(page)
        wait_for_grid(page)
        tab_to(page, "stop")
        page.keyboard.press("Enter")
        expect_state(page, "Stopped")


@pytest.mark.parametrize("tab", ["Train", "Browse"])
def test_a_list_closes_as_the_keyboard_leaves_it_and_no_outline_is_cut(page: Page, tab: str):
    page.get_by_role("tab", name=tab).click()
    page.locator("#browse-picture img").wait_for(state="visible" if tab == "Browse" else "detached")
    for box in page.get_by_role("combobox").all():
        for key in ("Tab", "Shift+Tab"):
            box.focus()
            expect(box).to_have_attribute("aria-expanded", "true")
            page.keyboard.press(key)
            page.wait_for_timeout(400)  # it would close, and open again
            expect(box).to_have_attribute("aria-expanded", "false")
    page.get_by_role("tab", name=tab).focus()
    for _ in range(12):
        page.keyboard.press("Tab")
        assert not page.evaluate(IS_CUT), page.evaluate("document.activeElement.outerHTML")


def nameless(page: Page) -> list[str]:
    """Controls that a screen reader has no name for, as the browser itself works them out."""
    roles = {"textbox", "spinbutton", "combobox", "checkbox", "radio", "slider", "button", "link"}
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    found = [node for node in nodes if node.get("role", {}).get("value") in roles]
    assert found
    return [str(node) for node in found if not node.get("name", {}).get("value", "").strip()]


def test_a_plot_that_has_left_the_page_hears_of_no_size(page: Page):
    assert page.evaluate(TELLS_SIZES) == [1, 1]


def test_svelte_does_not_wrap_the_pages_events(page: Page):
    page.add_init_script(COUNT_READERS_OF_EVENTS)
    page.reload()
    expect(page.locator("#start")).to_be_enabled()
    direct, wrapped = page.evaluate("[direct, wrapped]")
    assert direct > 1000 and wrapped == 0
    targets = page.evaluate("gradio_config.dependencies.flatMap(event => event.targets)")
    assert targets and all(component is not None for component, _ in targets)


def test_every_control_has_a_name_and_every_picture_a_text(page: Page):
    for section in SECTIONS:
        open_section(page, section)
    page.get_by_role("combobox", name="Precision").wait_for()
    assert nameless(page) == []
    choose_fashion(page)
    start(page)
    wait_for_grid(page)
    page.get_by_role("slider", name="Moment").wait_for()
    assert nameless(page) == []
    pictures = page.locator("img")
    assert pictures.count() == 2
    for picture in pictures.all():
        assert picture.get_attribute("alt")
    expect(page.get_by_role("status").filter(has_text="Learning")).to_be_visible()
    expect(page.get_by_role("progressbar", name="Training")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("ganlab")
    assert page.locator("html").get_attribute("lang")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(visit: Visitors, scheme: str):
    page = visit(color_scheme=scheme)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", paper)[:3])) < 3 * 64) == (scheme == "dark")

    def faint(selectors: tuple[str, ...]) -> dict[str, float]:
        lowest = {}
        for selector in selectors:
            lowest[selector] = round(min(contrasts(page, selector)), 2)
        return {selector: ratio for selector, ratio in lowest.items() if ratio < 4.5}

    open_section(page, "The same in the shell")
    assert faint(EMPTY_TEXTS) == {}
    choose_fashion(page)
    start(page)
    wait_for_grid(page)
    page.locator("#losses .mark-line path").first.wait_for()
    page.get_by_role("slider", name="Moment").wait_for()
    page.mouse.move(0, 0)
    assert faint(RUN_TEXTS) == {}
    page.get_by_role("button", name="Stop").click()
    expect_state(page, "Stopped")
    for state in CHIPS:
        page.evaluate(
            "state => document.querySelector('.gl-state').className = `gl-state gl-${state}`", state
        )
        assert faint((".gl-chip", ".gl-message")) == {}, state

    page.get_by_role("tab", name="Browse").click()
    page.get_by_role("tab", name="Take home").click()
    assert faint(TAKE_TEXTS) == {}
