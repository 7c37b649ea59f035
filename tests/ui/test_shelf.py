"""The shelf: what lies there is described as it is, and a bad checkpoint spoils nothing."""

import io
import zipfile
from pathlib import Path

import gradio as gr
import pytest
import torch
from PIL import Image

from ganlab import checkpoints
from ganlab.checkpoints import load_generator, state_bytes, write_checkpoint
from ganlab.config import ModelConfig
from ganlab.export import zip_shipped
from ganlab.models import build_discriminator, build_generator
from ganlab.ui import shelf

MODEL = ModelConfig("multihead", 32, 3, ("cats", "dogs"), 8, 8)
CARD = "# tiny\n\n![samples](preview.jpg)\n\nDraws cats.\n\n<img src=//x.y/z>\n\n## Metrics\n"


def ship(folder: Path, card: str = CARD, **about) -> Path:
    """Puts a tiny checkpoint on the shelf."""
    torch.manual_seed(1)
    preview = io.BytesIO()
    Image.new("RGB", (64, 32), "teal").save(preview, "JPEG")
    files = {
        "generator.safetensors": state_bytes(build_generator(MODEL)),
        "discriminator.safetensors": state_bytes(build_discriminator(MODEL)),
        "preview.jpg": preview.getvalue(),
        "README.md": card.encode(),
    }
    write_checkpoint(folder, MODEL, files, about)
    return folder


@pytest.fixture
def shipped(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    monkeypatch.setattr(checkpoints, "SHIPPED", folder)
    return folder


def built(tmp_path: Path) -> list:
    """The components of the shelf."""
    with gr.Blocks() as page:
        shelf.build_shelf(tmp_path / "exports")
    return list(page.blocks.values())


def test_an_empty_shelf_is_not_there_at_all(shipped, tmp_path):
    (shipped / "features-only").mkdir()
    assert [b for b in built(tmp_path) if not isinstance(b, gr.Blocks)] == []


def test_a_checkpoint_is_described_with_its_heads_and_how_good_they_are(shipped):
    metrics = {"cats": {"kid": 1.234, "coverage": 0.87}, "dogs": {"kid": 0.5, "coverage": 1.0}}
    ship(shipped / "tiny32", features="EfficientNet-Lite0", metrics=metrics)
    (item,) = shelf.items()
    html = shelf.describe(item)
    assert "<h3>tiny32</h3>" in html
    size = sum(file.stat().st_size for file in item.folder.iterdir()) / 1e6
    assert f"2 heads · 32 px · colour · {size:.1f} MB" in html
    assert "<dt>cats</dt><dd>KID 1.23 · 87 %</dd>" in html
    assert "<dt>dogs</dt><dd>KID 0.50 · 100 %</dd>" in html
    assert "KID in EfficientNet-Lite0 features" in html
    assert 'src="data:image/jpeg;base64,' in html
    assert 'alt="Pictures that tiny32 generates"' in html


def test_without_metrics_no_number_is_claimed(shipped):
    ship(shipped / "tiny32")
    (item,) = shelf.items()
    html = shelf.describe(item)
    assert "<dt>cats</dt><dd></dd>" in html
    assert "KID" not in html


def test_a_card_loses_its_title_and_its_pictures(shipped):
    ship(shipped / "tiny32")
    (item,) = shelf.items()
    assert shelf.card(item) == "Draws cats.\n\n\n\n## Metrics"


def test_names_and_cards_are_never_taken_for_html(shipped, tmp_path):
    ship(shipped / "a&b", card="<script>alert(1)</script>")
    assert "<h3>a&amp;b</h3>" in shelf.describe(shelf.items()[0])
    cards = [b for b in built(tmp_path) if isinstance(b, gr.Markdown)]
    assert [card.sanitize_html for card in cards] == [True]


def test_a_damaged_checkpoint_is_left_out_and_the_others_stay(shipped, tmp_path):
    ship(shipped / "good")
    ship(shipped / "bad")
    (shipped / "bad" / "model.json").write_text("{")
    assert [item.folder.name for item in shelf.items()] == ["good"]
    labels = [b.label for b in built(tmp_path) if isinstance(b, gr.Accordion)]
    assert labels == ["Pretrained generators: good", "Model card of good"]


def test_a_checkpoint_leaves_as_one_zip_with_all_that_it_holds(shipped, tmp_path):
    folder = ship(shipped / "tiny32", lineage={"data": "pets"})
    path = zip_shipped(folder, tmp_path / "exports")
    assert path.name == "ganlab-tiny32.zip"
    with zipfile.ZipFile(path) as archive:
        assert set(archive.namelist()) == {file.name for file in folder.iterdir()}
        for name in set(archive.namelist()) - {"model.json"}:
            assert archive.read(name) == (folder / name).read_bytes()
    (packed, story), (model, about) = map(checkpoints.read_model_json, (path, folder))
    assert packed == model
    assert story == {"name": "tiny32", **about}  # its kin know it by that
    generator, model, _ = load_generator(path)
    assert model == MODEL
    assert generator.state_dict().keys() == build_generator(MODEL).state_dict().keys()
