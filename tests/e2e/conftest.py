"""The app as visitors have it: `python app.py` in a process of its own, pages in a real Chromium.

- Nothing may leave the machine. The server and the browser get a proxy where nobody listens, and a
  page's request to another host fails the test, as does any error in the page's console.
- The server trains on one thread, so that the browser has a core to itself.
- One worker trains all runs: whatever a test leaves under way is stopped before the next one.
- A window is used by several tests, so that gradio's scripts need not be fetched and compiled for
  each: between two of them it forgets everything else (cookies, the browser's storage).
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from chromium import find_chromium
from conftest import make_known
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)
from served import NOBODY_LISTENS, Server

# Of the requests that a browser can make, those to another machine.
ELSEWHERE = re.compile(r"^(?!data:|blob:|about:|(https?|wss?)://(127\.0\.0\.1|localhost)[:/])")
GOODBYE = "this page goes away"
SAYS_GOODBYE = f"addEventListener('beforeunload', () => console.info('{GOODBYE}'))"
BROKEN_OFF = re.compile("AbortError: signal is aborted|Unexpected error")  # gradio's client
DESKTOP = {"width": 1440, "height": 900}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
    "device_scale_factor": 2,
}
# Nobody is promised anything by these: they end what hangs, also on a machine that is busy.
PATIENCE_MS = 60_000

expect.set_options(timeout=PATIENCE_MS)
_measured: list[object] = []
_failed = pytest.StashKey[bool]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _measured:
        terminalreporter.section("measured in the browser")
        for line in _measured:
            terminalreporter.line(str(line))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "teardown":  # has come here, from whichever process ran the test
        _measured.extend(what for name, what in report.user_properties if name == "measured")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.failed:
        item.stash[_failed] = True
    return report


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Notes a figure for the summary: `measured("Start to first grid", 1.2)`, in seconds."""
    beside = ", with other tests beside it" if "PYTEST_XDIST_WORKER" in os.environ else ""

    def note(what: str, figure: float, unit: str = "s") -> None:
        digits = 2 if unit == "s" else 0
        line = f"{what}: {figure:.{digits}f} {unit}{beside}"
        request.node.user_properties.append(("measured", line))

    return note


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = find_chromium()
    if path is None:
        reason = "no Chromium here: install one, or name it in the environment variable CHROMIUM"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-gpu", f"--proxy-server={NOBODY_LISTENS}"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    if "PYTEST_XDIST_WORKER" in os.environ:
        make_known(server.home)
    server.start()
    yield server
    server.kill()


@dataclass
class Guard:
    """What a page must not do."""

    went_elsewhere: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    is_leaving: bool = False

    def watch(self, context: BrowserContext) -> None:
        context.add_init_script(SAYS_GOODBYE)
        context.on("request", lambda request: self._note_address(request.url))
        context.on("weberror", lambda error: self._note_error(str(error.error)))
        context.on("console", self._note_message)
        context.on("page", self._watch_page)

    def _watch_page(self, page: Page) -> None:
        page.on("websocket", lambda websocket: self._note_address(websocket.url))
        page.on("domcontentloaded", lambda: setattr(self, "is_leaving", False))

    def _note_address(self, url: str) -> None:
        if ELSEWHERE.match(url):
            self.went_elsewhere.append(url)

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.text == GOODBYE:
            self.is_leaving = True
        elif message.type == "error":
            self._note_error(f"{message.text} ({message.location.get('url')})")

    def _note_error(self, text: str) -> None:
        """But for the errors of a page that goes away: gradio's client calls what it then breaks
        off an error, which nobody sees."""
        if not (self.is_leaving and BROKEN_OFF.search(text)):
            self.errors.append(text)

    def forget(self) -> None:
        self.went_elsewhere, self.errors, self.is_leaving = [], [], False

    def check(self) -> None:
        assert self.went_elsewhere == []
        assert self.errors == []


class Windows:
    """The browser's windows, each with a memory of its own. What a test returns is given out again,
    empty but for its HTTP cache."""

    def __init__(self, browser: Browser):
        self.guard = Guard()
        self._browser = browser
        self._options: dict[BrowserContext, str] = {}
        self._free: dict[str, list[Page]] = {}

    def take(self, **options) -> Page:
        """An empty page in a window that nobody else has."""
        key = repr(sorted(options.items()))
        if self._free.get(key):
            return self._free[key].pop()
        context = self._browser.new_context(
            **{"viewport": DESKTOP, "accept_downloads": True, "service_workers": "block", **options}
        )
        context.set_default_timeout(PATIENCE_MS)
        self.guard.watch(context)
        self._options[context] = key
        return context.new_page()

    def put_back(self, context: BrowserContext, origins: set[str]) -> None:
        """Its pages close, and what those of these origins have stored is forgotten."""
        for page in context.pages:
            page.close()
        context.clear_cookies()
        page = context.new_page()
        session = context.new_cdp_session(page)
        for origin in origins:
            forget = {"origin": origin, "storageTypes": "all"}
            session.send("Storage.clearDataForOrigin", forget)
        session.detach()
        self._free.setdefault(self._options[context], []).append(page)


@pytest.fixture(scope="session")
def windows(browser: Browser) -> Windows:
    return Windows(browser)


@dataclass
class Visitors:
    """Opens browser windows, each a visitor with a memory of their own."""

    windows: Windows
    url: str
    contexts: list[BrowserContext] = field(default_factory=list)
    origins: set[str] = field(default_factory=set)

    @property
    def guard(self) -> Guard:
        return self.windows.guard

    def __call__(self, address: str = "", **options) -> Page:
        """A new visitor's page, loaded."""
        page = self.windows.take(**options)
        self.contexts.append(page.context)
        page.goto(address or self.url)
        self.origins.add(page.evaluate("location.origin"))
        page.locator("#start").wait_for(state="attached")  # the address may open another tab
        return page

    def pages(self) -> list[Page]:
        return [page for context in self.contexts for page in context.pages]

    def leave(self, for_good: bool) -> None:
        for context in self.contexts:
            context.close() if for_good else self.windows.put_back(context, self.origins)


@pytest.fixture
def visit(
    request: pytest.FixtureRequest,
    windows: Windows,
    server: Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Visitors]:
    """Opens a page for a new visitor, as often as it is called."""
    visitors = Visitors(windows, server.url)
    windows.guard.forget()
    yield visitors
    failed = request.node.stash.get(_failed, False)
    if failed:
        folder = tmp_path_factory.mktemp("screenshots")
        for number, page in enumerate(visitors.pages()):
            file = folder / f"{request.node.name}-{number}.png"
            page.screenshot(path=file, full_page=True)
            print(f"screenshot: {file}")
    try:
        _stop_all(visitors.pages(), server)
    finally:
        visitors.leave(for_good=failed)
    visitors.guard.check()


def _stop_all(pages: list[Page], server: Server) -> None:
    """Ends what a test left under way; by a restart, should a page refuse."""
    end = time.monotonic() + 20
    while pages and not server.is_idle() and time.monotonic() < end:
        for page in pages:
            page.evaluate("document.querySelector('#stop:enabled')?.click()")
        pages[0].wait_for_timeout(200)
    if not server.is_idle():
        server.kill()
        server.start()


@pytest.fixture
def page(visit: Visitors) -> Page:
    """One visitor's page, in its empty state."""
    return visit()
