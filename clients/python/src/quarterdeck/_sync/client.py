# Made of its counterpart in _async by `generate-sync`: change that.
"""The client: one connection, and everything that can be done over it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

from typing_extensions import Self, Unpack

from quarterdeck._core.endpoint import PathLike, endpoint
from quarterdeck._core.position import (
    ManyPosition,
    SessionPosition,
    Start,
    TurnPosition,
    WatchPosition,
)
from quarterdeck._core.prompt import PromptOptions, enqueue_request
from quarterdeck._core.retry import FOREVER
from quarterdeck._core.values import Seconds, duration
from quarterdeck.errors import Cursor
from quarterdeck.v1.gateway_pb2 import (
    RunRequest,
    SessionFilter,
    SubscribeManyRequest,
    SubscribeRequest,
    WatchSessionsRequest,
)

from . import io
from .admin import Admin
from .calls import Connection, Stub
from .choices import ChoiceCalls
from .memory import Memory
from .questions import QuestionCalls
from .schedules import Schedules
from .sessions import SessionCalls
from .streams import Chat, ManySubscription, Run, SessionWatch, Subscription
from .turns import TurnCalls
from .webhooks import Webhooks


class Client(TurnCalls, SessionCalls, ChoiceCalls, QuestionCalls):
    """A client of one server. Connects at its first call. Close it, or use it in a ``with`` block.

    ``address`` is ``http://HOST:PORT``, ``https://HOST:PORT`` or ``unix:PATH``; by default that of
    ``QUARTERDECK_ADDR``, else ``http://127.0.0.1:7777``. ``key`` is an API key or another token; by default that of
    ``QUARTERDECK_KEY``. It is refused where it would cross a network unencrypted, unless ``allow_plaintext_key`` says
    that this is wanted.

    ``ca``, ``certificate`` and ``private_key`` are PEM files for ``https://`` addresses: who signed the server's
    certificate (default: the authorities that grpcio brings), and the client's own certificate with its key.

    ``timeout`` is the deadline in seconds of calls that are given none of their own. ``patience`` is how long, in
    seconds, a call is tried again while the server is unavailable, inside that deadline.
    """

    def __init__(
        self,
        address: str | None = None,
        key: str | None = None,
        *,
        ca: PathLike | None = None,
        certificate: PathLike | None = None,
        private_key: PathLike | None = None,
        allow_plaintext_key: bool = False,
        timeout: float = 30.0,
        patience: float = 30.0,
    ) -> None:
        """Checks address, key and files; raises ValueError or OSError where they can't be used."""
        where = endpoint(
            address,
            key,
            ca=ca,
            certificate=certificate,
            private_key=private_key,
            allow_plaintext_key=allow_plaintext_key,
        )
        super().__init__(Connection(where, timeout, patience))
        self.memory = Memory(self._connection)
        """Memory that survives, is found, and reaches the agent."""
        self.admin = Admin(self._connection)
        """The server itself: who may call, how it is set, what it says."""
        self.schedules = Schedules(self._connection)
        """Prompts that are sent by the clock."""
        self.webhooks = Webhooks(self._connection)
        """What happens in sessions, posted to addresses."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._connection.endpoint.address!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection. Calls and streams that are open end."""
        self._connection.close()

    def stub(self, service: str) -> Stub:
        """The generated stub of ``gateway``, ``memory``, ``models``, ``admin``, ``schedules`` or ``webhooks``: calls
        carry the key, nothing is tried again."""
        return self._connection.stub(service)

    def subscribe(
        self,
        session_key: str,
        cursor: Cursor | None = None,
        *,
        from_oldest: bool = False,
        deltas: bool = True,
        subagents: bool = False,
        kinds: Iterable[str] = (),
        min_seq: int = 0,
        progress_interval: Seconds | None = None,
        coalesce: Seconds | None = None,
        patience: float = FOREVER,
    ) -> Subscription:
        """Follows a session: events after ``cursor``, or from the oldest one kept, or from now on; then all live ones.

        Comes back by itself after a lost connection or a restart of the server, for as long as ``patience`` (seconds)
        lasts. Nothing is read before the first iteration. Raises ``CursorExpired``, ``LogChanged`` or ``CursorAhead``
        with the session's state where the cursor is void.
        """
        request = SubscribeRequest(
            session_key=session_key,
            from_oldest=from_oldest,
            deltas=deltas,
            subagents=subagents,
            kinds=kinds,
            min_seq=min_seq,
            progress_interval=duration(progress_interval),
            coalesce=duration(coalesce),
        )
        position = SessionPosition(request, cursor)
        return Subscription(self._connection, "gateway", position, patience=patience)

    def subscribe_many(
        self,
        sessions: Mapping[str, Cursor | Start] | Iterable[str] = (),
        *,
        filter: SessionFilter | None = None,
        watch: SessionFilter | None = None,
        deltas: bool = True,
        subagents: bool = False,
        kinds: Iterable[str] = (),
        progress_interval: Seconds | None = None,
        coalesce: Seconds | None = None,
        patience: float = FOREVER,
    ) -> ManySubscription:
        """Follows several sessions in one stream: those of ``sessions``, each from its cursor, and all of ``filter``.

        Keys without a cursor start now. An empty ``SessionFilter`` matches every session that may be read. ``watch``
        reports the state of sessions without following them, as ``session_state`` events.
        """
        request = SubscribeManyRequest(
            filter=filter,
            watch=watch,
            deltas=deltas,
            subagents=subagents,
            kinds=kinds,
            progress_interval=duration(progress_interval),
            coalesce=duration(coalesce),
        )
        position = ManyPosition(request, sessions)
        return ManySubscription(self._connection, "gateway", position, patience=patience)

    def watch_sessions(self, filter: SessionFilter | None = None, *, patience: float = FOREVER) -> SessionWatch:
        """Tells all sessions that match, then each one that changes.

        Gives ``ListStarted``, the sessions, ``ListCompleted``, then what changes; and the same again after each cut.
        """
        position = WatchPosition(WatchSessionsRequest(filter=filter))
        return SessionWatch(self._connection, "gateway", position, patience=patience)

    def run(
        self,
        session_key: str,
        text: str,
        *,
        cancel_on_disconnect: bool = False,
        on_question: io.QuestionHandler | None = None,
        timeout: float | None = None,
        **options: Unpack[PromptOptions],
    ) -> Run:
        """Runs a prompt and gives the events of its turn, up to ``turn_ended``. The first iteration sends it.

        ``on_question`` is called once with each question that waits for somebody, such as whether a tool may run, and
        gives an answer (:mod:`quarterdeck.answers`), or None to leave it to somebody else. A question of kind TOOL_CALL
        asks the caller to run a tool. The events that follow wait for it.

        ``timeout`` bounds the reading, not the turn, which has ``turn_timeout``.
        """
        request = RunRequest(
            enqueue=enqueue_request(session_key, text, **options), cancel_on_disconnect=cancel_on_disconnect
        )
        return Run(self._connection, TurnPosition(request), on_question=on_question, timeout=timeout)

    def chat(
        self,
        session_key: str,
        text: str,
        *,
        cancel_on_disconnect: bool = False,
        on_question: io.QuestionHandler | None = None,
        timeout: float | None = None,
        **options: Unpack[PromptOptions],
    ) -> Chat:
        """Runs a prompt and gives the assistant's text piece by piece: nothing twice, nothing lost, over cuts too.

        Raises ``TurnFailed`` where the turn does not complete. A turn that a crash makes run again (``on_interrupt``)
        begins its text anew, after the pieces of its first attempt. ``on_question`` is that of :meth:`run`.
        """
        run = self.run(
            session_key,
            text,
            cancel_on_disconnect=cancel_on_disconnect,
            on_question=on_question,
            timeout=timeout,
            **options,
        )
        return Chat(run)

    def ask(
        self,
        session_key: str,
        text: str,
        schema: Mapping[str, Any],
        *,
        cancel_on_disconnect: bool = False,
        on_question: io.QuestionHandler | None = None,
        timeout: float | None = None,
        **options: Unpack[PromptOptions],
    ) -> Any:
        """Runs a prompt and gives what its turn answers by a JSON Schema, parsed: a value that meets it.

        Raises ``TurnFailed`` where the turn does not complete; its ``reason`` is ``OUTPUT_INVALID`` where nothing that
        the agent gave meets the schema. ``on_question`` is that of :meth:`run`.
        """
        options["output_schema"] = json.dumps(schema)
        chat = self.chat(
            session_key,
            text,
            cancel_on_disconnect=cancel_on_disconnect,
            on_question=on_question,
            timeout=timeout,
            **options,
        )
        with chat:
            for _ in chat:
                pass
        return json.loads(chat.turn.output_json) if chat.turn else None
