"""Where a server is and how it is reached: address, key, TLS files, and the channel's options."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import grpc

from quarterdeck._version import __version__

DEFAULT_ADDRESS = "http://127.0.0.1:7777"
ANSWER_MAX_BYTES = 64 * 1024 * 1024
"""Largest answer: the longest reply of a turn with room for its escapes and for a page of messages."""
WINDOW_BYTES = 64 * 1024
"""What a stream may send ahead of its reader."""
CONNECT_TIMEOUT_SECONDS = 5
LONGEST_RECONNECT_PAUSE_SECONDS = 2
KEEP_ALIVE_SECONDS = 10
KEEP_ALIVE_TIMEOUT_SECONDS = 5

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Endpoint:
    """A server, and what calls to it carry."""

    address: str
    """As people write it."""
    target: str
    """As grpcio wants it."""
    options: tuple[tuple[str, str | int], ...]
    credentials: grpc.ChannelCredentials | None = field(repr=False)
    """None for plaintext."""
    metadata: tuple[tuple[str, str], ...] = field(repr=False)
    """Holds the key: never shown."""


def endpoint(
    address: str | None,
    key: str | None,
    *,
    ca: PathLike | None = None,
    certificate: PathLike | None = None,
    private_key: PathLike | None = None,
    allow_plaintext_key: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> Endpoint:
    """Checks everything that can be checked before the first call; raises ValueError or OSError."""
    address = address or environment.get("QUARTERDECK_ADDR") or DEFAULT_ADDRESS
    key = key if key is not None else environment.get("QUARTERDECK_KEY", "")
    scheme, target, local = _parse(address)
    files = (ca, certificate, private_key)
    if scheme != "https" and any(files):
        raise ValueError(f"{address}: a CA and client certificates are for https:// addresses")
    metadata = _metadata(key.strip())
    if metadata and scheme == "http" and not local and not allow_plaintext_key:
        raise ValueError(
            f"{address}: the key would go over the network unencrypted. Use https://, or where something else "
            "encrypts on the way say allow_plaintext_key=True"
        )
    return Endpoint(
        address=address,
        target=target,
        options=_options(local),
        credentials=_tls(*files) if scheme == "https" else None,
        metadata=metadata,
    )


def _parse(address: str) -> tuple[str, str, bool]:
    """Scheme, target, and whether it is on this machine."""

    def bad(why: str) -> ValueError:
        return ValueError(f"{address!r} can't be used as an address: {why}")

    if address.startswith("unix:"):
        path = address.removeprefix("unix:").removeprefix("//")
        if not path:
            raise bad("it must be unix:PATH")
        return "unix", f"unix:{path}", True
    parts = urlsplit(address if "://" in address else f"http://{address}")
    if parts.scheme not in ("http", "https"):
        raise bad("it must be http://HOST:PORT, https://HOST:PORT or unix:PATH")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address can't hold a user or a password; keys go by themselves")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise bad("nothing may follow the port")
    try:
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except ValueError:
        raise bad("the port must be a number up to 65535") from None
    if not parts.hostname or any(character.isspace() for character in parts.hostname):
        raise bad("it names no host")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return parts.scheme, f"dns:///{host}:{port}", _is_loopback(parts.hostname)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _metadata(key: str) -> tuple[tuple[str, str], ...]:
    if not key:
        return ()
    if not all("!" <= character <= "~" for character in key):
        raise ValueError("the key must be visible ASCII")
    return (("authorization", f"Bearer {key}"),)


def _tls(ca: PathLike | None, certificate: PathLike | None, private_key: PathLike | None) -> grpc.ChannelCredentials:
    if (certificate is None) != (private_key is None):
        raise ValueError("a client certificate and its private key go together: give both")
    return grpc.ssl_channel_credentials(
        root_certificates=_pem(ca), private_key=_pem(private_key), certificate_chain=_pem(certificate)
    )


def _pem(path: PathLike | None) -> bytes | None:
    if path is None:
        return None
    content = Path(path).read_bytes()
    if b"-----BEGIN " not in content:
        raise ValueError(f"{os.fspath(path)} holds nothing as PEM")
    return content


def _options(local: bool) -> tuple[tuple[str, str | int], ...]:
    options: list[tuple[str, str | int]] = [
        ("grpc.primary_user_agent", f"quarterdeck-python/{__version__}"),
        ("grpc.max_receive_message_length", ANSWER_MAX_BYTES),
        # A fixed window: probing would let it grow to megabytes for a reader that is slow.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", WINDOW_BYTES),
        ("grpc.keepalive_time_ms", KEEP_ALIVE_SECONDS * 1000),
        ("grpc.keepalive_timeout_ms", KEEP_ALIVE_TIMEOUT_SECONDS * 1000),
        # Without this the answer to a ping may take a minute, whatever `keepalive_timeout_ms` says.
        ("grpc.http2.ping_timeout_ms", KEEP_ALIVE_TIMEOUT_SECONDS * 1000),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        # grpcio takes this for the time to connect as well.
        ("grpc.min_reconnect_backoff_ms", CONNECT_TIMEOUT_SECONDS * 1000),
        ("grpc.max_reconnect_backoff_ms", LONGEST_RECONNECT_PAUSE_SECONDS * 1000),
    ]
    if local:
        # grpcio would send loopback through `http_proxy` as well.
        options.append(("grpc.enable_http_proxy", 0))
    return tuple(options)
