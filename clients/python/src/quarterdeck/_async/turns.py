"""Prompts and the turns that they become."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from typing_extensions import Unpack

from quarterdeck._core.prompt import PromptOptions, enqueue_request
from quarterdeck._core.retry import FOREVER
from quarterdeck._core.values import Seconds, duration
from quarterdeck.v1.gateway_pb2 import (
    AbortMode,
    AbortRequest,
    AbortResponse,
    AwaitTurnRequest,
    AwaitTurnResponse,
    ClearQueueRequest,
    ClearQueueResponse,
    EnqueueResponse,
    GetTurnRequest,
    GetTurnResponse,
    ListQueueRequest,
    ListQueueResponse,
    ListTurnsRequest,
    ListTurnsResponse,
    RemoveQueuedRequest,
    RemoveQueuedResponse,
    SteerRequest,
    SteerResponse,
    UpdateQueuedRequest,
    UpdateQueuedResponse,
)
from quarterdeck.v1.message_pb2 import Attachment
from quarterdeck.v1.turn_pb2 import Turn, TurnState

from .calls import AsyncCalls
from .paging import pages


class AsyncTurnCalls(AsyncCalls):
    """Prompts and the turns that they become."""

    async def enqueue(
        self, session_key: str, text: str, *, timeout: float | None = None, **options: Unpack[PromptOptions]
    ) -> EnqueueResponse:
        """Accepts a prompt for a session, which is created when missing, and answers once it is on disk."""
        request = enqueue_request(session_key, text, **options)
        return await self._connection.call("gateway", "Enqueue", request, EnqueueResponse, timeout)

    async def await_turn(
        self,
        session_key: str,
        turn_id: str,
        *,
        wait: Seconds | None = None,
        or_question: bool = False,
        timeout: float | None = None,
    ) -> AwaitTurnResponse:
        """Waits until a turn has ended, or ``wait`` passed; then the turn is given as it is.

        With ``or_question`` also until its agent asks something: ``questions`` then holds what waits for an answer.
        Has no deadline unless ``timeout`` gives one.
        """
        request = AwaitTurnRequest(
            session_key=session_key, turn_id=turn_id, wait=duration(wait), or_question=or_question
        )
        return await self._connection.call(
            "gateway", "AwaitTurn", request, AwaitTurnResponse, FOREVER if timeout is None else timeout
        )

    async def get_turn(
        self,
        session_key: str,
        turn_id: str,
        *,
        timeout: float | None = None,
    ) -> GetTurnResponse:
        """Reads one turn, with its texts whole."""
        request = GetTurnRequest(session_key=session_key, turn_id=turn_id)
        return await self._connection.call("gateway", "GetTurn", request, GetTurnResponse, timeout)

    async def list_turns(
        self,
        *,
        session_key: str = "",
        states: Iterable[TurnState | str] = (),
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ListTurnsResponse:
        """Lists turns, newest first: of one session, or of all."""
        request = ListTurnsRequest(session_key=session_key, states=states, page_size=page_size, page_token=page_token)
        return await self._connection.call("gateway", "ListTurns", request, ListTurnsResponse, timeout)

    def all_turns(
        self,
        *,
        session_key: str = "",
        states: Iterable[TurnState | str] = (),
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[Turn]:
        """All turns, newest first: of one session, or of all; ``page_size`` are fetched at once."""
        states = tuple(states)
        return pages(
            lambda token: self.list_turns(
                session_key=session_key, states=states, page_size=page_size, page_token=token, timeout=timeout
            ),
            "turns",
        )

    async def steer(
        self,
        session_key: str,
        text: str,
        *,
        attachments: Iterable[Attachment] = (),
        expected_turn_id: str = "",
        expected_generation: int | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> SteerResponse:
        """Gives text to the active turn; becomes a waiting turn where none is running."""
        request = SteerRequest(
            session_key=session_key,
            text=text,
            attachments=attachments,
            expected_turn_id=expected_turn_id,
            expected_generation=expected_generation,
            request_id=request_id,
        )
        return await self._connection.call("gateway", "Steer", request, SteerResponse, timeout)

    async def abort(
        self,
        session_key: str,
        *,
        turn_id: str = "",
        clear_queue: bool = False,
        mode: AbortMode | str | None = None,
        grace: Seconds | None = None,
        expected_generation: int | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> AbortResponse:
        """Stops a turn and answers when the stop is proven: ``aborted`` is true exactly if it did not finish by itself.

        Without ``turn_id`` the active turn is meant. Mind that ``timeout`` must outlast ``grace``.
        """
        request = AbortRequest(
            session_key=session_key,
            turn_id=turn_id,
            clear_queue=clear_queue,
            mode=mode,
            grace=duration(grace),
            expected_generation=expected_generation,
            request_id=request_id,
        )
        return await self._connection.call("gateway", "Abort", request, AbortResponse, timeout)

    async def list_queue(
        self,
        session_key: str,
        *,
        timeout: float | None = None,
    ) -> ListQueueResponse:
        """Lists the waiting turns in the order in which they will start."""
        request = ListQueueRequest(session_key=session_key)
        return await self._connection.call("gateway", "ListQueue", request, ListQueueResponse, timeout)

    async def update_queued(
        self,
        session_key: str,
        turn_id: str,
        *,
        text: str | None = None,
        position: int | None = None,
        expected_generation: int | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> UpdateQueuedResponse:
        """Changes text or place of a waiting turn."""
        request = UpdateQueuedRequest(
            session_key=session_key,
            turn_id=turn_id,
            text=text,
            position=position,
            expected_generation=expected_generation,
            request_id=request_id,
        )
        return await self._connection.call("gateway", "UpdateQueued", request, UpdateQueuedResponse, timeout)

    async def remove_queued(
        self,
        session_key: str,
        turn_id: str,
        *,
        expected_generation: int | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> RemoveQueuedResponse:
        """Takes one waiting turn from the queue."""
        request = RemoveQueuedRequest(
            session_key=session_key, turn_id=turn_id, expected_generation=expected_generation, request_id=request_id
        )
        return await self._connection.call("gateway", "RemoveQueued", request, RemoveQueuedResponse, timeout)

    async def clear_queue(
        self,
        session_key: str,
        *,
        expected_generation: int | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> ClearQueueResponse:
        """Takes all waiting turns from the queue and returns them."""
        request = ClearQueueRequest(
            session_key=session_key, expected_generation=expected_generation, request_id=request_id
        )
        return await self._connection.call("gateway", "ClearQueue", request, ClearQueueResponse, timeout)
