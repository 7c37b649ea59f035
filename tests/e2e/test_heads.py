"""Edited heads on the page: opened from a download, shown, looked at and used, never trained."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from e2e.conftest import Server, Visitors
from e2e.visitor import expect_state, open_section, wait_for_run
from ganlab import derived
from ganlab.export import export
from ganlab.heads import Edit
from ganlab.source import open_source

pytestmark = pytest.mark.browser


def test_edited_heads_are_opened_looked_at_and_offered_but_not_trained(
    page: Page, visit: Visitors, server: Server, tmp_path: Path
):
    source = open_source("fashion32")
    half = [0.5, 0.5] + [0.0] * (len(source.config.tasks) - 2)
    edits = [Edit.adding(source.config.tasks, "<i>half</i>", half), Edit("remove", "coat")]
    run, _ = derived.create(source, edits, path=tmp_path / "run")
    open_section(page, "Your runs")
    upload = page.locator("#open-zip").locator("xpath=..").locator("input[type=file]")
    upload.set_input_files(str(export(run, tmp_path)))
    run_id = wait_for_run(page)

    expect_state(page, "Finished")
    state = page.locator("#state")
    expect(state).to_contain_text("Head 'coat' removed. After 1 earlier edit.")
    expect(state).to_contain_text("Heads of fashion32")
    expect(page.locator("#facts")).to_have_text("Heads10Edits2")
    expect(page.locator("#grid")).to_contain_text("<i>half</i>")
    for name in ("Train longer", "Resume", "Stop"):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_hidden()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download", exact=True).click()
    assert download.value.suggested_filename == "ganlab-fashion-heads-step1.zip"

    page.get_by_role("button", name="Use in Browse").click()
    page.locator("#browse-picture img").wait_for(timeout=60_000)
    expect(page.locator("#browse-picture")).to_contain_text("<i>half</i>")

    guest = visit(f"{server.url}/?run={run_id}")
    expect(guest.locator("#state")).to_contain_text("Heads of fashion32", timeout=60_000)
    expect(guest.locator("#grid img")).to_be_visible()
