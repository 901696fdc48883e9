"""A peer that writes the HTTP/2 frames that it is told to, wrong ones too, and counts what comes back.

Frames are packed by hand (RFC 9113), header blocks by `hpack`. Attacks come from 127.0.0.2, so that a bound on the
connections of one address does not meet the healthy caller beside them.
"""

import collections
import socket
import struct
import threading
import time
import zlib

import hpack

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
HEADER_TABLE_SIZE, ENABLE_PUSH, STREAMS, INITIAL_WINDOW_SIZE = 1, 2, 3, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SOURCE = ("127.0.0.2", 0)
SERVICE = "/quarterdeck.v1.GatewayService/"


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(**values):
    numbers = {"table": HEADER_TABLE_SIZE, "push": ENABLE_PUSH, "window": INITIAL_WINDOW_SIZE}
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", numbers[name], value) for name, value in values.items()))


def head(path, *extra):
    """A header block that adds nothing to the server's table, so that it can be sent again and again."""
    fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
              ("content-type", "application/grpc"), ("te", "trailers"), *extra]
    return hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*field) for field in fields])


def message(body, compressed=False):
    return struct.pack(">BI", compressed, len(body)) + body


def varint(number):
    out = b""
    while number >= 128:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number, value):
    return varint(number << 3 | 2) + varint(len(value)) + value


class Peer:
    """A connection. What the server says is read by a thread, unless it is not to be read at all."""

    def __init__(self, address, reads=True, hello=True, source=SOURCE, **values):
        self.socket = socket.create_connection(address, timeout=10, source_address=source)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.frames = collections.Counter()
        self.goaways = []
        self.resets = collections.Counter()
        self.answers = {}
        self.closed = threading.Event()
        self.news = threading.Condition()
        self.decoder = hpack.Decoder()
        if hello:
            self.send(PREFACE + settings(**values))
        if reads:
            threading.Thread(target=self._read, daemon=True).start()

    def send(self, data):
        """Sends all. False where the server hung up, or takes nothing any more."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def call(self, stream, path, body, *extra, compressed=False):
        """A whole call; the body goes out as the server's windows let it."""
        payload = message(body, compressed)
        self.send(frame(HEADERS, END_HEADERS, stream, head(path, *extra)))
        while len(payload) > 16384:
            self.send(frame(DATA, 0, stream, payload[:16384]))
            payload = payload[16384:]
        self.send(frame(DATA, END_STREAM, stream, payload))

    def answer(self, stream, seconds=10):
        """The answer's headers and trailers, or `reset`, `closed`, `silence`."""
        with self.news:
            self.news.wait_for(lambda: "end" in self.answers.get(stream, {}) or self.closed.is_set(), seconds)
        answer = self.answers.get(stream, {})
        if "end" in answer:
            return answer
        return {"end": "closed" if self.closed.is_set() else "silence"}

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise ConnectionError
            data += piece
        return data

    def _read(self):
        try:
            self.socket.settimeout(None)
            while True:
                length, kind, flags, stream = struct.unpack(">IBBI", b"\0" + self._exactly(9))
                self._take(kind, flags, stream, self._exactly(length))
        except (OSError, ConnectionError, hpack.HPACKError):
            pass
        self.closed.set()
        with self.news:
            self.news.notify_all()

    def _take(self, kind, flags, stream, payload):
        self.frames[kind] += 1
        answer = self.answers.setdefault(stream, {}) if stream else {}
        if kind == GOAWAY:
            self.goaways.append(struct.unpack(">I", payload[4:8])[0])
        elif kind == RST_STREAM:
            self.resets[struct.unpack(">I", payload)[0]] += 1
            answer.setdefault("end", "reset")
        elif kind == HEADERS:
            answer.update(self.decoder.decode(payload))
        elif kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK))
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            answer.setdefault("end", "done")
        if stream > 512:
            # A flood's answers are counted, not kept.
            self.answers.pop(stream - 512, None)
        if kind in (GOAWAY, RST_STREAM, HEADERS, DATA):
            with self.news:
                self.news.notify_all()


def gzip(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


class Until:
    """A bound in time for an attack that the server slows down."""

    def __init__(self, seconds):
        self.end = time.monotonic() + seconds

    def __bool__(self):
        return time.monotonic() < self.end
