"""Answers as people read them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from quarterdeck import readable
from quarterdeck.types import Schedule, SessionSnapshot, Turn, TurnState


def test_enums_are_names_and_times_are_times() -> None:
    turn = Turn(turn_id="t", state=TurnState.TURN_STATE_COMPLETED, metadata={"ticket": "7"})
    turn.create_time.FromDatetime(datetime(2026, 11, 30, 9, tzinfo=timezone.utc))
    read = readable(turn)
    assert (read.state, read.create_time) == ("COMPLETED", datetime(2026, 11, 30, 9, tzinfo=timezone.utc))
    assert read.error is None
    assert read.metadata == {"ticket": "7"}
    assert repr(readable(Turn(turn_id="t", state=TurnState.TURN_STATE_FAILED))) == "Turn(turn_id='t', state='FAILED')"


def test_what_is_inside_is_readable_too() -> None:
    schedule = Schedule(schedule_name="nightly", overlap="OVERLAP_POLICY_SKIP")
    schedule.spec.every.FromTimedelta(timedelta(hours=2))
    schedule.next_times.add().FromDatetime(datetime(2026, 12, 1, tzinfo=timezone.utc))
    read = readable(schedule)
    assert (read.spec.every, read.overlap, read.remaining_runs) == (timedelta(hours=2), "SKIP", None)
    assert read.next_times == (datetime(2026, 12, 1, tzinfo=timezone.utc),)
    assert dict(read.spec)["cron"] in (None, "")


def test_values_of_a_newer_server_are_numbers() -> None:
    assert readable(Turn.FromString(Turn(state=TurnState.TURN_STATE_QUEUED).SerializeToString())).state == "QUEUED"
    newer = Turn.FromString(bytes([Turn.DESCRIPTOR.fields_by_name["state"].number << 3, 99]))
    assert readable(newer).state == 99


def test_a_record_is_compared_by_value_and_never_changes() -> None:
    one, other = readable(SessionSnapshot(session_key="a")), readable(SessionSnapshot(session_key="a"))
    assert one == other != readable(SessionSnapshot(session_key="b"))
    with pytest.raises(AttributeError, match="can't be changed"):
        one.session_key = "c"
    with pytest.raises(AttributeError, match="has no field 'sesion_key'"):
        _ = one.sesion_key
