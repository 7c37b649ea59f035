"""The view Explorer of Browse: a generator that runs in the visitor's own browser.

The server makes a graph once (`onnx_model`, with weights in 16 bits: half the download) and sends a
runtime for it, which lies in `runtime/`; from then on it has nothing to do. `explorer.js` is what
is seen, `explorer_worker.js` draws.
"""

import atexit
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from ganlab.jobs import Jobs
from ganlab.ui import take_files
from ganlab.ui.scratch import scratch_folder
from ganlab.ui.subject import Subject, subject, to_text
from ganlab.ui.toasts import refusal
from ganlab.ui.visitor import QUICK

HERE = Path(__file__).parent
SCRIPT = (HERE / "explorer.js").read_text(encoding="utf-8")
WORKER = HERE / "explorer_worker.js"
LIBRARY = HERE / "runtime" / "ort.wasm.min.mjs"
LOADER = HERE / "runtime" / "ort-wasm-simd-threaded.mjs"  # which the library asks for
WASM = HERE / "runtime" / "ort-wasm-simd-threaded.wasm.gz"  # the browser unpacks it
PROGRESS = gr.Progress()
ABOUT = (
    '<h3 class="gl-part">Explore latent space without waiting</h3>'
    '<p class="gl-note">The generator comes to your browser and runs there (some megabytes, once). '
    "Then drag through latent space: around the sample that you picked, or the first of the seed, "
    "two directions at a time.</p>"
)


@dataclass
class Explorer:
    """The components."""

    intro: gr.Column
    start: gr.Button
    told: gr.HTML  # how far it is
    stage: gr.HTML
    live: gr.Textbox  # the generator that is being explored; "" = none
    files: dict[str, Path]  # what the browser fetches to run it


def build_explorer() -> Explorer:
    """Within its tab."""
    files = _served_files()
    with gr.Column(elem_classes="gl-card"):
        with gr.Column() as intro:
            gr.HTML(ABOUT, elem_classes="gl-html")
            start = gr.Button("Start the explorer", variant="primary", elem_id="explore-start")
            told = gr.HTML(elem_id="told-explorer", elem_classes="gl-html gl-told")
        stage = gr.HTML(
            {},
            html_template='<div class="gl-explorer"></div>',
            js_on_load=SCRIPT,
            place="",
            elem_id="explorer",
            elem_classes="gl-html",
        )
    return Explorer(intro, start, told, stage, gr.Textbox(visible=False), files)


_FILES = {"worker": WORKER, "library": LIBRARY, "loader": LOADER, "wasm": WASM}


def _served_files() -> dict[str, Path]:
    """Copies that gradio gives to anybody: their addresses do not say where the app lies, all of
    which is closed."""
    folder = Path(tempfile.mkdtemp(prefix="ganlab-explorer-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    files = {name: Path(shutil.copy(each, folder)) for name, each in _FILES.items()}
    gr.set_static_paths(list(files.values()))
    return files


def model_of(of: Subject, path: Path, files: dict[str, Path]) -> dict[str, Any]:
    """What the explorer's script needs of a generator whose graph lies at a path."""
    config = of.opened.config
    return {
        **{name: _file(each) for name, each in files.items()},
        "model": _file(path),
        "start": path.parent.name,  # another one each time, so that a failed one can be repeated
        "tasks": list(config.tasks),
        "size": config.size,
        "channels": config.channels,
        "z_dim": config.z_dim,
    }


def _file(path: Path) -> dict[str, Any]:
    """A file as gradio sends it to the page: with an address."""
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}}


def place_of(of: Subject) -> str:
    """Where the explorer begins."""
    return to_text(of.z, of.head)


def wire_explorer(jobs: Jobs, browse: Any, exports: Path) -> None:
    """Connects the components.

    Args:
        exports: the folder for the graph on its way to the browser.
    """
    explorer: Explorer = browse.explorer

    def start(name: Any, *rest: Any, progress: gr.Progress = PROGRESS) -> Any:
        try:
            of = subject(jobs, name, *rest)
            path = scratch_folder(exports) / f"{take_files.stem(jobs, name)}-half.onnx"
            take_files.onnx(of.opened, path, progress, halved=True)
        except ValueError as error:
            raise refusal("No explorer", error) from None
        stage = gr.HTML(value=model_of(of, path, explorer.files), place=place_of(of))
        return [stage, name, gr.Column(visible=False), ""]

    def follow(live: Any, name: Any, *rest: Any) -> Any:
        """What was chosen at the left is where the explorer is, too; another generator ends it."""
        if not live:
            return [gr.skip()] * 3
        try:
            of = subject(jobs, name, *rest)
        except ValueError:  # the note above the views says what is wrong
            return [gr.skip()] * 3
        if name != live:
            return [gr.HTML(value={}, place=""), "", gr.Column(visible=True)]
        return [gr.HTML(place=place_of(of)), gr.skip(), gr.skip()]

    explorer.start.click(
        start,
        browse.subject,
        [explorer.stage, explorer.live, explorer.intro, explorer.told],
        show_progress="full",
        show_progress_on=explorer.told,
        api_visibility="private",
        concurrency_limit=1,
    )
    explorer.stage.clear(  # it has failed, and says why
        lambda: ["", gr.Column(visible=True)], None, [explorer.live, explorer.intro], **QUICK
    )
    gr.on(
        [browse.view_tabs["explore"].select, browse.shown.change, browse.latent.change,
         browse.head.change, browse.seed.change, browse.truncation.release],
        follow,
        [explorer.live, *browse.subject],
        [explorer.stage, explorer.live, explorer.intro],
        trigger_mode="always_last",
        **QUICK,
    )  # fmt: skip
