"""A visitor looks for a picture among all that a generator can draw."""

import re
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Page, expect

from e2e.test_viewers import turn_to
from ganlab import sampling
from ganlab.opened import open_shipped

pytestmark = pytest.mark.browser


def test_a_picture_is_found_and_used(page: Page, tmp_path: Path):
    opened = open_shipped("fashion32")
    z = sampling.latents(1, opened.config.z_dim, seed=4242)
    sampling.to_image(opened.draw(z, torch.tensor([1]))[0]).save(tmp_path / "bag.png")
    turn_to(page, "Browse")
    page.get_by_role("combobox", name="Generator").click()
    page.get_by_role("option", name=re.compile("fashion32")).click()
    page.get_by_role("tab", name="Find my picture").click()
    expect(page.locator("#find-it")).to_be_disabled()

    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    page.locator("#find-file input[type=file]").set_input_files(tmp_path / "broken.png")
    expect(page.locator("#find-problem")).to_contain_text("broken.png is")
    page.locator("#find-file").get_by_role("button", name=re.compile("Clear|Remove")).first.click()
    page.locator("#find-file input[type=file]").set_input_files(tmp_path / "bag.png")
    stage = page.locator("#find-stage")
    expect(stage.get_by_alt_text("Your picture")).to_be_visible()
    expect(page.locator("#find-problem")).to_have_text("")

    page.locator("#find-it").click()
    found = stage.get_by_alt_text(re.compile("^fashion32, "))
    expect(found).to_be_visible(timeout=60_000)
    expect(stage.get_by_role("progressbar")).to_be_visible()
    page.locator("#find-cancel").click()
    expect(stage).to_contain_text("as far as it came")

    page.locator("#find-it").click()
    expect(page.locator("#find-cancel")).to_be_visible()
    expect(found).to_be_visible(timeout=60_000)
    page.reload()  # the search goes on meanwhile
    page.get_by_role("tab", name="Find my picture").click()
    expect(found).to_be_visible()
    expect(page.locator("#find-use")).to_be_visible(timeout=90_000)
    expect(stage).to_contain_text(re.compile("It can draw this|Close"))
    with page.expect_download() as download:
        stage.get_by_role("link", name="Download both as PNG").click()
    assert download.value.suggested_filename == "ganlab-found.png"
    page.locator("#find-use").click()
    expect(page.get_by_role("tab", name="Samples")).to_have_attribute("aria-selected", "true")
