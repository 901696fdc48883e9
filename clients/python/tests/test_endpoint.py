"""Addresses, keys and files are checked before anything is sent."""

from __future__ import annotations

import multiprocessing
import os
import pathlib

import pytest

from quarterdeck import AsyncClient, Client
from quarterdeck._core.endpoint import DEFAULT_ADDRESS, Endpoint, endpoint

KEY = "qdk_secret"


def made(address: str | None = None, key: str | None = "", **options: object) -> Endpoint:
    return endpoint(address, key, environment={}, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("address", "target"),
    [
        (DEFAULT_ADDRESS, "dns:///127.0.0.1:7777"),
        ("localhost:1", "dns:///localhost:1"),
        ("http://[::1]:1/", "dns:///[::1]:1"),
        ("https://example.org", "dns:///example.org:443"),
        ("unix:/run/quarterdeck.sock", "unix:/run/quarterdeck.sock"),
        ("unix:///run/quarterdeck.sock", "unix:/run/quarterdeck.sock"),
    ],
)
def test_addresses(address: str, target: str) -> None:
    assert made(address).target == target
    assert (made(address).credentials is not None) == address.startswith("https")


@pytest.mark.parametrize(
    "address",
    ["ftp://a", "unix:", "http://", "http://a:b:c", "http://a:99999", "http://a/path", "http://a b", "http://u:p@a"],
)
def test_wrong_addresses(address: str) -> None:
    with pytest.raises(ValueError, match=r"address") as raised:
        made(address)
    assert "u:p" not in str(raised.value)


def test_the_environment_is_the_default() -> None:
    environment = {"QUARTERDECK_ADDR": "http://127.0.0.1:1", "QUARTERDECK_KEY": KEY + "\n"}
    where = endpoint(None, None, environment=environment)
    assert where.target.endswith(":1")
    assert where.metadata == (("authorization", f"Bearer {KEY}"),)
    assert endpoint("http://127.0.0.1:2", "", environment=environment).metadata == ()
    assert endpoint(None, None, environment={}).address == DEFAULT_ADDRESS


def test_a_key_does_not_cross_the_network_in_the_open() -> None:
    for address in ("http://example.org:7777", "http://10.0.0.1", "http://127.0.0.1.example.org"):
        with pytest.raises(ValueError, match="unencrypted") as raised:
            made(address, KEY)
        assert KEY not in str(raised.value)
        assert made(address, KEY, allow_plaintext_key=True).metadata
        assert not made(address).metadata
    for address in ("http://127.0.0.2", "http://[::1]", "http://localhost", "https://example.org", "unix:/a"):
        assert made(address, KEY).metadata


def test_a_key_is_never_shown() -> None:
    assert KEY not in repr(made(None, KEY))
    for client in (Client(DEFAULT_ADDRESS, KEY), AsyncClient(DEFAULT_ADDRESS, KEY)):
        assert KEY not in repr(client)
    with pytest.raises(ValueError, match="visible ASCII") as raised:
        made(None, KEY + "\x00")
    assert KEY not in str(raised.value)


def test_tls_files_are_checked(tmp_path: pathlib.Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    with pytest.raises(ValueError, match="for https"):
        made("http://127.0.0.1:1", ca=empty)
    with pytest.raises(ValueError, match="nothing as PEM"):
        made("https://a", ca=empty)
    with pytest.raises(ValueError, match="give both"):
        made("https://a", certificate=empty)
    with pytest.raises(FileNotFoundError):
        made("https://a", ca=tmp_path / "missing.pem")


def test_a_connection_is_not_used_after_a_fork() -> None:
    client = Client("http://127.0.0.1:1", KEY)
    client.stub("gateway")
    client._connection._process = os.getpid() + 1
    with pytest.raises(RuntimeError, match="fork"):
        client.stub("gateway")


def call_nobody() -> None:
    with Client("http://127.0.0.1:1", KEY) as client:
        client.stub("gateway")


def test_a_client_of_its_own_works_in_another_process() -> None:
    process = multiprocessing.get_context("spawn").Process(target=call_nobody)
    process.start()
    process.join(60)
    assert process.exitcode == 0
