"""What an event answers, and what gradio does for it."""

import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterator

import gradio as gr
import httpx
import pytest
from gradio.routes import App
from gradio_client import Client

from ganlab.ui import lean
from ganlab.ui.lean import LeanBlocks

ALONE = {"__type__": "update"}
ANSWERS = {
    "all": lambda first, second: ("a", "b"),
    "one": lambda first, second: (gr.skip(), gr.update(value="b", label="B")),
    "named": lambda first, second: {second: "b"},
    "none": lambda first, second: gr.skip(),
    "each": lambda first, second: (gr.skip(), gr.update()),
    "wrong": lambda first, second: ("a",),
}


@pytest.fixture(scope="module")
def page() -> Iterator[gr.Blocks]:
    with LeanBlocks() as page:
        first, second = gr.Textbox(), gr.Textbox()
        button = gr.Button()
        for name, answer in ANSWERS.items():
            # The answers bind to this page's components; gradio looks at the signature.
            def handler(answer=answer):
                return answer(first, second)

            button.click(handler, None, [first, second], api_name=name)
        button.click(lambda: gr.skip(), None, first, api_name="single-none")
        button.click(lambda: "a", None, first, api_name="single")
    page.launch(prevent_thread_lock=True, quiet=True)
    yield page
    page.close()


def ask(page: gr.Blocks, name: str) -> httpx.Response:
    body = {"data": [], "session_hash": "me"}
    return httpx.post(f"{page.local_url}gradio_api/run/{name}", json=body, trust_env=False)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("all", ["a", "b"]),
        ("one", [ALONE, {**ALONE, "value": "b", "label": "B"}]),
        ("named", [ALONE, "b"]),
        ("none", [ALONE, ALONE]),
        ("each", [ALONE, ALONE]),
        ("single-none", [ALONE]),
        ("single", ["a"]),
    ],
)
def test_what_changes_arrives_and_the_rest_is_left_alone(page, name, expected):
    assert ask(page, name).json()["data"] == expected


def test_too_few_values_are_an_error_as_ever(page):
    assert ask(page, "wrong").status_code == 500


def test_no_component_is_built_for_an_output_that_is_left_alone(page, monkeypatch):
    built = []
    inits = gr.Textbox.__init__

    def note(self, *args, **settings):
        built.append(self)
        inits(self, *args, **settings)

    assert ask(page, "none").status_code == 200  # the session is there
    monkeypatch.setattr(gr.Textbox, "__init__", note)
    assert ask(page, "none").status_code == 200
    assert built == []


def test_a_session_keeps_no_value(page):
    assert ask(page, "all").json()["data"] == ["a", "b"]
    kept = page.state_holder["me"].config_values
    assert not any(kept.values())


def test_an_update_builds_on_the_one_before(page):
    assert ask(page, "one").status_code == 200
    session, built = page.state_holder["me"].blocks_config.blocks, page.blocks
    assert "B" in labels(session) and "B" not in labels(built)


def labels(blocks: dict[int, gr.blocks.Block]) -> list[str | None]:
    return [block.label for block in blocks.values() if isinstance(block, gr.Textbox)]


def test_an_event_that_shows_no_progress_tells_no_component_that_it_is_under_way():
    with LeanBlocks() as page:
        text, button, place = gr.Textbox(), gr.Button(), gr.HTML()
        hidden = button.click(lambda: "a", None, text, show_progress="hidden")
        hidden.then(lambda: "b", None, text, show_progress="hidden", show_progress_on=place)
        hidden.then(lambda: "c", None, text)
    told = [event["show_progress_on"] for event in page.config["dependencies"]]
    assert told == [[], [place._id], None]  # None = all outputs


def test_the_web_application_is_made_once(monkeypatch):
    made = []
    make = App.create_app
    monkeypatch.setattr(
        App, "create_app", lambda *args, **how: made.append(1) or make(*args, **how)
    )
    with LeanBlocks() as page:
        gr.Textbox()
    page.queue().launch(prevent_thread_lock=True, quiet=True)
    try:
        assert httpx.get(page.local_url, trust_env=False).status_code == 200
    finally:
        page.close()
    assert len(made) == 1


def test_gradio_does_not_search_all_folders_for_what_is_not_installed_at_every_event():
    """It asks for matplotlib each time; a program that has it finds it as ever."""
    code = "import sys; from ganlab.ui import lean; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(importlib.util.find_spec("matplotlib") is None)


def test_what_was_written_for_pages_goes_when_it_is_old(tmp_path, monkeypatch):
    with LeanBlocks() as page:
        picture = gr.Image()
    names = [tmp_path / name for name in ("new.png", "shown.png", "gone.png")]
    for name in names[:2]:
        name.write_bytes(b"x")
    picture.temp_files.update(map(str, names))
    picture.keep_in_cache.add(str(names[1]))
    page.remove_made()
    assert picture.temp_files == {str(names[0]), str(names[1])}
    monkeypatch.setattr(lean, "MADE_KEPT_SECONDS", -1.0)
    page.remove_made()
    assert picture.temp_files == {str(names[1])} and names[1].exists() and not names[0].exists()


def test_the_queue_is_looked_at_seldom_and_answers_soon(monkeypatch):
    with LeanBlocks() as page:
        name = gr.Textbox()
        gr.Button().click(lambda name: f"Hello {name}", name, name, api_name="hello")
    page.launch(prevent_thread_lock=True, quiet=True)
    looks, really = [], type(page._queue).__len__
    monkeypatch.setattr(
        type(page._queue), "__len__", lambda queue: looks.append(queue) or really(queue)
    )
    try:
        time.sleep(0.5)
        assert 0 < looks.count(page._queue) < 100  # gradio's own: 400
        client = Client(page.local_url, verbose=False)
        began = time.monotonic()
        assert client.predict("you", api_name="/hello") == "Hello you"
        assert time.monotonic() - began < 2
    finally:
        page.close()
