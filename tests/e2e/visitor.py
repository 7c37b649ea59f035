"""What a visitor does on the page and reads off it."""

import re
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, expect

SECTIONS = ("Advanced settings", "The same in the shell", "Your runs")

# Contrast (WCAG 2) of each visible text that a selector finds, against what is painted behind it;
# 0 while it finds none.
CONTRAST = """selector => {
  const context = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgba = (css, filter) => {
    context.clearRect(0, 0, 1, 1);
    context.filter = filter || "none";
    context.fillStyle = css;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, alpha, below) => below.map((v, i) => top[i] * alpha + v * (1 - alpha));
  const luminance = colour => {
    const [r, g, b] = colour.map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const texts = [...document.querySelectorAll(selector)].filter(e => e.checkVisibility());
  return texts.length && texts.map(element => {
    const above = [];
    for (let e = element; e; e = e.parentElement) above.unshift(getComputedStyle(e));
    const filterOf = i => above.slice(0, i + 1).reverse().map(style => style.filter)
      .filter(filter => filter != "none").join(" ");
    let paper = [255, 255, 255], opacity = 1;
    for (const [i, style] of above.entries()) {
      opacity *= style.opacity;
      const fill = rgba(style.backgroundColor, filterOf(i));
      paper = over(fill, fill[3] * opacity, paper);
    }
    const style = getComputedStyle(element);
    const colour = style.fill != "rgb(0, 0, 0)" && element.closest("svg")
      ? style.fill : style.color;
    const ink = rgba(colour, filterOf(above.length - 1));
    const [light, dark] = [luminance(over(ink, ink[3] * opacity, paper)), luminance(paper)]
      .sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  });
}"""


def choose_data(page: Page, title: str) -> None:
    page.get_by_role("combobox", name="Data set").click()
    page.get_by_role("option", name=title).first.click()
    expect(page.get_by_role("combobox", name="Data set")).to_have_value(re.compile(title))


def choose_fashion(page: Page, tasks: tuple[str, ...] = ()) -> None:
    """The quickest data set; with `tasks`, no others stay ticked."""
    page.get_by_role("combobox", name="Data set").click()
    page.get_by_role("option", name="Fashion", exact=True).click()
    expect(page.get_by_role("checkbox", name="trouser")).to_be_checked()
    for box in page.locator("#tasks").get_by_role("checkbox").all() if tasks else ():
        if box.get_attribute("name") not in tasks:
            box.uncheck()


def train_for(page: Page, amount: float | str, unit: str = "seconds") -> None:
    page.get_by_role("radio", name=unit).check()
    page.get_by_role("spinbutton", name="Train for").fill(str(amount))


def open_section(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()


def start(page: Page) -> str:
    """Presses Start; gives the run's id once the address shows it."""
    page.get_by_role("button", name="Start", exact=True).click()
    return wait_for_run(page)


def wait_for_run(page: Page) -> str:
    page.wait_for_url(re.compile(r"[?&]run=."))
    return run_in_address(page)


def run_in_address(page: Page) -> str:
    return parse_qs(urlsplit(page.url).query).get("run", [""])[0]


def turn(page: Page, scheme: str) -> None:
    """Turns the page light or dark, as the visitor's whole machine may do at any time."""
    page.emulate_media(color_scheme=scheme)
    page.wait_for_function(
        "dark => document.body.classList.contains('dark') == dark", arg=scheme == "dark"
    )


def contrasts(page: Page, selector: str) -> list[float]:
    """The contrasts of the texts that the selector finds, waited for: many come with an answer, and
    what was dim until it came takes a moment."""
    before, now = None, []
    while now != before:
        before, now = now, page.wait_for_function(CONTRAST, arg=selector).json_value()
        page.wait_for_timeout(200)
    return now


def expect_state(page: Page, word: str, seconds: float = 60) -> None:
    expect(page.locator("#state .gl-chip")).to_have_text(word, timeout=1000 * seconds)


def wait_for_grid(page: Page, seconds: float = 60) -> None:
    page.locator("#grid img").wait_for(timeout=1000 * seconds)


def step(page: Page) -> int:
    """The step counter."""
    return int(page.locator("#facts dd").first.inner_text().replace(",", ""))


def wait_for_step_above(page: Page, n: int, seconds: float = 60) -> None:
    page.wait_for_function(
        "n => +document.querySelector('#facts dd').innerText.replaceAll(',', '') > n",
        arg=n,
        timeout=1000 * seconds,
    )


def grid_step(page: Page) -> int:
    """The step of the grid that is shown."""
    alt = page.locator("#grid img").get_attribute("alt")
    return int(re.search(r"(\d+)$", alt)[1])
