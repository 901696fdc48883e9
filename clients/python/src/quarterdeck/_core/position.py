"""Where a stream stands: the request that opens it again after a cut, and which of its messages are new."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from quarterdeck import errors
from quarterdeck.errors import Cursor
from quarterdeck.v1.admin_pb2 import LogCursor, LogRecord, TailLogsRequest
from quarterdeck.v1.event_pb2 import GatewayEvent
from quarterdeck.v1.gateway_pb2 import Cursor as WireCursor
from quarterdeck.v1.gateway_pb2 import (
    GetSessionStateResponse,
    RunRequest,
    SessionCursor,
    SubscribeManyRequest,
    SubscribeRequest,
    WatchSessionsRequest,
)
from quarterdeck.v1.session_pb2 import SessionSnapshot

SESSIONS_MAX = 1000
"""Sessions that one stream can be resumed for; a bound of the contract."""
PROGRESS_SECONDS = 15.0
"""Silence after which the server sends a sign of life where nothing else was asked."""
LOG_RECORDS_MAX = 10_000
"""Records asked for where a log cursor is void: all that the server may keep."""

Request = TypeVar("Request")
Message = TypeVar("Message")
Item = TypeVar("Item")


class Start(Enum):
    """Where to begin with a session that there is no cursor for."""

    NOW = "now"
    """With what comes from now on."""
    OLDEST = "oldest"
    """With the oldest event that is kept."""


@dataclass(frozen=True)
class ListStarted:
    """All sessions that match follow. What was known before is out of date once the list is complete."""


@dataclass(frozen=True)
class ListCompleted:
    """All sessions that match were told; from here on each one that changes."""


@dataclass(frozen=True)
class LogGap:
    """The server was started again, or no longer keeps the next record: some may be missing here."""


SessionUpdate = ListStarted | SessionSnapshot | ListCompleted
LogUpdate = LogRecord | LogGap


class Position(Generic[Request, Message, Item]):
    """What the streams have in common."""

    rpc: str
    """Name of the call."""
    silence: float | None
    """Seconds without a message after which the connection counts as lost; None where silence is no sign."""
    finished = False
    """True once nothing can follow."""

    def request(self) -> Request:
        """Opens the stream where it stands."""
        raise NotImplementedError

    def take(self, message: Message) -> list[Item]:
        """Moves on, and tells what the reader gets."""
        raise NotImplementedError

    def ended(self) -> bool:
        """The server ended the stream with OK; whether that was to be."""
        return self.finished

    def void(self, error: errors.QuarterdeckError) -> str | None:
        """The session whose state has to be read, where the error says that its cursor is void."""
        return None

    def move(self, session_key: str, state: GetSessionStateResponse) -> Cursor:
        """Goes on after a state that was read."""
        raise NotImplementedError

    def replace(self, error: errors.QuarterdeckError) -> list[Item]:
        """What the reader gets instead of the error; empty: the error itself."""
        return []

    def forget(self, error: errors.QuarterdeckError) -> None:
        """Goes on without what the error is about, where that makes sense."""


def wire_cursor(cursor: Cursor | None) -> WireCursor | None:
    """The cursor as a message."""
    return None if cursor is None else WireCursor(log_id=cursor.log_id, after_seq=cursor.after_seq)


def advance(cursor: Cursor | None, event: GatewayEvent) -> tuple[Cursor | None, bool]:
    """The cursor after an event, and whether the event is new."""
    known = cursor.after_seq if cursor is not None else -1
    if event.seq:
        if cursor is not None and event.seq <= known and event.log_id == (cursor.log_id or event.log_id):
            return cursor, False
        return Cursor(event.log_id, event.seq), True
    kind = event.WhichOneof("kind")
    if kind == "hello" and cursor is None:
        return Cursor(event.log_id, event.after_seq), True
    if kind in ("caught_up", "progress"):
        looked = event.caught_up.seq if kind == "caught_up" else event.progress.seq
        return Cursor(event.log_id, max(looked, known)), True
    return cursor, True


class SessionPosition(Position[SubscribeRequest, GatewayEvent, GatewayEvent]):
    """Follows one session."""

    rpc = "Subscribe"

    def __init__(self, request: SubscribeRequest, cursor: Cursor | None) -> None:
        self._request = request
        self.silence = 3 * (request.progress_interval.ToMilliseconds() / 1000 or PROGRESS_SECONDS)
        self.cursor = cursor

    def request(self) -> SubscribeRequest:
        if self.cursor is not None:
            self._request.from_oldest = False
            self._request.cursor.CopyFrom(WireCursor(log_id=self.cursor.log_id, after_seq=self.cursor.after_seq))
        return self._request

    def take(self, message: GatewayEvent) -> list[GatewayEvent]:
        self.cursor, new = advance(self.cursor, message)
        self.finished = self.finished or message.HasField("session_deleted")
        return [message] if new else []

    def void(self, error: errors.QuarterdeckError) -> str | None:
        return self._request.session_key if isinstance(error, errors.CursorVoid) else None

    def move(self, session_key: str, state: GetSessionStateResponse) -> Cursor:
        self.cursor = Cursor(state.log_id, state.seq)
        return self.cursor


class ManyPosition(Position[SubscribeManyRequest, GatewayEvent, GatewayEvent]):
    """Follows several sessions, each with a cursor of its own."""

    rpc = "SubscribeMany"

    def __init__(
        self,
        request: SubscribeManyRequest,
        sessions: Mapping[str, Cursor | Start] | Iterable[str],
    ) -> None:
        self._request = request
        if isinstance(sessions, Mapping):
            self._starts = dict(sessions)
        else:
            self._starts = dict.fromkeys(sessions, Start.NOW)
        self._progress = 3 * (request.progress_interval.ToMilliseconds() / 1000 or PROGRESS_SECONDS)

    @property
    def cursors(self) -> dict[str, Cursor]:
        """Where each session stands that something was heard of."""
        return {key: start for key, start in self._starts.items() if isinstance(start, Cursor)}

    @property
    def silence(self) -> float | None:  # type: ignore[override]
        # A filter that nothing matches is silent.
        return self._progress if self._starts or self._request.HasField("watch") else None

    def request(self) -> SubscribeManyRequest:
        if len(self._starts) > SESSIONS_MAX:
            raise errors.ResourceExhausted(
                f"the subscription follows more than {SESSIONS_MAX} sessions and can't be resumed: "
                "narrow its filter, or divide it"
            )
        del self._request.cursors[:]
        self._request.cursors.extend(_session_cursor(*each) for each in self._starts.items())
        return self._request

    def take(self, message: GatewayEvent) -> list[GatewayEvent]:
        kind = message.WhichOneof("kind")
        if kind == "session_state" and message.session_key not in self._starts:
            # Told by `watch` alone.
            return [message]
        known = self._starts.get(message.session_key)
        cursor, new = advance(known if isinstance(known, Cursor) else None, message)
        if kind == "session_deleted":
            self._starts.pop(message.session_key, None)
            followed = self._starts or self._request.HasField("filter")
            self.finished = not (followed or self._request.HasField("watch"))
        elif cursor is not None:
            self._starts[message.session_key] = cursor
        return [message] if new else []

    def ended(self) -> bool:
        return not (self._request.HasField("filter") or self._request.HasField("watch") or self._starts)

    def void(self, error: errors.QuarterdeckError) -> str | None:
        return error.metadata.get("session_key") if isinstance(error, errors.CursorVoid) else None

    def move(self, session_key: str, state: GetSessionStateResponse) -> Cursor:
        self._starts[session_key] = cursor = Cursor(state.log_id, state.seq)
        return cursor

    def forget(self, error: errors.QuarterdeckError) -> None:
        if isinstance(error, (errors.NotFound, errors.PermissionDenied)):
            self._starts.pop(error.metadata.get("session_key", ""), None)
            self.finished = self.ended()


def _session_cursor(session_key: str, start: Cursor | Start) -> SessionCursor:
    if isinstance(start, Cursor):
        return SessionCursor(session_key=session_key, log_id=start.log_id, after_seq=start.after_seq)
    return SessionCursor(session_key=session_key, from_head=start is Start.NOW, from_oldest=start is Start.OLDEST)


class TurnPosition(Position[RunRequest, GatewayEvent, GatewayEvent]):
    """Runs one prompt. The ``request_id`` makes a repeat attach to the same turn."""

    rpc = "Run"
    silence = 3 * PROGRESS_SECONDS

    def __init__(self, request: RunRequest) -> None:
        self._request = request

    def request(self) -> RunRequest:
        return self._request

    def take(self, message: GatewayEvent) -> list[GatewayEvent]:
        self.finished = message.HasField("turn_ended")
        if message.seq and message.seq <= self._request.after_seq and not self.finished:
            return []
        self._request.after_seq = max(self._request.after_seq, message.seq)
        return [message]


class WatchPosition(Position[WatchSessionsRequest, SessionSnapshot, SessionUpdate]):
    """Watches all sessions that match. It has no cursor: each time there is a new list."""

    rpc = "WatchSessions"
    silence = 3 * PROGRESS_SECONDS

    def __init__(self, request: WatchSessionsRequest) -> None:
        self._request = request
        self._listing: bool | None = None

    def request(self) -> WatchSessionsRequest:
        self._listing = None
        return self._request

    def take(self, message: SessionSnapshot) -> list[SessionUpdate]:
        updates: list[SessionUpdate] = []
        if self._listing is None:
            self._listing = True
            updates.append(ListStarted())
        if message.session_key:
            updates.append(message)
        elif self._listing:
            self._listing = False
            updates.append(ListCompleted())
        return updates


class LogPosition(Position[TailLogsRequest, LogRecord, LogUpdate]):
    """Follows the server's log."""

    rpc = "TailLogs"
    silence = None

    def __init__(self, request: TailLogsRequest) -> None:
        self._request = request

    def request(self) -> TailLogsRequest:
        return self._request

    def take(self, message: LogRecord) -> list[LogUpdate]:
        self._request.cursor.CopyFrom(LogCursor(boot_id=message.boot_id, after_number=message.number))
        return [message]

    def ended(self) -> bool:
        self.finished = self.finished or self._request.no_follow
        return self.finished

    def replace(self, error: errors.QuarterdeckError) -> list[LogUpdate]:
        if not isinstance(error, errors.CursorVoid) or not self._request.HasField("cursor"):
            return []
        self._request.ClearField("cursor")
        self._request.last = LOG_RECORDS_MAX
        return [LogGap()]
