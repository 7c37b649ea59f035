"""nginx in front of a real page, with the very files that docs/ has: page, queue, files."""

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from conftest import make_known
from PIL import Image
from raw_http import Raw
from served import Server

DOCS = Path(__file__).parents[1] / "docs"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/local/bin:/usr/bin")
AROUND = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    include {folder}/nginx.conf;
}}
"""

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(NGINX is None, reason="there is no nginx (Debian: apt-get install nginx)"),
]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Callable[..., tuple[Server, str]]]:
    """Starts the page with these settings, and nginx before it; gives the page and nginx's URL."""
    running = []

    def start(**settings: str) -> tuple[Server, str]:
        server, port = Server(tmp_path, **settings), free_port()
        make_known(server.home)
        server.start()
        running.append(server.kill)
        for name in ("nginx.conf", "ganlab-proxy.conf"):
            text = (DOCS / name).read_text().replace(":7860", f":{server.port}")
            assert "listen 80;" in text or name != "nginx.conf"
            text = text.replace("listen 80;", f"listen 127.0.0.1:{port};")
            (tmp_path / name).write_text(text)
        (tmp_path / "around.conf").write_text(AROUND.format(folder=tmp_path))
        command = [NGINX, "-p", str(tmp_path), "-c", str(tmp_path / "around.conf")]
        nginx = subprocess.Popen([*command, "-e", str(tmp_path / "error.log")])
        running.append(lambda: (nginx.terminate(), nginx.wait(20)))
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        return server, f"http://127.0.0.1:{port}"

    yield start
    for end in reversed(running):
        end()


def look_at_everything(url: str, name: str, tmp_path: Path) -> None:
    """As somebody who typed that name, which leads to nginx here."""
    visitor = Raw(url, headers={"Host": name})
    path = httpx.URL(url).path.rstrip("/")
    page = visitor.http.get("/").raise_for_status()
    assert "ganlab" in page.text
    assert visitor.config["root"] == f"http://{name}{path}"
    assets = visitor.http.get("/theme.css").raise_for_status()
    assert assets.headers["content-type"].startswith("text/css")

    blend = next(each for each in visitor.endpoints.values() if each["api_name"] == "blend")
    assert blend["queue"]
    given = ["avatars64", "", "", "", "parameters", 1, 4]
    [picture] = visitor.call(blend, given)
    assert picture["url"].startswith(f"http://{name}{path}/gradio_api/file=")
    content = visitor.http.get(picture["url"].removeprefix(f"http://{name}{path}"))
    assert content.raise_for_status().content.startswith(b"\x89PNG")

    Image.effect_noise((1500, 1500), 90).save(tmp_path / "large.png")  # over nginx's own megabyte
    assert (tmp_path / "large.png").stat().st_size > 1_100_000
    [sent] = visitor.upload(tmp_path / "large.png")
    assert Path(sent["path"]).read_bytes() == (tmp_path / "large.png").read_bytes()
    assert first_event_before_the_last(visitor, blend["id"], given) > 0.1
    visitor.close()


def first_event_before_the_last(visitor: Raw, fn_index: int, data: list) -> float:
    """By how many seconds: 0 if something on the way collects them."""
    body = {"data": [*data[:-1], 64], "fn_index": fn_index, "session_hash": visitor.session}
    visitor.http.post("/gradio_api/queue/join", json=body).raise_for_status()
    listen, came = {"session_hash": visitor.session}, []
    with visitor.http.stream("GET", "/gradio_api/queue/data", params=listen) as stream:
        for line in stream.iter_lines():
            came += [time.monotonic()] if line else []
            if "process_completed" in line:
                break
    return came[-1] - came[0]


def test_a_page_with_a_name_of_its_own(behind, tmp_path):
    _, url = behind()
    look_at_everything(url, "ganlab.example.org", tmp_path)


def test_a_page_in_a_folder_of_another_site(behind, tmp_path):
    _, url = behind(GRADIO_ROOT_PATH="/ganlab")
    look_at_everything(f"{url}/ganlab", "www.example.org", tmp_path)
    there = httpx.get(f"{url}/ganlab", headers={"Host": "www.example.org"}, trust_env=False)
    assert there.status_code == 301
    assert there.headers["location"].endswith("/ganlab/")
