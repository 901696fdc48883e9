"""What asyncio and threads do differently: channel, sleeping, reading a stream. `_sync/io.py` is its counterpart."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Generic, TypeAlias, TypeVar

import grpc

from quarterdeck._core.endpoint import Endpoint
from quarterdeck.v1.question_pb2 import Answer, Question

Message = TypeVar("Message")

AsyncQuestionHandler: TypeAlias = Callable[[Question], Answer | Awaitable[Answer | None] | None]
"""Gives the answer to a question, or None to leave it to somebody else. May be a coroutine function."""


async def given(answer: Answer | Awaitable[Answer | None] | None) -> Answer | None:
    """What a handler gave."""
    return await answer if isinstance(answer, Awaitable) else answer


class Silent(Exception):
    """Nothing came for too long."""


def open_channel(endpoint: Endpoint) -> grpc.aio.Channel:
    """A channel of the running event loop. Connects at the first call."""
    if endpoint.credentials is None:
        return grpc.aio.insecure_channel(endpoint.target, options=endpoint.options)
    return grpc.aio.secure_channel(endpoint.target, endpoint.credentials, options=endpoint.options)


async def sleep(seconds: float) -> None:
    """Waits."""
    await asyncio.sleep(seconds)


class Closing:
    """Whether something was closed; a sleep ends with it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        """Closes."""
        self._event.set()

    async def sleep(self, seconds: float) -> None:
        """Waits, but not for longer than until closed."""
        try:
            await asyncio.wait_for(self._event.wait(), seconds)
        except asyncio.TimeoutError:
            pass


class Stream(Generic[Message]):
    """One stream of the server, read one message at a time: nothing is held between the connection and the reader."""

    def __init__(self, call: Any, silence: float | None) -> None:
        self._call = call
        self._messages: AsyncIterator[Message] = call.__aiter__()
        self._silence = silence
        self._waiting_since: float | None = None
        self._silent = self._cancelled = False
        self.ended = False
        """True once there is nothing more to read."""
        if silence is not None:
            _watch(weakref.ref(self), silence)

    async def read(self) -> Message | None:
        """The next message; None at the end. Raises grpc.RpcError or Silent."""
        self._waiting_since = asyncio.get_running_loop().time()
        try:
            return await self._messages.__anext__()
        except StopAsyncIteration:
            self.ended = True
            return None
        except asyncio.CancelledError:
            # grpcio says the same for a call that was cancelled and for a reader that was.
            self.ended = True
            if _reader_is_cancelled(otherwise_known=self._silent or self._cancelled):
                raise
            if self._silent:
                raise Silent from None
            if self._cancelled:
                return None
            raise
        except BaseException:
            self.ended = True
            raise
        finally:
            self._waiting_since = None

    def cancel(self) -> None:
        """Ends it. A read that waits returns None."""
        self.ended = self._cancelled = True
        self._call.cancel()

    def look(self) -> float | None:
        """Cancels a call that was silent for too long; otherwise tells when to look again."""
        if self.ended or self._silence is None:
            return None
        if self._waiting_since is None:
            return self._silence
        left = self._silence - (asyncio.get_running_loop().time() - self._waiting_since)
        if left > 0:
            return left
        self._silent = True
        self._call.cancel()
        return None


def _watch(reference: weakref.ref[Stream[Any]], seconds: float) -> None:
    def look() -> None:
        stream = reference()
        again = stream.look() if stream is not None else None
        if again is not None:
            _watch(reference, again)

    asyncio.get_running_loop().call_later(seconds, look)


def _reader_is_cancelled(*, otherwise_known: bool) -> bool:
    task = asyncio.current_task()
    if task is None or not hasattr(task, "cancelling"):
        # Python 3.10 does not tell.
        return not otherwise_known
    return bool(task.cancelling() > 0)
