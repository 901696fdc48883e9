"""A real server, and a proxy before it that cuts, stalls and swallows."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import socket
import struct
import subprocess
import threading


class Server:
    """A server of its own with its own data. A restarted one has another port; clients reach it through a proxy."""

    def __init__(self, binary: str, data: pathlib.Path, *options: str) -> None:
        self.binary = binary
        self.data = data
        self.options = options
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        return (self.data / "admin.key").read_text().strip()

    def start(self) -> None:
        with (self.data.parent / f"{self.data.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", self.data, *self.options],
                # Variables that are there for clients could be taken for the server's configuration.
                env={name: value for name, value in os.environ.items() if not name.startswith("QUARTERDECK_")},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("listening on "):
            self.kill()
            raise AssertionError(f"the server said {line!r}")
        self.port = int(line.rsplit(":", 1)[1])

    def kill(self) -> None:
        """As `kill -9` does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def restart(self) -> None:
        self.kill()
        self.start()


class Proxy:
    """Passes bytes between clients and a server, on one port over the server's restarts."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._stalled: set[socket.socket] = set()
        self._refusing = self._swallow = False
        self.swallowed = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """Resets every connection. New ones work."""
        with self._lock:
            for pair in self._pairs:
                for end in pair:
                    _reset(end)
            self._pairs.clear()

    def refuse(self) -> None:
        """Cuts, and resets new connections, until `accept`."""
        self._refusing = True
        self.cut()

    def accept(self) -> None:
        self._refusing = False

    def stall(self) -> None:
        """Lets the connections that there are go silent, without an end. New ones work."""
        with self._lock:
            self._stalled.update(end for pair in self._pairs for end in pair)

    def swallow_next_answer(self) -> None:
        """Cuts at the next bytes that the server sends, after it did what it was asked for."""
        self._swallow = True

    def close(self) -> None:
        # A listener that only is closed keeps its `accept` waiting.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                _reset(client)
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._server.port))
            except OSError:
                client.close()
                continue
            with self._lock:
                self._pairs.append((client, server))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=(source, sink, source is server), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if answers and self._swallow and _holds_an_answer(data):
                    self._swallow = False
                    self.cut()
                    self.swallowed.set()
                    return
                if source in self._stalled:
                    continue
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _holds_an_answer(data: bytes) -> bool:
    """Whether there is a DATA frame, as far as frames begin with the bytes that were read."""
    while len(data) >= 9:
        length, kind = int.from_bytes(data[:3], "big"), data[3]
        if kind == 0:
            return True
        data = data[9 + length :]
    return False


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.shutdown(socket.SHUT_RDWR)
    end.close()
