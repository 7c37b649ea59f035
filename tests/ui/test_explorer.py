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


@pytest.fixture(scope="module")
def client() -> TestClient:
    with gr.Blocks() as page:
        explorer.build_explorer()
    return TestClient(gr.routes.App.create_app(page))


def test_the_runtime_is_small_and_whole():
    content = gzip.decompress(WASM.read_bytes())
    assert content.startswith(b"\0asm") and len(content) < LARGEST
    assert "ONNX Runtime Web v1.22.0" in LIBRARY.read_text()[:100]
    assert "MIT License" in (WASM.parent / "LICENSE").read_text()


def test_no_script_names_another_host():
    for path in (WORKER, Path(explorer.__file__).with_suffix(".js")):
        assert "//" not in path.read_text().replace("// ", "").replace("/api", "")


def test_the_page_serves_the_runtime_and_nothing_beside_it(client):
    for path in (WORKER, LIBRARY, LOADER, WASM):
        answer = client.get(f"/gradio_api/file={path}")
        assert answer.status_code == 200 and len(answer.content) == path.stat().st_size
        if path != WASM:
            assert "javascript" in answer.headers["content-type"]
    for path in (Path(explorer.__file__), WASM.parent, f"{WASM.parent}/../explorer.py"):
        assert client.get(f"/gradio_api/file={path}").status_code == 403


def test_the_browser_learns_what_the_graph_is_and_where_to_begin(jobs, tmp_path):
    of = subject(jobs, "small", "b", 3, 0.5)
    told = model_of(of, tmp_path / "x.onnx")
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
