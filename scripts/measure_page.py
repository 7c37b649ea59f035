"""Measures what the README says of the page: what it costs browser and server, and a training.

    python scripts/measure_page.py          # about three minutes

Starts the app in a folder of its own, trains the quick preset, and compares the training's speed
with no page open and with three, in turns. A tick is the page's once-a-second question whether
anything changed, sent again and again from one connection.
"""

import argparse
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, Request, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # what finds the browser there, too
from chromium import find_chromium

REPOSITORY = Path(__file__).parents[1]
PAGES = 3
TICKS = 200
LOADS = 7
WATCHED_SECONDS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=15, help="of each stretch (default: 15)")
    parser.add_argument("--rounds", type=int, default=3, help="of both stretches (default: 3)")
    parser.add_argument("--port", type=int, default=7871)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        url = f"http://127.0.0.1:{args.port}"
        env = {**os.environ, "GANLAB_HOME": home, "GRADIO_SERVER_PORT": str(args.port)}
        began = time.monotonic()
        app = subprocess.Popen([sys.executable, "app.py"], cwd=REPOSITORY, env=env)
        try:
            wait_for(url)
            print(f"command to page: {time.monotonic() - began:.1f} s")
            measure(url, Path(home), args.seconds, args.rounds)
        finally:
            app.terminate()
            app.wait(20)


def wait_for(url: str) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(url, timeout=5).read()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the app did not answer within a minute")


def measure(url: str, home: Path, seconds: float, rounds: int) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        visitor = browser.new_context()  # keeps the owner's token, whichever page is open
        page = visitor.new_page()
        ticks: list[Request] = []
        time_loads(visitor, url)
        page.goto(url)
        page.get_by_role("spinbutton", name="Train for").fill(str(3 * seconds * rounds + 120))
        began = time.monotonic()
        page.locator("#begin").click()
        page.wait_for_selector("#grid img")
        print(f"Start to first grid: {time.monotonic() - began:.2f} s")
        run_url, run = page.url, next((home / "runs").glob("*/run.json")).parent
        page.on("request", lambda request: ticks.append(request) if request.post_data else None)
        page.wait_for_timeout(3000)
        print(f"a page that watches a run: its main thread is busy {busy_share(page):.0%}")
        page.close()
        compare(visitor, ticks[-1], run_url, run, seconds, rounds)
        page = open_page(visitor, run_url)
        began = time.monotonic()
        page.locator("#stop").click()
        page.wait_for_selector(".gl-stopped")
        print(f"Stop to stopped: {time.monotonic() - began:.2f} s")
        time_ticks(ticks[-1])
        browser.close()


def time_loads(visitor: BrowserContext, url: str) -> None:
    """From the address to a form that can be used; the first time all has to be fetched."""
    spent = []
    for _ in range(LOADS):
        page = visitor.new_page()
        began = time.perf_counter()
        page.goto(url)
        page.locator("#start:enabled").wait_for()
        spent.append(time.perf_counter() - began)
        page.wait_for_timeout(500)
        page.close()
    again = statistics.median(spent[1:])
    print(f"a page opens in {spent[0]:.2f} s, and again in {again:.2f} s (median of {LOADS - 1})")


def busy_share(page: Page) -> float:
    """Of the time, that in which the page's main thread works."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def busy() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return next(each["value"] for each in metrics if each["name"] == "TaskDuration")

    before = busy()
    page.wait_for_timeout(1000 * WATCHED_SECONDS)
    return (busy() - before) / WATCHED_SECONDS


def open_page(visitor: BrowserContext, url: str) -> Page:
    page = visitor.new_page()
    page.goto(url)
    page.wait_for_selector("#grid img")
    return page


def compare(
    visitor: BrowserContext, tick: Request, url: str, run: Path, seconds: float, rounds: int
) -> None:
    """Without pages; with what three pages on other machines ask; with three in a browser here."""
    alone, asked, watched = [], [], []
    for _ in range(rounds):
        alone.append(speed(run, seconds))
        done = threading.Event()
        threads = [threading.Thread(target=ask, args=(tick, done)) for _ in range(PAGES)]
        for thread in threads:
            thread.start()
        asked.append(speed(run, seconds))
        done.set()
        pages = [open_page(visitor, url) for _ in range(PAGES)]
        watched.append(speed(run, seconds))
        for page in pages:
            page.close()
    base = statistics.median(alone)
    print(f"images/s with no page: {base:.0f}")
    for name, speeds in (("on other machines", asked), ("in a browser on these cores", watched)):
        print(f"with {PAGES} pages {name}: {statistics.median(speeds) / base:.0%} of that")


def ask(tick: Request, done: threading.Event) -> None:
    """Ticks once a second as a page that has seen nothing, so that it is sent everything."""
    while not done.wait(1.0):
        send({**tick.post_data_json, "session_hash": secrets.token_hex(8)}, tick.url)


def send(body: dict, url: str) -> None:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=10).read()


def speed(run: Path, seconds: float) -> float:
    """Images per second that the run logs from now on."""
    lines = (run / "metrics.jsonl").read_text().count("\n")
    time.sleep(seconds)
    logged = (run / "metrics.jsonl").read_text().splitlines()[lines + 1 :]
    return statistics.median(json.loads(line)["images_per_second"] for line in logged)


def time_ticks(tick: Request) -> None:
    """Sends a page's last tick again: the answer is that nothing changed."""
    spent = []
    for _ in range(TICKS):
        began = time.perf_counter()
        send(tick.post_data_json, tick.url)
        spent.append(time.perf_counter() - began)
    print(f"a tick: {1000 * statistics.median(spent):.1f} ms (median of {TICKS})")


if __name__ == "__main__":
    main()
