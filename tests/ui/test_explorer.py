"""The Explorer: what it sends to the browser, and that it serves nothing else."""

import gzip
import json
from pathlib import Path

import gradio as gr
import pytest
from fastapi.testclient import TestClient
from sources import own_run

from ganlab import sampling
from ganlab.ui import explorer
from ganlab.ui.explorer import LIBRARY, LOADER, WASM, WORKER, model_of, place_of
from ganlab.ui.subject import from_text, subject, to_text

LARGEST = 15_000_000  # bytes of the runtime, which a visitor's browser unpacks


FILES = {"worker": WORKER, "library": LIBRARY, "loader": LOADER, "wasm": WASM}


@pytest.fixture(scope="module")
def served() -> tuple[dict[str, Path], TestClient]:
    """What the page serves, and somebody who asks for it."""
    with gr.Blocks() as page:
        files = explorer.build_explorer().files
    return files, TestClient(gr.routes.App.create_app(page))


def test_the_runtime_is_small_and_whole():
    content = gzip.decompress(WASM.read_bytes())
    assert content.startswith(b"\0asm") and len(content) < LARGEST
    assert "ONNX Runtime Web v1.22.0" in LIBRARY.read_text()[:100]
    assert "MIT License" in (WASM.parent / "LICENSE").read_text()


def test_no_script_names_another_host():
    for path in (WORKER, Path(explorer.__file__).with_suffix(".js")):
        assert "//" not in path.read_text().replace("// ", "").replace("/api", "")


def test_the_page_serves_the_runtime_and_nothing_beside_it(served):
    files, client = served
    for name, path in files.items():
        answer = client.get(f"/gradio_api/file={path}")
        assert answer.status_code == 200 and answer.content == FILES[name].read_bytes()
        if name != "wasm":
            assert "javascript" in answer.headers["content-type"]
    folder = files["wasm"].parent
    for path in (Path(explorer.__file__), WORKER, WASM.parent, folder, f"{folder}/../passwd"):
        assert client.get(f"/gradio_api/file={path}").status_code == 403


def test_the_browser_learns_what_the_graph_is_and_where_to_begin(jobs, tmp_path):
    of = subject(jobs, "small", "b", 3, 0.5)
    told = model_of(of, tmp_path / "x.onnx", FILES)
    json.dumps(told)
    assert (told["tasks"], told["size"], told["channels"], told["z_dim"]) == (["a", "b"], 32, 3, 8)
    assert told["model"]["path"] == str(tmp_path / "x.onnx")
    head, z = from_text(place_of(of), 8)
    assert head == "b" and (z == sampling.latents(1, 8, 3) * 0.5).all()


def test_a_picked_sample_is_where_it_begins(jobs):
    run_id, _ = own_run(jobs)
    z = sampling.latents(1, 8, 9)
    of = subject(jobs, run_id, "", 1, 1, to_text(z, "b"))
    assert place_of(of) == to_text(z, "b")
