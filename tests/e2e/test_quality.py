"""A visitor sees how good the pictures are, is told what is wrong, and does something about it."""

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from e2e.conftest import Server, Visitors
from e2e.visitor import (
    choose_fashion,
    contrasts,
    expect_state,
    open_section,
    run_in_address,
    start,
    train_for,
    wait_for_run,
)
from ganlab import checkpoints, sampling
from ganlab.config import TrainConfig
from ganlab.data import catalog
from ganlab.export import export, open_model
from ganlab.jobs import Jobs
from ganlab.perform import perform
from ganlab.runs import Run
from ganlab.ui.layout import build_page
from ganlab.ui.theme import STYLES, build_theme

pytestmark = pytest.mark.browser

POINTS_OF_LINES = """id => [...document.querySelectorAll(`#${id} .mark-line path`)]
    .map(path => [...path.getAttribute('d').matchAll(/(-?[\\d.]+),(-?[\\d.]+)/g)]
      .map(match => [+match[1], +match[2]]))"""


def light(page: Page, colour: str, seconds: float = 30):
    lamp = page.locator(f"#light .gl-{colour}")
    lamp.wait_for(timeout=1000 * seconds)
    return lamp


def test_a_run_is_measured_and_its_best_snapshot_marked(page: Page):
    choose_fashion(page, ("bag",))
    train_for(page, 6)  # a look after 5 s, and another one at the end
    start(page)
    expect(light(page, "grey")).to_contain_text("The first look at quality comes after 5 s")
    expect(page.locator("#facts dd").last).to_have_text("–")
    expect(page.locator("#kid")).not_to_be_visible()
    expect_state(page, "Finished", 60)

    lit = page.locator("#light").get_by_role("status")
    expect(lit).not_to_contain_text("Too early")
    expect(lit).to_contain_text("KID")
    expect(page.locator("#facts dt").last).to_have_text("KID, EfficientNet-Lite0")
    expect(page.locator("#facts dd").last).to_have_text(
        re.compile(r"^[\d.]+ best [\d.]+ at step [\d,]+$")
    )
    expect(page.get_by_role("button", name="Download best")).to_be_enabled()
    for plot, curves in (("kid", 1), ("diversity", 2)):
        page.locator(f"#{plot} .mark-line path").first.wait_for()
        *lines, best = page.evaluate(POINTS_OF_LINES, plot)
        assert len(lines) == curves
        assert best[0][0] == best[1][0]  # upright, at a step that was measured
        assert min(abs(best[0][0] - x) for x, _ in lines[0]) < 1
        expect(page.locator(f"#{plot}").get_by_text("best snapshot", exact=True)).to_be_visible()
    kid, losses = (page.locator(f"#{plot}").bounding_box() for plot in ("kid", "losses"))
    assert kid["y"] < losses["y"]  # quality first


def worsen(run: Run) -> None:
    """Writes into an ended run that its samples had become all alike after its last snapshot."""
    (run.path / "quality.jsonl").unlink(missing_ok=True)  # a slow machine has measured it already
    last = run.status.step
    good = {"kid": 1.0, "kid_std": 0.1, "copied": 0.0, "usually_copied": 0.0, "samples": 200.0}
    varied = {**good, "diversity": 0.9, "least_diversity": 0.9}
    run.log_quality({"step": last // 2, "seconds": 0.5, **varied, "kid": 9.0})
    run.log_quality({"step": last, "seconds": 1.0, **varied})
    bad = {**good, "kid": 9.0, "diversity": 0.01, "least_diversity": 0.01}
    run.log_quality({"step": last + 20, "seconds": 2.0, **bad})


def test_a_red_light_comes_with_a_remedy_that_only_its_owner_can_take(
    visit: Visitors, page: Page, server: Server, tmp_path: Path
):
    config = TrainConfig(data="fashion", tasks=("bag",), steps=40, seconds=None, width=8)
    collapsed, _ = Run.create(config, path=tmp_path / "run")
    perform(collapsed)
    worsen(collapsed)
    open_section(page, "Your runs")
    upload = page.locator("#open-zip").locator("xpath=..").locator("input[type=file]")
    upload.set_input_files(export(collapsed, tmp_path))
    run_id = wait_for_run(page)

    expect(light(page, "red").get_by_text("Mode collapse")).to_be_visible()
    for selector in ("#light b", "#light p span", "#light .gl-lamp", "#remedy", ".gl-facts small"):
        assert min(contrasts(page, selector)) >= 4.5, selector
    watcher = visit(page.url)
    light(watcher, "red")
    expect(watcher.locator("#remedy")).not_to_be_visible()

    page.locator("#remedy").click()
    expect(page.get_by_text("A new run goes on from step 40.")).to_be_visible()
    expect(page).not_to_have_url(re.compile(run_id))
    new_id = run_in_address(page)
    # The old run had finished, too: the step tells when the new one has.
    expect(page.locator("#facts dd").first).to_have_text("60", timeout=60_000)
    expect_state(page, "Finished", 60)
    expect(page.get_by_role("button", name="Train longer")).to_be_visible()  # it is ours
    old, new = (Run(server.home / "runs" / each) for each in (run_id, new_id))
    assert new.about["lineage"] == {"run": run_id, "step": 40}
    assert new.config.learning_rate == old.config.learning_rate / 2
    expect_state(watcher, "Finished")
    assert run_in_address(watcher) == run_id

    expect(page.locator("#runs").get_by_role("radio")).to_have_count(2)


def ship(folder: Path) -> None:
    """Puts a model of a moment's training on the shelf."""
    config = TrainConfig(data="fashion", tasks=("bag", "coat"), steps=2, seconds=None, width=8)
    run, _ = Run.create(config, path=folder / "run")
    perform(run)
    generator, model = open_model(str(run.path))
    tasks = sampling.spread_tasks(8, 2)
    pixels = sampling.sample(generator, sampling.latents(8, model.z_dim, 0), tasks)
    files = {
        "generator.safetensors": (run.snapshot() / "generator.safetensors").read_bytes(),
        "preview.jpg": sampling.to_jpeg(sampling.grid(pixels, 4)),
        "README.md": b"# tiny32\n\n![x](preview.jpg)\n\nBags & coats.\n\n"
        b"<img src=x onerror=alert(1)>\n\n| head | KID |\n| --- | --- |\n| bag | 1.23 |\n",
    }
    metrics = {task: {"kid": 1.234, "coverage": 0.5} for task in model.tasks}
    checkpoints.write_checkpoint(folder / "shipped" / "tiny32", model, files, {"metrics": metrics})


@pytest.fixture
def shelf_address(tmp_path: Path, monkeypatch) -> Iterator[str]:
    """The page with one checkpoint on its shelf, served from here."""
    catalog.load("fashion")
    ship(tmp_path)
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path / "shipped")
    jobs = Jobs(tmp_path / "runs")
    blocks = build_page(jobs)
    _, address, _ = blocks.launch(
        prevent_thread_lock=True, quiet=True, theme=build_theme(), css_paths=STYLES, ssr_mode=False
    )
    yield address
    blocks.close()
    jobs.close()


@pytest.fixture
def shelf_page(shelf_address: str, visit: Visitors) -> Page:
    """In this order, as the page asks its server every second until `visit` has closed it."""
    return visit(shelf_address)


def test_the_shelf_shows_and_hands_out_what_came_with_ganlab(shelf_page: Page, tmp_path: Path):
    page, shelf = shelf_page, shelf_page.locator("#shelf")
    expect(shelf.get_by_role("img")).to_have_count(0)  # not sent before it is asked for
    shelf.get_by_role("button", name="Pretrained generators: tiny32").click()
    expect(shelf.get_by_role("img", name="Pictures that tiny32 generates")).to_be_visible()
    expect(shelf).to_contain_text("2 heads · 32 px · grey")
    expect(shelf).to_contain_text("KID 1.23 · 50 %")
    shelf.get_by_role("button", name="Model card of tiny32").click()
    expect(shelf.get_by_text("Bags & coats.")).to_be_visible()
    expect(shelf.get_by_role("cell", name="1.23")).to_be_visible()
    expect(shelf.get_by_role("img")).to_have_count(1)
    with page.expect_download() as download:
        shelf.get_by_role("button", name="Download tiny32").click()
    assert download.value.suggested_filename == "ganlab-tiny32.zip"
    download.value.save_as(tmp_path / "tiny.zip")
    with zipfile.ZipFile(tmp_path / "tiny.zip") as archive:
        about = json.loads(archive.read("model.json"))
        assert about["model"]["tasks"] == ["bag", "coat"]
        assert "generator.safetensors" in archive.namelist()
    page.get_by_role("button", name="Begin").click(trial=True)
