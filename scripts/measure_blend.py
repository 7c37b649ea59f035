"""Measures what the README says of the Blend tab: from a slider's move to the new pictures.

    python -m scripts.measure_blend          # about a minute

Starts the app in a folder of its own, opens Blend in a real browser on the same machine, and moves
a slider again and again: first with nothing else to do, then while the quick preset trains. A
picture counts once it is decoded.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

from playwright.sync_api import Page, sync_playwright

from scripts.measure_page import REPOSITORY, find_chromium, wait_for

MOVE = """async (value) => {
  const slider = document.querySelector("#mixer input[type=range]");
  const place = document.querySelector("#blend-picture"), image = () => place.querySelector("img");
  const before = image().src, began = performance.now();
  const changed = new Promise((go) => {
    const watcher = new MutationObserver(() => {
      if (image() && image().src !== before) { watcher.disconnect(); go(); }
    });
    watcher.observe(place, {subtree: true, childList: true, attributes: true});
  });
  slider.value = value;
  slider.dispatchEvent(new Event("input", {bubbles: true}));
  await changed;
  await image().decode();
  return performance.now() - began;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moves", type=int, default=40, help="of the slider (default: 40)")
    parser.add_argument("--port", type=int, default=7872)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        url = f"http://127.0.0.1:{args.port}"
        env = {**os.environ, "GANLAB_HOME": home, "GRADIO_SERVER_PORT": str(args.port)}
        app = subprocess.Popen([sys.executable, "app.py"], cwd=REPOSITORY, env=env)
        try:
            wait_for(url)
            flags = ["--no-sandbox", "--disable-gpu"]
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=flags)
            page = open_blend(browser.new_page(), url)
            tell("idle", times(page, args.moves))
            trainer = browser.new_page()
            trainer.goto(url)
            trainer.get_by_role("spinbutton", name="Train for").fill("600")
            trainer.locator("#begin").click()
            trainer.wait_for_selector("#grid img")
            trainer.close()
            tell("while a training runs", times(page, args.moves))
            browser.close()
        finally:
            app.terminate()
            app.wait(20)


def open_blend(page: Page, url: str) -> Page:
    page.goto(url)
    page.wait_for_timeout(8000)  # for what a first start prepares
    page.get_by_role("tab", name="Blend").click()
    page.wait_for_selector("#blend-picture img")
    page.wait_for_timeout(1000)
    return page


def times(page: Page, moves: int) -> list[float]:
    """Milliseconds of each move."""
    return [page.evaluate(MOVE, 5 + 90 * (i % 2) - i % 5) for i in range(moves)]


def tell(when: str, spent: list[float]) -> None:
    slow = sorted(spent)[int(0.95 * len(spent))]
    median = statistics.median(spent)
    print(f"slider to 36 new pictures, {when}: median {median:.0f} ms, 95 % within {slow:.0f} ms")


if __name__ == "__main__":
    main()
