"""What a visitor does on the page and reads off it."""

import re
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, expect

SECTIONS = ("Advanced settings", "The same in the shell", "Your runs")


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


def expect_state(page: Page, word: str, seconds: float = 30) -> None:
    expect(page.locator("#state .gl-chip")).to_have_text(word, timeout=1000 * seconds)


def wait_for_grid(page: Page, seconds: float = 30) -> None:
    page.locator("#grid img").wait_for(timeout=1000 * seconds)


def step(page: Page) -> int:
    """The step counter."""
    return int(page.locator("#facts dd").first.inner_text().replace(",", ""))


def wait_for_step_above(page: Page, n: int, seconds: float = 30) -> None:
    page.wait_for_function(
        "n => +document.querySelector('#facts dd').innerText.replaceAll(',', '') > n",
        arg=n,
        timeout=1000 * seconds,
    )


def grid_step(page: Page) -> int:
    """The step of the grid that is shown."""
    alt = page.locator("#grid img").get_attribute("alt")
    return int(re.search(r"(\d+)$", alt)[1])
