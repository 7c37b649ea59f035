"""Step 1 of a transfer, and pictures for it."""

from pathlib import Path

import gradio as gr
import pytest

from ganlab.ui.upload import Upload, build_upload, take_files
from upload.taken import photo, save


@pytest.fixture(scope="module")
def upload() -> Upload:
    with gr.Blocks():
        return build_upload()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder for what is about to be uploaded."""
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


@pytest.fixture
def five(tmp_path: Path) -> str:
    """The id of three wide pictures, a copy of the first and a text called a picture."""
    folder = tmp_path / "five"
    folder.mkdir()
    paths = save(folder, photo(0), photo(1), photo(2), photo(0))
    (folder / "4.png").write_text("not a picture")
    return take_files([*paths, str(folder / "4.png")])[0]
