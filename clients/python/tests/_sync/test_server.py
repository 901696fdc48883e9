# Made of its counterpart in _async by `generate-sync`: change that.
"""The client against a real server."""

from __future__ import annotations

import pathlib
import time
import uuid

import pytest

from quarterdeck import (
    Client,
    Cursor,
    ListCompleted,
    ListStarted,
    LogGap,
    ManySubscription,
    Start,
    Subscription,
    TurnFailed,
    errors,
)
from quarterdeck.types import GatewayEvent, MemoryKind, Question, SessionFilter, ToolAction, ToolRule, TurnState

from ..server import Proxy, Server
from .elsewhere import elsewhere

LONG = "!delay=10ms !repeat=60 "
"""Takes more than half a second."""


def client_for(server: Server, address: str | None = None) -> Client:
    return Client(address or server.address, server.key)


def new_key() -> str:
    return f"s-{uuid.uuid4()}"


def read_until(subscription: Subscription | ManySubscription, kind: str) -> list[GatewayEvent]:
    events = []
    for event in subscription:
        events.append(event)
        if event.WhichOneof("kind") == kind:
            break
    return events


def durable(events: list[GatewayEvent]) -> list[int]:
    return [event.seq for event in events if event.seq]


def test_a_tool_that_policy_allows_is_asked_of_nobody(shared_server: Server) -> None:
    with client_for(shared_server) as client:
        key = new_key()
        rule = ToolRule(tool="ba*", action=ToolAction.TOOL_ACTION_ALLOW)
        client.create_session(key, tool_policy=[rule], no_approver="NO_APPROVER_DENY", question_ttl=60)
        asked: list[Question] = []
        chat = client.chat(key, "!ask=bash !ask=rm hello", on_question=asked.append)
        assert "".join([piece for piece in chat]) == "[bash: allowed] [rm: denied] hello"
        assert asked == []


def test_chat_gives_the_text_and_nothing_else(shared_server: Server) -> None:
    with client_for(shared_server) as client:
        chat = client.chat(new_key(), "!think=hm_hm !tool=calculator one twö three")
        pieces = [piece for piece in chat]
        assert pieces == ["one ", "twö ", "three"]
        assert chat.turn is not None
        assert chat.turn.state == TurnState.TURN_STATE_COMPLETED


def test_a_turn_that_fails_is_an_error_with_its_reason(shared_server: Server) -> None:
    with client_for(shared_server) as client:
        with pytest.raises(TurnFailed) as raised:
            for _ in client.chat(new_key(), "!fail=no_luck hello"):
                pass
        assert (raised.value.state, raised.value.reason) == ("FAILED", "AGENT_ERROR")
        assert "no_luck" in str(raised.value)


def test_a_repeat_with_the_same_request_id_is_the_same_turn(shared_server: Server) -> None:
    with client_for(shared_server) as client:
        session_key = new_key()
        first = client.enqueue(session_key, "once", request_id="order-17")
        again = client.enqueue(session_key, "once", request_id="order-17")
        assert (again.turn.turn_id, again.replayed) == (first.turn.turn_id, True)
        with pytest.raises(errors.IdempotencyConflict):
            client.enqueue(session_key, "something else", request_id="order-17")


def test_a_call_whose_answer_was_lost_is_repeated_with_its_request_id(shared_server: Server, proxy: Proxy) -> None:
    with client_for(shared_server, proxy.address) as client:
        client.admin.who_am_i()
        proxy.swallow_next_answer()
        answer = client.enqueue(new_key(), "hello")
        assert proxy.swallowed.is_set()
        assert answer.replayed


def test_refusals_have_types(shared_server: Server) -> None:
    with client_for(shared_server) as client:
        with pytest.raises(errors.SessionNotFound) as raised:
            client.get_session("nobody")
        assert raised.value.metadata["session_key"] == "nobody"
        with pytest.raises(errors.InvalidField) as wrong:
            client.enqueue("not a key", " ")
        assert {violation.field for violation in wrong.value.field_violations} == {"session_key", "text"}
        made = client.admin.create_api_key(["session.read"], subject="reader")
    with Client(shared_server.address, made.secret) as reader:
        with pytest.raises(errors.ScopeRequired) as lacking:
            reader.enqueue(new_key(), "hello")
        assert "session.write" in lacking.value.metadata.values()
    with Client(shared_server.address, "qdk_wrong") as stranger, pytest.raises(errors.CredentialsInvalid):
        stranger.admin.who_am_i()
    with Client(shared_server.address, "") as nobody, pytest.raises(errors.CredentialsMissing):
        nobody.admin.who_am_i()


def test_a_full_queue_is_refused_and_stores_nothing(shared_server: Server) -> None:
    with client_for(shared_server) as client:
        session_key = new_key()
        client.enqueue(session_key, "!hang")
        with pytest.raises(errors.QueueFull) as raised:
            for _ in range(100):
                client.enqueue(session_key, "waits")
        assert raised.value.retry_after is not None
        answer = client.abort(session_key, clear_queue=True)
        assert answer.aborted
        assert len(answer.cleared_turn_ids) == 32


def test_await_turn_waits_and_a_deadline_ends_it(shared_server: Server) -> None:
    with client_for(shared_server) as client:
        session_key = new_key()
        queued = client.enqueue(session_key, LONG + "tick")
        with pytest.raises(errors.DeadlineExceeded):
            client.await_turn(session_key, queued.turn.turn_id, timeout=0.1)
        answer = client.await_turn(session_key, queued.turn.turn_id)
        assert answer.turn.state == TurnState.TURN_STATE_COMPLETED


def test_a_subscription_goes_on_over_a_kill_of_the_server(server: Server, front: Proxy) -> None:
    with client_for(server, front.address) as client:
        session_key = new_key()
        client.enqueue(session_key, "before")
        with client.subscribe(session_key, from_oldest=True) as subscription:
            events = read_until(subscription, "turn_ended")
            client.enqueue(session_key, LONG + "cut")
            events += read_until(subscription, "token")
            server.restart()
            events += read_until(subscription, "turn_ended")
            client.enqueue(session_key, "after")
            events += read_until(subscription, "turn_ended")
            assert durable(events) == list(range(1, events[-1].seq + 1))
            ends = [event.turn_ended.turn.state for event in events if event.HasField("turn_ended")]
            assert [TurnState.Name(end) for end in ends] == [
                "TURN_STATE_COMPLETED",
                "TURN_STATE_INTERRUPTED",
                "TURN_STATE_COMPLETED",
            ]
            assert subscription.cursor == Cursor(events[-1].log_id, events[-1].seq)


def test_chat_neither_repeats_nor_loses_text_over_cuts(shared_server: Server, proxy: Proxy) -> None:
    with client_for(shared_server, proxy.address) as client:
        pieces = []
        for piece in client.chat(new_key(), LONG + "wörter und mehr"):
            pieces.append(piece)
            if len(pieces) % 20 == 0:
                proxy.cut()
        assert "".join(pieces) == " ".join(["wörter und mehr"] * 60)


def test_a_silent_connection_is_left_for_a_new_one(
    shared_server: Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quarterdeck._core.endpoint.KEEP_ALIVE_SECONDS", 1)
    monkeypatch.setattr("quarterdeck._core.endpoint.KEEP_ALIVE_TIMEOUT_SECONDS", 1)
    with client_for(shared_server) as other, client_for(shared_server, proxy.address) as client:
        session_key = new_key()
        other.enqueue(session_key, "first")
        subscription = client.subscribe(session_key, from_oldest=True)
        events = read_until(subscription, "turn_ended")
        proxy.stall()
        other.enqueue(session_key, "second")
        began = time.monotonic()
        events += read_until(subscription, "turn_ended")
        assert time.monotonic() - began < 10
        assert durable(events) == list(range(1, events[-1].seq + 1))
        subscription.close()


def test_a_void_cursor_comes_with_the_state_to_go_on_from(shared_server: Server) -> None:
    with client_for(shared_server) as client:
        for cursor, kind in ((Cursor("another", 1), errors.LogChanged), (Cursor("", 999), errors.CursorAhead)):
            session_key = new_key()
            for _ in client.chat(session_key, "hello"):
                pass
            with client.subscribe(session_key, cursor) as subscription:
                with pytest.raises(kind) as raised:
                    read_until(subscription, "caught_up")
                state = raised.value.snapshot
                assert state is not None
                assert state.messages[-1].parts[0].text.text == "hello"
                assert raised.value.cursor == subscription.cursor == Cursor(state.log_id, state.seq)
                # Iterating again goes on there.
                client.enqueue(session_key, "more")
                events = read_until(subscription, "turn_queued")
                assert durable(events) == [state.seq + 1]


def test_an_expired_cursor_comes_with_the_state_too(binary: str, tmp_path: pathlib.Path) -> None:
    server = Server(binary, tmp_path / "data", "--retention-events", "5")
    try:
        with client_for(server) as client:
            session_key = new_key()
            for _ in range(20):
                for _ in client.chat(session_key, "hello"):
                    pass
            head = Cursor("", (client.get_session(session_key)).session.head_seq)
            until = time.monotonic() + 60
            while (client.read_events(session_key, cursor=head, wait=0.2)).first_seq == 1:
                assert time.monotonic() < until, "retention took nothing"
            with pytest.raises(errors.CursorExpired) as raised:
                read_until(client.subscribe(session_key, Cursor("", 1)), "caught_up")
            assert raised.value.snapshot is not None
            assert raised.value.snapshot.seq == head.after_seq
    finally:
        server.kill()


def test_a_deleted_session_ends_its_subscription(shared_server: Server) -> None:
    with client_for(shared_server) as client:
        session_key = new_key()
        client.create_session(session_key)
        subscription = client.subscribe(session_key)
        assert (subscription.__next__()).HasField("hello")
        client.delete_session(session_key)
        kinds = [event.WhichOneof("kind") for event in subscription]
        assert kinds[-1] == "session_deleted"
        with pytest.raises(errors.SessionDeleted):
            read_until(client.subscribe(session_key, subscription.cursor), "hello")


def test_closing_from_elsewhere_ends_the_iteration(shared_server: Server) -> None:
    with client_for(shared_server) as client:
        session_key = new_key()
        client.create_session(session_key)
        subscription = client.subscribe(session_key)
        read_until(subscription, "caught_up")
        elsewhere(subscription.close)
        assert read_until(subscription, "turn_ended") == []


def test_closing_the_client_ends_what_it_reads(shared_server: Server) -> None:
    client = client_for(shared_server)
    session_key = new_key()
    client.create_session(session_key)
    subscription = client.subscribe(session_key)
    read_until(subscription, "caught_up")
    elsewhere(client.close)
    assert read_until(subscription, "turn_ended") == []


def test_many_sessions_in_one_stream_each_with_its_cursor(shared_server: Server, proxy: Proxy) -> None:
    with client_for(shared_server) as other, client_for(shared_server, proxy.address) as client:
        keys = [new_key() for _ in range(3)]
        for session_key in keys:
            other.enqueue(session_key, "first")
        seen: dict[str, list[int]] = {session_key: [] for session_key in keys}
        ends = 0
        with client.subscribe_many(dict.fromkeys(keys, Start.OLDEST)) as subscription:
            for event in subscription:
                seen[event.session_key] += durable([event])
                ends += event.HasField("turn_ended")
                if ends == 3 and event.HasField("turn_ended"):
                    proxy.cut()
                    for session_key in keys:
                        other.enqueue(session_key, "second")
                if ends == 6:
                    break
            for session_key, seqs in seen.items():
                assert seqs == list(range(1, len(seqs) + 1))
                assert subscription.cursors[session_key].after_seq == len(seqs)


def test_sessions_of_a_filter_go_on_after_a_cut_too(shared_server: Server, proxy: Proxy) -> None:
    with client_for(shared_server) as other, client_for(shared_server, proxy.address) as client:
        prefix = f"{new_key()}-"
        other.create_session(f"{prefix}a")
        matching = SessionFilter(key_prefix=prefix)
        with client.subscribe_many(filter=matching, watch=matching) as subscription:
            listed = []
            for event in subscription:
                if event.HasField("session_state"):
                    listed.append(event.session_key)
                if set(listed) >= {f"{prefix}a", ""} and f"{prefix}a" in subscription.cursors:
                    break
            other.enqueue(f"{prefix}a", "one")
            first = read_until(subscription, "turn_ended")
            proxy.cut()
            other.enqueue(f"{prefix}a", "two")
            second = read_until(subscription, "turn_ended")
            assert durable(first + second) == list(range(2, second[-1].seq + 1))


def test_a_deleted_session_leaves_the_others(shared_server: Server, proxy: Proxy) -> None:
    with client_for(shared_server) as other, client_for(shared_server, proxy.address) as client:
        keys = [new_key(), new_key()]
        for session_key in keys:
            other.create_session(session_key)
        with client.subscribe_many(dict.fromkeys(keys, Start.OLDEST)) as subscription:
            while len(subscription.cursors) < 2:
                subscription.__next__()
            proxy.refuse()
            other.delete_session(keys[0])
            other.enqueue(keys[1], "hello")
            proxy.accept()
            with pytest.raises(errors.SessionDeleted) as raised:
                read_until(subscription, "turn_ended")
            assert raised.value.metadata["session_key"] == keys[0]
            events = read_until(subscription, "turn_ended")
            assert {event.session_key for event in events} == {keys[1]}


def test_a_watch_begins_with_a_new_list_after_a_restart(server: Server, front: Proxy) -> None:
    with client_for(server, front.address) as client:
        client.create_session("a-one")
        with client.watch_sessions(SessionFilter(key_prefix="a-")) as watch:
            seen = [watch.__next__() for _ in range(3)]
            assert isinstance(seen[0], ListStarted)
            assert isinstance(seen[2], ListCompleted)
            server.restart()
            client.create_session("a-two")
            keys = set()
            lists = 0
            for update in watch:
                lists += isinstance(update, ListStarted)
                keys.add(getattr(update, "session_key", ""))
                if keys >= {"a-one", "a-two"}:
                    break
            assert lists == 1


def test_logs_are_followed_over_a_restart(server: Server, front: Proxy) -> None:
    with client_for(server, front.address) as client, client.admin.tail_logs(level="LOG_LEVEL_INFO") as logs:
        assert logs.__next__()
        server.restart()
        for update in logs:
            if isinstance(update, LogGap):
                break
        assert logs.__next__()


def test_memory(shared_server: Server) -> None:
    with client_for(shared_server) as client:
        memory = client.memory
        first = memory.remember("Ana eats no fish", key="diet", kind=MemoryKind.MEMORY_KIND_PREFERENCE)
        again = memory.remember("Ana eats no meat", key="diet")
        assert (again.memory.id, again.memory.version) == (first.memory.id, 2)
        assert [hit.memory.content for hit in (memory.search("meat", episodes=False)).hits] == ["Ana eats no meat"]
        assert (memory.forget(key="diet", hard=True)).forgotten == 1


def test_a_server_that_was_never_there_is_reported_soon() -> None:
    began = time.monotonic()
    with Client("http://127.0.0.1:1", "qdk_x") as client:
        with pytest.raises(errors.Unavailable, match="quarterdeck serve") as raised:
            client.admin.who_am_i()
        assert "qdk_x" not in repr(raised.value)
        with pytest.raises(errors.Unavailable, match="quarterdeck serve"):
            client.subscribe("demo").__next__()
    assert time.monotonic() - began < 10


def test_stubs_carry_the_key(shared_server: Server) -> None:
    from quarterdeck.v1.admin_pb2 import WhoAmIRequest

    with client_for(shared_server) as client:
        assert (client.stub("admin").WhoAmI(WhoAmIRequest())).principal == "default/local"
