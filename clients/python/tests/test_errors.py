"""Every reason has its class, and a status becomes the exception that it stands for."""

from __future__ import annotations

import json
import pathlib

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from quarterdeck import errors
from quarterdeck._core.retry import Reach, explain
from quarterdeck._core.status import connection_lost, error_from
from quarterdeck.v1.turn_pb2 import TURN_STATE_CANCELED, Turn, TurnError

# In the sdist there is no such file.
REASONS = pathlib.Path(__file__).parents[2] / "reasons.json"


def trailers(*details: object) -> list[tuple[str, bytes]]:
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    return [("grpc-status-details-bin", status_pb2.Status(details=packed).SerializeToString())]


@pytest.mark.skipif(not REASONS.exists(), reason="outside of the repository")
def test_each_reason_has_a_class_of_its_code_and_no_class_is_without_one() -> None:
    reasons = {each["reason"]: each["code"] for each in json.loads(REASONS.read_text())}
    assert set(errors.BY_REASON) == set(reasons)
    for reason, code in reasons.items():
        kind = errors.BY_REASON[reason]
        assert kind.code.name == code
        assert kind.__name__ == reason.title().replace("_", "")
        assert issubclass(kind, errors.BY_CODE[kind.code])
        assert kind.__doc__


def test_details_become_attributes() -> None:
    error = error_from(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "the queue is full",
        trailers(
            error_details_pb2.ErrorInfo(reason="QUEUE_FULL", domain="quarterdeck", metadata={"limit": "32"}),
            error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=1, nanos=500_000_000)),
            error_details_pb2.BadRequest(
                field_violations=[error_details_pb2.BadRequest.FieldViolation(field="text", description="blank")]
            ),
        ),
    )
    assert type(error) is errors.QueueFull
    assert isinstance(error, errors.ResourceExhausted)
    assert (error.reason, error.retry_after, dict(error.metadata)) == ("QUEUE_FULL", 1.5, {"limit": "32"})
    assert error.field_violations == (errors.FieldViolation("text", "blank"),)
    assert str(error) == "QUEUE_FULL: the queue is full; text: blank"


def test_what_is_unknown_falls_back() -> None:
    new = error_from(grpc.StatusCode.NOT_FOUND, "no", trailers(error_details_pb2.ErrorInfo(reason="NEW_THING")))
    assert (type(new), new.reason) == (errors.NotFound, "NEW_THING")
    bare = error_from(grpc.StatusCode.DATA_LOSS, "no", None)
    assert (type(bare), bare.code) == (errors.QuarterdeckError, grpc.StatusCode.DATA_LOSS)
    broken = error_from(grpc.StatusCode.ABORTED, "no", [("grpc-status-details-bin", b"\xff\xff")])
    assert type(broken) is errors.Aborted


def test_a_lost_connection_is_told_from_a_refusal() -> None:
    assert connection_lost(errors.Unavailable("socket closed"))
    assert connection_lost(errors.Internal("RST_STREAM"))
    assert not connection_lost(errors.Draining("soon", reason="DRAINING"))
    assert not connection_lost(errors.NotFound("no"))


def test_a_server_that_is_not_there_is_explained() -> None:
    never = Reach("http://127.0.0.1:7777")
    assert "quarterdeck serve" in str(explain(errors.Unavailable("refused"), never))
    assert "https" in str(explain(errors.Unavailable("Socket closed"), never))
    secure = Reach("https://example.org")
    assert "`ca`" in str(explain(errors.Unavailable("CERTIFICATE_VERIFY_FAILED"), secure))
    assert "`certificate`" in str(explain(errors.Unavailable("Unwrap failed"), secure))
    assert "lost the server" in str(explain(errors.Unavailable("reset"), Reach("http://a", answered=True)))
    refusal = errors.Draining("soon", reason="DRAINING")
    assert explain(refusal, never) is refusal


def test_a_turn_that_failed_says_how() -> None:
    turn = Turn(turn_id="t1", state=TURN_STATE_CANCELED, error=TurnError(reason="ABORTED", message="stopped"))
    error = errors.TurnFailed(turn)
    assert (error.state, error.reason, str(error)) == (
        "CANCELED",
        "ABORTED",
        "turn t1 ended CANCELED: ABORTED: stopped",
    )


def test_errors_show_all_that_they_know() -> None:
    full = errors.QueueFull("the queue is full", reason="QUEUE_FULL", metadata={"limit": "32"}, retry_after=1.5)
    assert repr(full) == (
        "QueueFull(code='RESOURCE_EXHAUSTED', message='the queue is full', metadata={'limit': '32'}, retry_after=1.5)"
    )
    assert repr(errors.NotFound("no", reason="NEW_THING")) == (
        "NotFound(reason='NEW_THING', code='NOT_FOUND', message='no')"
    )
