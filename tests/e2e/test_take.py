"""A visitor takes home what they like of a generator, and explores it in their own browser."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from e2e.conftest import Visitors
from e2e.test_viewers import turn_to

pytestmark = pytest.mark.browser

PICTURES_OF_A_DRAG = 20
SLOWEST = 1 / 20  # seconds for a picture of 64 px: the best of several, as others use the cores


def turn_to_view(page: Page, name: str) -> None:
    turn_to(page, "Browse")
    page.get_by_role("tab", name=name).click()


def taken(page: Page, kind: str) -> tuple[str, bytes]:
    """Name and content of a download."""
    with page.expect_download(timeout=60_000) as begun:
        page.locator(f"#take-{kind}").click()
    return begun.value.suggested_filename, Path(begun.value.path()).read_bytes()


def test_everything_can_be_taken_home(page: Page):
    turn_to_view(page, "Take home")
    code = page.locator("#code-onnx")
    expect(code).to_contain_text('InferenceSession("ganlab-avatars64.onnx")')
    page.locator("#take-n input").fill("10")
    expected = {
        "pictures": ("ganlab-avatars64-seed1-pictures.zip", b"PK\x03\x04", 20_000),
        "sheet": ("ganlab-avatars64-sheet1.png", b"\x89PNG", 50_000),
        "onnx": ("ganlab-avatars64.onnx", b"\x08\x08", 9_000_000),
        "safetensors": ("ganlab-avatars64.safetensors", b"", 9_000_000),
        "zip": ("ganlab-avatars64.zip", b"PK\x03\x04", 9_000_000),
    }
    for kind, (name, begins, least) in expected.items():
        found, content = taken(page, kind)
        assert found == name
        assert content.startswith(begins) and least < len(content) < 2 * least + 10_000_000
        expect(page.locator(f"#told-{kind}")).to_contain_text(re.compile(rf"{name}, [\d.]+ MB"))
    page.locator("#take-n input").fill("5000")
    page.locator("#take-pictures").click()
    expect(page.get_by_text("give a whole number from 1 to 1,000")).to_be_visible()

    page.get_by_role("combobox", name="Head").click()
    page.get_by_role("option", name="micah").click()
    expect(code).to_contain_text("[0, 1, 0, 0, 0]")
    page.locator("#take-seconds input[type=number]").fill("1")
    page.locator("#take-film").click()
    video = page.locator("#walk-film video")
    expect(video).to_be_visible(timeout=60_000)
    page.wait_for_function("document.querySelector('#walk-film video').duration > 0.9")
    link = page.locator("#walk-film a")
    expect(link).to_have_attribute("download", "ganlab-avatars64-walk.mp4")


@pytest.mark.alone
def test_the_generator_runs_in_the_browser(visit: Visitors, measured: Callable[..., None]):
    page = visit()
    turn_to_view(page, "Explorer")
    page.locator("#explore-start").click()
    stage = page.locator(".gl-explorer")
    expect(stage.locator("figcaption")).to_contain_text("Ready", timeout=60_000)
    expect(stage.get_by_role("slider")).to_have_count(5)

    def picture() -> str:
        return stage.locator("canvas").evaluate("canvas => canvas.toDataURL()")

    def expect_another(act: Callable[[], object]) -> None:
        before = picture()
        act()
        page.wait_for_function(
            "before => document.querySelector('.gl-explorer canvas').toDataURL() !== before",
            arg=before,
        )

    pad = stage.get_by_role("application")
    expect_another(lambda: pad.press("ArrowRight"))
    expect_another(lambda: pad.click(position={"x": 200, "y": 60}))
    expect_another(lambda: stage.get_by_role("slider", name="micah").press("End"))
    expect(stage.locator("output")).to_have_text(["50 %", "50 %", "0 %", "0 %", "0 %"])
    expect_another(stage.get_by_role("button", name="New place").click)

    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate("""() => {
      const stage = document.querySelector('.gl-explorer');
      window.times = [];
      new MutationObserver(() => window.times.push(+stage.dataset.ms))
        .observe(stage, {attributeFilter: ['data-ms']});
    }""")
    began = time.monotonic()
    stage.get_by_role("button", name="Wander").click()
    page.wait_for_function(f"window.times.length > {PICTURES_OF_A_DRAG}", timeout=60_000)
    seconds = time.monotonic() - began
    times = page.evaluate("window.times")
    measured("Explorer, a picture of 64 px: the best", min(times) / 1000)
    measured("Explorer, a picture of 64 px: from one to the next", seconds / len(times))
    assert min(times) / 1000 < SLOWEST
    # But for the page's tick, once a second, the server hears nothing.
    assert len(asked) <= 2 * seconds + 4

    # Another seed moves the explorer there, another generator ends it.
    stage.get_by_role("button", name="Wander").click()
    expect_another(page.locator("#browse-after").click)
    page.get_by_role("combobox", name="Generator").click()
    page.get_by_role("option", name=re.compile("fashion32")).click()
    expect(page.locator("#explore-start")).to_be_visible()
    expect(stage.locator("canvas")).to_have_count(0)
