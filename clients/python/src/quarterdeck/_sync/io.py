"""What asyncio and threads do differently: channel, sleeping, reading a stream. `_async/io.py` is its counterpart."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeAlias, TypeVar

import grpc

from quarterdeck._core.endpoint import Endpoint
from quarterdeck.v1.question_pb2 import Answer, Question

Message = TypeVar("Message")

QuestionHandler: TypeAlias = Callable[[Question], Answer | None]
"""Gives the answer to a question, or None to leave it to somebody else."""


def given(answer: Answer | None) -> Answer | None:
    """What a handler gave."""
    return answer


class Silent(Exception):
    """Nothing came for too long."""


def open_channel(endpoint: Endpoint) -> grpc.Channel:
    """A channel. Connects at the first call."""
    if endpoint.credentials is None:
        return grpc.insecure_channel(endpoint.target, options=endpoint.options)
    return grpc.secure_channel(endpoint.target, endpoint.credentials, options=endpoint.options)


def sleep(seconds: float) -> None:
    """Waits."""
    time.sleep(seconds)


class Closing:
    """Whether something was closed; a sleep ends with it. May be closed by another thread."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        """Closes."""
        self._event.set()

    def sleep(self, seconds: float) -> None:
        """Waits, but not for longer than until closed."""
        self._event.wait(seconds)


class Stream(Generic[Message]):
    """One stream of the server, read one message at a time: nothing is held between the connection and the reader."""

    def __init__(self, call: Any, silence: float | None) -> None:
        self._call = call
        self._messages: Iterator[Message] = iter(call)
        self._silence = silence
        self._waiting_since: float | None = None
        self._silent = self._cancelled = False
        self._watchdog = None if silence is None else _watch(weakref.ref(self), silence)
        self.ended = False
        """True once there is nothing more to read."""

    def read(self) -> Message | None:
        """The next message; None at the end. Raises grpc.RpcError or Silent."""
        self._waiting_since = time.monotonic()
        try:
            return next(self._messages)
        except StopIteration:
            self._end()
            return None
        except grpc.RpcError:
            self._end()
            if self._silent:
                raise Silent from None
            if self._cancelled:
                return None
            raise
        finally:
            self._waiting_since = None

    def cancel(self) -> None:
        """Ends it. A read that waits in another thread returns None."""
        self._cancelled = True
        self._end()
        self._call.cancel()

    def look(self) -> float | None:
        """Cancels a call that was silent for too long; otherwise tells when to look again."""
        waiting_since = self._waiting_since
        if self.ended or self._silence is None:
            return None
        if waiting_since is None:
            return self._silence
        left = self._silence - (time.monotonic() - waiting_since)
        if left > 0:
            return left
        self._silent = True
        self._call.cancel()
        return None

    def _end(self) -> None:
        self.ended = True
        if self._watchdog is not None:
            self._watchdog.set()


def _watch(reference: weakref.ref[Stream[Any]], seconds: float) -> threading.Event:
    """Looks after a stream from a thread of its own, for a read can't be given a time limit."""
    ended = threading.Event()

    def look() -> None:
        wait: float | None = seconds
        while wait is not None and not ended.wait(wait):
            stream = reference()
            wait = stream.look() if stream is not None else None
            del stream

    threading.Thread(target=look, name="quarterdeck-watchdog", daemon=True).start()
    return ended
