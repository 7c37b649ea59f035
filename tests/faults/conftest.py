"""Servers to which something happens: killed, ended, short of disk or memory, with a mad clock."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import make_known

from faults.acts import Visitor
from faults.forked import ForkedServer, Nursery


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    nursery = Nursery(tmp_path_factory.mktemp("nursery"))
    yield nursery
    nursery.close()


@pytest.fixture
def server(nursery: Nursery, tmp_path: Path) -> Iterator[ForkedServer]:
    """Not started yet; of a machine that was timed before."""
    server = ForkedServer(nursery, tmp_path / "server")
    make_known(server.home)
    yield server
    server.kill()


@pytest.fixture
def visitor(server: ForkedServer) -> Iterator[Visitor]:
    server.start()
    visitor = Visitor(server.url)
    yield visitor
    visitor.close()
