"""The image for servers: what its steps say, which `make image-check` follows; its health check."""

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ganlab.healthy import is_healthy
from scripts.check_image import is_ignored, read

ROOT = Path(__file__).parents[1]
STEPS = read((ROOT / "Dockerfile").read_text())


def test_signals_reach_python_itself_and_nobody_is_root():
    assert STEPS.command == ["python", "app.py"]
    assert STEPS.stop_signal == "SIGTERM"
    assert STEPS.health == ["python", "-m", "ganlab.healthy"]
    assert STEPS.volumes == ["/data"] and "GANLAB_HOME=/data" in dict(STEPS.build)["ENV"]
    assert STEPS.user not in ("root", "0")


def test_packages_are_a_layer_below_what_changes():
    build = [f"{name} {rest}" for name, rest in STEPS.build]
    assert build.index("RUN pip install -r requirements.txt") < build.index("COPY . .")
    assert build.index("COPY requirements.txt .") < build.index("COPY . .")


def test_the_image_has_what_runs_and_nothing_else():
    patterns = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    top = {path.name for path in ROOT.iterdir() if not is_ignored(Path(path.name), patterns)}
    needed = {"LICENSE", "NOTICE", "README.md", "app.py", "checkpoints", "ganlab"}
    assert needed | {"requirements.txt"} <= top
    assert not top & {".git", ".venv", "tests", "runs", "cache", "uploads"}
    assert is_ignored(Path("ganlab/ui/__pycache__/lab.pyc"), patterns)


# Healthy or not -----------------------------------------------------------------------------


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A page that always answers with this."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_a_page_that_answers_is_healthy_and_one_with_an_error_is_not():
    with answering(200) as port:
        assert is_healthy(port)
    with answering(500) as port:
        assert not is_healthy(port)


def test_where_nobody_listens_or_talks_nothing_is_healthy(monkeypatch, capsys):
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        assert not is_healthy(mute.getsockname()[1])
        assert "the page does not answer" in capsys.readouterr().err
        mute.listen()
        monkeypatch.setattr("ganlab.healthy.PATIENCE_SECONDS", 0.2)
        assert not is_healthy(mute.getsockname()[1])
