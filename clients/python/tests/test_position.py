"""Where streams stand, and how they are opened again."""

from __future__ import annotations

import pytest

from quarterdeck import Cursor, ListCompleted, ListStarted, LogGap, Start, errors
from quarterdeck._core.position import (
    LOG_RECORDS_MAX,
    PROGRESS_SECONDS,
    SESSIONS_MAX,
    LogPosition,
    ManyPosition,
    SessionPosition,
    TurnPosition,
    WatchPosition,
)
from quarterdeck.v1.admin_pb2 import LogRecord, TailLogsRequest
from quarterdeck.v1.event_pb2 import CaughtUp, GatewayEvent, Hello, Progress, SessionDeleted, Token, TurnEnded
from quarterdeck.v1.gateway_pb2 import (
    GetSessionStateResponse,
    RunRequest,
    SessionFilter,
    SubscribeManyRequest,
    SubscribeRequest,
    WatchSessionsRequest,
)
from quarterdeck.v1.session_pb2 import SessionSnapshot


def durable(seq: int, key: str = "s", log: str = "log") -> GatewayEvent:
    return GatewayEvent(session_key=key, log_id=log, seq=seq, turn_ended=TurnEnded())


def hello(after: int, key: str = "s") -> GatewayEvent:
    return GatewayEvent(session_key=key, log_id="log", after_seq=after, hello=Hello())


def deleted(seq: int, key: str = "s") -> GatewayEvent:
    return GatewayEvent(session_key=key, log_id="log", seq=seq, session_deleted=SessionDeleted())


def test_a_live_subscription_takes_its_cursor_from_hello() -> None:
    position = SessionPosition(SubscribeRequest(session_key="s"), None)
    assert not position.request().HasField("cursor")
    assert position.take(hello(7)) == [hello(7)]
    assert position.cursor == Cursor("log", 7)
    assert position.request().cursor.after_seq == 7


def test_a_later_hello_does_not_move_the_cursor_back() -> None:
    position = SessionPosition(SubscribeRequest(session_key="s", from_oldest=True), None)
    position.take(durable(1))
    position.take(durable(2))
    position.take(hello(1))
    request = position.request()
    assert (request.cursor.after_seq, request.cursor.log_id, request.from_oldest) == (2, "log", False)


def test_durable_events_come_once() -> None:
    position = SessionPosition(SubscribeRequest(session_key="s"), Cursor("", 3))
    assert position.take(durable(3)) == []
    assert position.take(durable(4)) == [durable(4)]
    assert position.take(durable(4)) == []
    assert position.cursor == Cursor("log", 4)


def test_progress_moves_a_filtered_reader_on_and_deltas_move_nothing() -> None:
    position = SessionPosition(SubscribeRequest(session_key="s"), Cursor("log", 3))
    position.take(GatewayEvent(log_id="log", after_seq=9, token=Token(delta="x")))
    assert position.cursor == Cursor("log", 3)
    position.take(GatewayEvent(log_id="log", progress=Progress(seq=10)))
    assert position.cursor == Cursor("log", 10)
    position.take(GatewayEvent(log_id="log", caught_up=CaughtUp(seq=8)))
    assert position.cursor == Cursor("log", 10)


def test_a_kind_that_is_unknown_moves_the_cursor_too() -> None:
    position = SessionPosition(SubscribeRequest(session_key="s"), Cursor("log", 3))
    position.take(GatewayEvent(session_key="s", log_id="log", seq=4))
    assert position.cursor == Cursor("log", 4)


def test_a_deleted_session_is_the_end() -> None:
    position = SessionPosition(SubscribeRequest(session_key="s"), None)
    assert not position.ended()
    position.take(deleted(3))
    assert position.finished


def test_only_cursor_errors_ask_for_the_state() -> None:
    position = SessionPosition(SubscribeRequest(session_key="s"), Cursor("old", 3))
    assert position.void(errors.SessionNotFound("no")) is None
    assert position.void(errors.LogChanged("no")) == "s"
    assert position.move("s", GetSessionStateResponse(log_id="new", seq=8)) == Cursor("new", 8)
    assert position.request().cursor.log_id == "new"


def test_silence_follows_the_interval_that_was_asked_for() -> None:
    assert SessionPosition(SubscribeRequest(), None).silence == 3 * PROGRESS_SECONDS
    request = SubscribeRequest()
    request.progress_interval.seconds = 2
    assert SessionPosition(request, None).silence == 6


def test_many_sessions_each_go_on_at_their_own_place() -> None:
    position = ManyPosition(SubscribeManyRequest(), {"a": Start.OLDEST, "b": Cursor("log", 5), "c": Start.NOW})
    first = {each.session_key: each for each in position.request().cursors}
    assert first["a"].from_oldest
    assert first["c"].from_head
    assert (first["b"].log_id, first["b"].after_seq) == ("log", 5)
    position.take(durable(1, "a"))
    assert position.take(durable(5, "b")) == []
    position.take(durable(6, "b"))
    later = {each.session_key: each for each in position.request().cursors}
    assert (later["a"].after_seq, later["a"].from_oldest) == (1, False)
    assert later["b"].after_seq == 6
    assert later["c"].from_head
    assert position.cursors == {"a": Cursor("log", 1), "b": Cursor("log", 6)}


def test_many_end_when_nothing_can_follow() -> None:
    position = ManyPosition(SubscribeManyRequest(), ["a", "b"])
    position.take(deleted(1, "a"))
    assert not position.finished
    position.take(deleted(1, "b"))
    assert position.finished
    everything = ManyPosition(SubscribeManyRequest(filter=SessionFilter()), ["a"])
    everything.take(deleted(1, "a"))
    assert not everything.finished


def test_many_go_on_without_the_session_that_an_error_is_about() -> None:
    position = ManyPosition(SubscribeManyRequest(), {"a": Cursor("log", 1), "b": Cursor("log", 2)})
    gone = errors.SessionDeleted("gone", metadata={"session_key": "a"})
    assert position.void(gone) is None
    position.forget(gone)
    assert set(position.cursors) == {"b"}
    expired = errors.CursorExpired("old", metadata={"session_key": "b"})
    assert position.void(expired) == "b"
    position.move("b", GetSessionStateResponse(log_id="log", seq=50))
    assert position.cursors == {"b": Cursor("log", 50)}


def test_more_sessions_than_can_be_resumed_are_told_and_not_lost_silently() -> None:
    position = ManyPosition(SubscribeManyRequest(filter=SessionFilter()), ())
    assert position.silence is None
    for number in range(SESSIONS_MAX + 1):
        position.take(hello(0, str(number)))
    with pytest.raises(errors.ResourceExhausted, match="narrow its filter"):
        position.request()


def test_a_run_attaches_again_after_what_it_has() -> None:
    position = TurnPosition(RunRequest())
    for seq in (2, 3):
        position.take(GatewayEvent(seq=seq))
    assert position.request().after_seq == 3
    assert position.take(GatewayEvent(seq=3)) == []
    assert not position.finished
    assert position.take(durable(4)) == [durable(4)]
    assert position.finished


def test_a_watch_frames_each_list() -> None:
    position = WatchPosition(WatchSessionsRequest())
    one = SessionSnapshot(session_key="one")
    heartbeat = SessionSnapshot()
    position.request()
    assert position.take(one) == [ListStarted(), one]
    assert position.take(heartbeat) == [ListCompleted()]
    assert position.take(heartbeat) == []
    assert position.take(one) == [one]
    position.request()
    assert position.take(heartbeat) == [ListStarted(), ListCompleted()]


def test_logs_say_where_records_may_be_missing() -> None:
    position = LogPosition(TailLogsRequest(last=5))
    assert position.replace(errors.LogChanged("restarted")) == []
    position.take(LogRecord(boot_id="boot", number=17))
    assert position.request().cursor.after_number == 17
    assert position.replace(errors.Unavailable("cut")) == []
    assert position.replace(errors.LogChanged("restarted")) == [LogGap()]
    assert (position.request().HasField("cursor"), position.request().last) == (False, LOG_RECORDS_MAX)
