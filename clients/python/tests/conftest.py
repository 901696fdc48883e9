"""Servers for the tests that want a real one: QUARTERDECK_TEST_SERVER names the binary."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import pytest

from .server import Proxy, Server


@pytest.fixture(scope="session")
def binary() -> str:
    path = os.environ.get("QUARTERDECK_TEST_SERVER")
    if not path:
        pytest.skip("QUARTERDECK_TEST_SERVER names no server")
    return path


@pytest.fixture(scope="module")
def shared_server(binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(binary, tmp_path_factory.mktemp("server") / "data")
    yield server
    server.kill()


@pytest.fixture
def server(binary: str, tmp_path: pathlib.Path) -> Iterator[Server]:
    """One that a test may kill."""
    server = Server(binary, tmp_path / "data")
    yield server
    server.kill()


@pytest.fixture
def proxy(shared_server: Server) -> Iterator[Proxy]:
    proxy = Proxy(shared_server)
    yield proxy
    proxy.close()


@pytest.fixture
def front(server: Server) -> Iterator[Proxy]:
    """Before a server that a test may kill."""
    proxy = Proxy(server)
    yield proxy
    proxy.close()
