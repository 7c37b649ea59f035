"""What the repository promises as a whole: its layers, its pins, and a README that fits them."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REQUIREMENTS = (ROOT / "requirements.txt").read_text().splitlines()
PINS = dict(line.split("==") for line in REQUIREMENTS if line and not line.startswith("#"))
README = (ROOT / "README.md").read_text()


def imported_by(path: Path) -> set[str]:
    """Top-level names of all imports, those inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
    return found


def modules(under: str = "") -> list[Path]:
    return sorted((ROOT / "ganlab" / under).rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_page_knows_gradio_and_nothing_below_knows_the_page(path):
    if path.is_relative_to(ROOT / "ganlab" / "ui"):
        return
    names = imported_by(path)
    assert not any(name.split(".")[0] == "gradio" for name in names)
    assert not any(name.startswith("ganlab.ui") for name in names)


def test_the_loop_knows_neither_threads_nor_the_queue():
    names = imported_by(ROOT / "ganlab" / "training.py")
    assert not names & {"threading", "ganlab.jobs", "ganlab.perform", "ganlab.views"}


def test_every_requirement_is_pinned():
    assert {"gradio", "torch", "torchvision", "pillow", "numpy"} <= set(PINS)
    for line in REQUIREMENTS:
        assert line == "" or line.startswith("#") or re.fullmatch(r"[\w-]+==[\w.]+", line)


def test_a_space_would_install_the_pinned_gradio():
    front = README.split("---")[1]
    fields = dict(re.findall(r"^(\w+): ?(.*)$", front, re.MULTILINE))
    assert fields["sdk"] == "gradio"
    assert fields["sdk_version"] == PINS["gradio"]
    assert (ROOT / fields["app_file"]).exists()
    assert (ROOT / fields["thumbnail"].split(" #")[0]).exists()
    assert len(fields["short_description"]) <= 60
    assert "python_version" in fields and "tags" in fields


def test_the_readmes_links_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / target).exists(), target
