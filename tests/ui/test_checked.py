"""What is looked at before gradio and the handlers see it, and what is forgotten afterwards."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import httpx
import pytest

from ganlab.caps import HOME, Caps
from ganlab.ui.checked import (
    DEEPEST,
    FILE,
    LONGEST_TEXT,
    MISFIT,
    MOST_VALUES,
    CheckedBlocks,
    Misfit,
    check,
)
from ganlab.ui.gate import gated

ROOT = Path(__file__).parents[2]


def deep(levels: int) -> list:
    value: list = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -1.5, 2**53, 10**20, -(10**30), 1e300, "", "é🙂",
     "x" * LONGEST_TEXT, [], {}, deep(DEEPEST),
     {"tokens": {"a": "b"}, "run": None}, [0] * (MOST_VALUES - 1), {"meta": "x"}],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_what_a_page_sends_passes(value):
    check(value)


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), -float("inf"), 1e308, 10**400, -(10**310), "\ud800",
     "a\0b", deep(DEEPEST + 1),
     "x" * (LONGEST_TEXT + 1), [0] * (MOST_VALUES + 1), {"a": [{"__type__": "update"}]},
     {"path": "/etc/passwd"}, [{"meta": {"_type": "gradio.FileData"}}], {"a\0": 1}],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_what_no_page_sends_does_not(value):
    with pytest.raises(Misfit):
        check(value)


def named(path: Path) -> dict:
    """As a page names a file that it has sent."""
    return {
        "path": str(path), "url": f"http://x/gradio_api/file={path}", "orig_name": "o" * 255,
        "size": 1, "mime_type": "image/png", "is_stream": False, "blob": {},
        "meta": {"_type": "gradio.FileData"},
    }  # fmt: skip


def test_a_folder_of_more_files_than_are_read_passes(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    file = tmp_path / ("a" * 64) / ("n" * 255)
    file.parent.mkdir()
    file.write_bytes(b"x")
    files = [named(file)] * (Caps().entries + 1)
    assert len(json.dumps(files)) < Caps().event_mb * 1_000_000
    check(files, may_name_files=True)
    for odd in ({"x": [1]}, {"meta": {**FILE, "more": [1]}}, {"size": float("nan")},
                {"path": "/etc/passwd"}, dict.fromkeys("abcdefghijkl"),
                {"url": "\0"}):  # fmt: skip
        with pytest.raises(Misfit):
            check([{**named(file), **odd}], may_name_files=True)
    with pytest.raises(Misfit):
        check(files)


@pytest.fixture(scope="module")
def page() -> Iterator[gr.Blocks]:
    """A page whose handlers make mistakes."""
    with CheckedBlocks() as page:
        number, text, file = gr.Number(), gr.Textbox(), gr.DownloadButton()
        choice, head = gr.Dropdown(["a", "b"]), gr.Dropdown([("All", ""), "a"])
        gr.Button().click(
            lambda: str(ROOT / "README.md"), None, file, api_name="names", queue=False
        )
        gr.Button().click(
            lambda n, c: f"{n}{c}", [number, choice], text, api_name="says", queue=False
        )
        gr.Button().click(
            lambda: gr.Dropdown(choices=["b"]), None, head, api_name="others", queue=False
        )
        gr.Button().click(lambda h: repr(h), head, text, api_name="head", queue=False)
        gr.Button().click(lambda: time.sleep(2), None, None, api_name="takes", concurrency_limit=1)
    page.queue(max_size=1, api_open=True).launch(
        prevent_thread_lock=True,
        quiet=True,
        ssr_mode=False,
        blocked_paths=[str(ROOT)],
        app_kwargs=gated(Caps.of("public", events=1)),
    )
    yield page
    page.close()


@pytest.fixture
def url(page: gr.Blocks) -> str:
    return page.local_url


def call(url: str, name: str, *data: object) -> httpx.Response:
    body = {"data": data, "session_hash": "me"}
    return httpx.post(f"{url}gradio_api/run/{name}", json=body, trust_env=False)


def test_a_handler_that_names_a_closed_file_does_not_give_it_away(url):
    """gradio would copy what lies below the working directory to where anybody can fetch it."""
    assert Path.cwd() == ROOT
    answer = call(url, "names")
    assert answer.status_code == 500 and "README" not in answer.text


def test_a_value_that_does_not_fit_is_refused_in_words_and_without_a_trace(url, capfd):
    assert call(url, "says", 1, "a").json()["data"] == ["1a"]
    for data in ((1,), (), (1, "c"), (1, ["c"]), (1e305, "a")):
        answer = call(url, "says", *data)
        assert answer.status_code == 400 and answer.json()["error"] == MISFIT, data
    assert "Traceback" not in "".join(capfd.readouterr())


def test_an_event_that_set_out_before_a_lists_choices_changed_is_none_of_its_choices(url):
    assert call(url, "head", "").json()["data"] == ["''"]
    assert call(url, "others").status_code == 200  # of the same session
    assert call(url, "head", "").json()["data"] == ["None"]
    assert call(url, "head", "b").json()["data"] == ["'b'"]
    assert call(url, "head", "a").status_code == 400


def test_of_a_full_queue_the_limit_is_told(url):
    def join() -> httpx.Response:
        return httpx.post(f"{url}gradio_api/call/takes", json={"data": []}, trust_env=False)

    answers = [join()]
    time.sleep(0.5)  # it is under way
    answers += [join() for _ in range(2)]
    assert [each.status_code for each in answers] == [200, 200, 429]
    told = answers[-1].json()["detail"]
    assert told.startswith("The queue is full") and "(GANLAB_MAX_EVENTS)" in told and HOME in told
