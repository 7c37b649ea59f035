"""One server for nearly all tests of what strangers may try, with somebody's run on it whose names
are markup. It trains nothing."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import make_known
from fuzz import MARKUP
from raw_http import Raw
from served import REPOSITORY, Server
from sources import own_run, small_source

from ganlab import kept, vectors
from ganlab.jobs import Jobs

FORMAT = "{0.__class__} %s"
NAMES = (MARKUP, f"{MARKUP} {FORMAT}")


@dataclass
class Victim:
    """Somebody's run on a server."""

    server: Server
    run_id: str
    token: str

    @property
    def folder(self) -> Path:
        return self.server.home / "runs" / self.run_id

    def secrets(self) -> list[str]:
        """What no answer may hold, unless the owner asks: paths of the server among them."""
        return [str(self.server.home), str(REPOSITORY), self.token, "token_sha256", "root:x:0"]


def content_of(folder: Path) -> dict[str, str]:
    """Of all files, to see whether any has changed."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@contextmanager
def somebodys_run(folder: Path, workers: int) -> Iterator[Victim]:
    """On a public server of its own."""
    server = Server(folder, GANLAB_WORKERS=str(workers), GANLAB_PROFILE="public")
    make_known(server.home)
    jobs = Jobs(server.home / "runs", workers=0)
    run_id, token = own_run(jobs, source=small_source(NAMES), name=MARKUP)
    vector = vectors.to_text([1.0] + [0.0] * 7)
    jobs.change_directions(run_id, lambda few, z_dim: kept.added(few, MARKUP, vector, z_dim), token)
    jobs.rename(run_id, MARKUP, token)
    jobs.close()
    server.start()
    try:
        yield Victim(server, run_id, token)
    finally:
        server.kill()


@pytest.fixture(scope="session")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    with somebodys_run(tmp_path_factory.mktemp("public"), workers=0) as victim:
        yield victim


@pytest.fixture(scope="session")
def page(victim: Victim) -> Iterator[Raw]:
    """Somebody else."""
    page = Raw(victim.server.url)
    yield page
    page.close()


@pytest.fixture(autouse=True)
def no_traces(victim: Victim) -> Iterator[None]:
    """Whatever is sent, nothing goes wrong in a way that nobody thought of."""
    before = len(victim.server.log.read_text())
    yield
    log = victim.server.log.read_text()[before:]
    assert "Traceback" not in log, log[-4000:]
