"""A visitor looks closely at what a generator draws, and keeps what they like."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from e2e.conftest import PHONE, Visitors
from e2e.visitor import choose_fashion, expect_state, start, wait_for_grid

pytestmark = pytest.mark.browser


def open_browse(page: Page) -> None:
    page.get_by_role("tab", name="Browse").click()
    page.locator("#browse-picture img").wait_for(timeout=60_000)


def pick(page: Page, name: str, place: str = "browse-picture") -> None:
    page.locator(f"#{place}").get_by_role("button", name=name, exact=True).click()


def latent(page: Page) -> np.ndarray:
    """The numbers that are shown of the picked sample."""
    text = page.locator("#sample-detail code").text_content()
    return np.array([float(number) for number in text.split(",")])


def expect_another_latent(page: Page, before: np.ndarray) -> np.ndarray:
    first = f"{before[0]:.3f}, {before[1]:.3f},"
    expect(page.locator("#sample-detail code")).not_to_contain_text(first)
    return latent(page)


def test_a_sample_is_looked_at_moved_and_kept(page: Page, visit: Visitors, tmp_path: Path):
    open_browse(page)
    expect(page.locator("#sample-detail")).to_contain_text("Click a sample")
    pick(page, "Sample 3 of micah")
    expect(page.locator("#sample-detail")).to_contain_text(re.compile("micah · 128 numbers"))
    here = latent(page)
    near = page.locator("#sample-near")
    expect(near.get_by_role("img")).to_have_count(5, timeout=60_000)  # reads the data set
    expect(near).to_contain_text(re.compile("(New|Close|Copied).*1,800 training pictures", re.S))
    page.locator("#keep-sample").click()
    kept = page.locator("#favourites-picture .gl-cells > span")
    expect(kept).to_have_count(1)

    page.locator("#more-like-this").click()
    pick(page, "Neighbour 2", "around")
    there = expect_another_latent(page, here)
    assert 0 < np.linalg.norm(there - here) < 0.6 * np.linalg.norm(here)
    pick(page, "The same in pixel-art", "sample-heads")
    expect(page.locator("#sample-detail")).to_contain_text("pixel-art")
    assert np.array_equal(latent(page), there)

    begins, goes = page.locator("#from-here"), page.locator("#goes")
    begins.click()
    expect(goes).to_contain_text("Click the sample to go to")
    begins.click()  # one thinks better of it
    expect(goes).to_have_text("")
    expect(begins).to_have_text("From here to …")
    begins.click()
    page.locator("#browse-after").click()  # which may be of another seed
    expect(page.locator("#browse-picture")).to_contain_text("Seed 2")
    pick(page, "Sample 1 of personas")
    expect(page.locator("#around")).to_contain_text("From here to there")
    expect(goes).to_have_text("")
    end = expect_another_latent(page, there)
    pick(page, "Step 1 of 8", "around")
    expect_another_latent(page, end)
    assert np.allclose(latent(page), there, atol=0.002)
    page.locator("#keep-sample").click()
    expect(kept).to_have_count(2)

    page.reload()
    expect(kept).to_have_count(2, timeout=60_000)
    page.get_by_role("button", name=re.compile("^Remove Favourite 1")).click(force=True)
    expect(kept).to_have_count(1)
    page.locator("#favourites-undo").click()
    expect(kept).to_have_count(2)
    files = []
    for kind in ("json", "png"):
        with page.expect_download() as download:
            page.locator(f"#favourites-{kind}").click()
        files.append(tmp_path / download.value.suggested_filename)
        download.value.save_as(files[-1])
    assert len(json.loads(files[0].read_text())["favourites"]) == 2

    other = visit(f"{page.url.split('?')[0]}?tab=browse", **PHONE, color_scheme="dark")
    other.locator("#browse-picture img").wait_for(timeout=60_000)
    theirs = other.locator("#favourites-picture .gl-cells > span")
    other.locator("#favourites input[type=file]").set_input_files(files[1])
    expect(theirs).to_have_count(2)
    pick(other, "Favourite 1, of micah", "favourites-picture")
    other.locator("#sample-detail code").wait_for(state="attached")
    assert np.array_equal(latent(other), here)
    assert other.evaluate("document.documentElement.scrollWidth") <= 390


def test_samples_of_a_run_that_still_trains_are_picked(page: Page):
    choose_fashion(page, ("bag",))
    start(page)
    wait_for_grid(page)
    page.locator("#to-browse").click()
    expect(page.locator("#browse-picture .gl-cells button")).to_have_count(36, timeout=60_000)
    expect(page.get_by_text("Textbox", exact=True).filter(visible=True)).to_have_count(0)
    pick(page, "Sample 36 of bag")
    expect(page.locator("#sample-near")).to_contain_text("900 training pictures", timeout=60_000)
    page.locator("#browse-size").get_by_role("radio", name="16").check()
    expect(page.locator("#browse-picture .gl-cells button")).to_have_count(16)
    page.get_by_role("tab", name="Train").click()  # where the run can be stopped
    page.get_by_role("button", name="Stop").click()
    expect_state(page, "Stopped")
