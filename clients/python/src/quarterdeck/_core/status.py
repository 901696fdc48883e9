"""Makes exceptions of gRPC statuses."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from quarterdeck import errors

_DETAILS = "grpc-status-details-bin"


def error_of(raised: grpc.RpcError) -> errors.QuarterdeckError:
    """The exception that a failed call is to its caller. An ``RpcError`` of grpcio is always a ``grpc.Call`` too."""
    assert isinstance(raised, (grpc.Call, grpc.aio.AioRpcError))
    code = raised.code()
    return error_from(code, raised.details() or "", raised.trailing_metadata())


def error_from(code: grpc.StatusCode, message: str, trailers: Any) -> errors.QuarterdeckError:
    """The exception for a status: by its reason, or where that is unknown or missing by its code."""
    info = error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    request = error_details_pb2.BadRequest()
    for detail in _details(trailers):
        for wanted in (info, retry, request):
            if detail.Is(wanted.DESCRIPTOR):
                detail.Unpack(wanted)
    kind = errors.BY_REASON.get(info.reason) or errors.BY_CODE.get(code) or errors.QuarterdeckError
    return kind(
        message,
        code=code,
        reason=info.reason,
        metadata=info.metadata,
        retry_after=retry.retry_delay.ToMilliseconds() / 1000 if retry.HasField("retry_delay") else None,
        field_violations=tuple(
            errors.FieldViolation(each.field, each.description) for each in request.field_violations
        ),
    )


def _details(trailers: Any) -> list[Any]:
    for key, value in trailers or ():
        if key == _DETAILS:
            try:
                return list(status_pb2.Status.FromString(value).details)
            except DecodeError:
                return []
    return []


def connection_lost(error: errors.QuarterdeckError) -> bool:
    """Whether the connection failed and not the call: every refusal of the server has a reason."""
    return not error.reason and error.code in (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.CANCELLED,
    )
