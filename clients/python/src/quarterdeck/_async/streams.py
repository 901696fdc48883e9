"""Streams that come back by themselves after a cut."""

from __future__ import annotations

import logging
import time
from collections import deque
from types import TracebackType
from typing import Any, Generic, TypeVar

import grpc
from typing_extensions import Self

from quarterdeck import errors
from quarterdeck._core.position import (
    LogPosition,
    LogUpdate,
    ManyPosition,
    Position,
    SessionPosition,
    SessionUpdate,
    TurnPosition,
    WatchPosition,
)
from quarterdeck._core.retry import FOREVER, Retry, explain
from quarterdeck._core.status import error_of
from quarterdeck._core.text import TextPieces
from quarterdeck.errors import Cursor
from quarterdeck.v1.event_pb2 import GatewayEvent
from quarterdeck.v1.gateway_pb2 import GetSessionStateRequest, GetSessionStateResponse
from quarterdeck.v1.turn_pb2 import TURN_STATE_COMPLETED, Turn

from . import io
from .calls import AsyncConnection
from .questions import AsyncAnswering, AsyncQuestionCalls

logger = logging.getLogger("quarterdeck")

Item = TypeVar("Item")


class AsyncResuming(Generic[Item]):
    """An iterator over a stream of the server that opens it again after each cut.

    It reads when it is asked for the next item and holds nothing beyond that one. Close it, or use it in a ``with``
    block, when it isn't read to its end.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        service: str,
        position: Position[Any, Any, Item],
        *,
        patience: float | None = None,
        timeout: float | None = None,
    ) -> None:
        self._connection = connection
        self._service = service
        self._position = position
        self._stream: io.Stream[Any] | None = None
        self._items: deque[Item] = deque()
        self._retry = Retry(
            connection.reach,
            connection.patience,
            attached_patience=connection.patience if patience is None else patience,
        )
        self._until = time.monotonic() + (FOREVER if timeout is None else timeout)
        self._closing = io.Closing()
        connection.streams.add(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        while not self._items and not self._closing:
            if self._position.finished:
                await self.close()
                break
            error = await self._read()
            if error is not None and not self._closing:
                await self._recover(error)
        if not self._items:
            raise StopAsyncIteration
        return self._items.popleft()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends it. Whoever waits for the next item gets none."""
        self._closing.set()
        self._items.clear()
        if self._stream is not None:
            self._stream.cancel()

    async def _read(self) -> errors.QuarterdeckError | None:
        """Takes one message; an error where the stream broke."""
        try:
            if self._stream is None or self._stream.ended:
                method = getattr(self._connection.stub(self._service), self._position.rpc)
                left = self._until - time.monotonic()
                call = method(self._position.request(), timeout=None if left == FOREVER else max(left, 0.0))
                self._stream = io.Stream(call, self._position.silence)
                if self._closing:
                    # Closed by another thread meanwhile.
                    self._stream.cancel()
            message = await self._stream.read()
        except grpc.RpcError as raised:
            return error_of(raised)
        except io.Silent:
            return errors.Unavailable(f"nothing came for {self._position.silence:.0f} s")
        if message is not None:
            self._retry.worked()
            self._items.extend(self._position.take(message))
        elif self._position.ended():
            self._closing.set()
        else:
            return errors.Unavailable("the stream ended without a reason")
        return None

    async def _recover(self, error: errors.QuarterdeckError) -> None:
        """Waits until it makes sense to open the stream again, or raises the error."""
        instead = self._position.replace(error)
        if instead:
            self._items.extend(instead)
            return
        session_key = self._position.void(error)
        if session_key is not None:
            assert isinstance(error, errors.CursorVoid)
            error.snapshot = await self._state(session_key)
            error.cursor = self._position.move(session_key, error.snapshot)
            raise error
        pause = self._retry.pause(error, time.monotonic(), self._until)
        if pause is None:
            self._position.forget(error)
            raise explain(error, self._connection.reach)
        logger.info("%s was cut (%s); back in %.1f s", self._position.rpc, error, pause)
        await self._closing.sleep(pause)

    async def _state(self, session_key: str) -> GetSessionStateResponse:
        request = GetSessionStateRequest(session_key=session_key)
        return await self._connection.call("gateway", "GetSessionState", request, GetSessionStateResponse, None)


class AsyncSubscription(AsyncResuming[GatewayEvent]):
    """Follows one session: each durable event once and in order. Ends after ``session_deleted``."""

    _position: SessionPosition

    @property
    def cursor(self) -> Cursor | None:
        """Where to go on later, after the event that was read last; None before the first one."""
        return self._position.cursor


class AsyncManySubscription(AsyncResuming[GatewayEvent]):
    """Follows several sessions, each as :class:`AsyncSubscription` does, without an order across sessions.

    An error about one session, such as ``CursorExpired`` or ``SessionDeleted``, is raised with the session's key in
    ``metadata["session_key"]``. Iterate again to go on with the others.
    """

    _position: ManyPosition

    @property
    def cursors(self) -> dict[str, Cursor]:
        """Where to go on later, by session key."""
        return self._position.cursors


class AsyncRun(AsyncResuming[GatewayEvent]):
    """The events of one turn, up to its ``turn_ended``. What its agent asks is answered before the event is given."""

    _position: TurnPosition

    def __init__(
        self,
        connection: AsyncConnection,
        position: TurnPosition,
        *,
        on_question: io.AsyncQuestionHandler | None,
        timeout: float | None,
    ) -> None:
        super().__init__(connection, "gateway", position, timeout=timeout)
        self._answering = on_question and AsyncAnswering(AsyncQuestionCalls(connection), on_question)

    async def __anext__(self) -> GatewayEvent:
        event = await super().__anext__()
        if self._answering is not None:
            await self._answering.take(event)
        return event


class AsyncSessionWatch(AsyncResuming[SessionUpdate]):
    """All sessions that match, then each one that changes. After each cut there is a new list."""

    _position: WatchPosition


class AsyncLogTail(AsyncResuming[LogUpdate]):
    """The server's log records."""

    _position: LogPosition


class AsyncChat:
    """The assistant's text of one turn, piece by piece as it arrives.

    Raises ``TurnFailed`` where the turn doesn't complete.
    """

    def __init__(self, run: AsyncRun) -> None:
        self._run = run
        self._pieces = TextPieces()
        self.turn: Turn | None = None
        """The turn as it ended; None until then."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        while True:
            event = await self._run.__anext__()
            if event.HasField("turn_ended"):
                self.turn = event.turn_ended.turn
                if self.turn.state != TURN_STATE_COMPLETED:
                    await self.close()
                    raise errors.TurnFailed(self.turn)
            piece = self._pieces.take(event)
            if piece:
                return piece

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends it. The turn goes on unless ``cancel_on_disconnect`` was asked for."""
        await self._run.close()
