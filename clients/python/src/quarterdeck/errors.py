"""What can go wrong, as exceptions.

Every refusal of the server carries a reason, and each reason has a class here with the same name in upper camel case:
``QUEUE_FULL`` is :class:`QueueFull`. A class of a reason stands below the class of its gRPC code
(``QueueFull`` is a :class:`ResourceExhausted`), and all stand below :class:`QuarterdeckError`. A reason that this
package does not know yet comes as the class of its code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import grpc

from quarterdeck.v1.gateway_pb2 import GetSessionStateResponse
from quarterdeck.v1.turn_pb2 import Turn, TurnState


@dataclass(frozen=True)
class FieldViolation:
    """One field of a request that the server does not accept."""

    field: str
    description: str


@dataclass(frozen=True)
class Cursor:
    """A place in a session's log. Reading goes on after it."""

    log_id: str
    """The life of the log that ``after_seq`` counts in; empty means that it is not compared."""
    after_seq: int
    """The last durable event that the reader has; 0 means none."""


class QuarterdeckError(Exception):
    """A call that failed."""

    code: grpc.StatusCode = grpc.StatusCode.UNKNOWN
    """The gRPC status code."""

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        field_violations: tuple[FieldViolation, ...] = (),
        code: grpc.StatusCode | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        """One sentence for people."""
        self.reason = reason
        """The reason in UPPER_SNAKE_CASE; empty where the server did not say no but could not be asked."""
        self.metadata: Mapping[str, str] = MappingProxyType(dict(metadata or {}))
        """Facts that go with the reason, such as the scope that is missing."""
        self.retry_after = retry_after
        """Seconds after which the same call makes sense again, where the server said so."""
        self.field_violations = field_violations
        """The fields of the request that are wrong, all of them."""
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        fields = "".join(f"; {wrong.field}: {wrong.description}" for wrong in self.field_violations)
        name = self.reason or self.code.name
        return f"{name}: {self.message}{fields}"

    def __repr__(self) -> str:
        facts: list[tuple[str, object]] = [("code", self.code.name), ("message", self.message)]
        if self.metadata:
            facts.append(("metadata", dict(self.metadata)))
        if self.retry_after is not None:
            facts.append(("retry_after", self.retry_after))
        if self.field_violations:
            facts.append(("field_violations", self.field_violations))
        # The class's name is the reason's, where this package knows it.
        if self.reason and _upper_snake(type(self).__name__) != self.reason:
            facts.insert(0, ("reason", self.reason))
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in facts)})"


# --- One class for each code. ---


class InvalidArgument(QuarterdeckError):
    """The request is wrong; ``field_violations`` names the fields."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class Unauthenticated(QuarterdeckError):
    """The server does not know who calls."""

    code = grpc.StatusCode.UNAUTHENTICATED


class PermissionDenied(QuarterdeckError):
    """The caller may not do that."""

    code = grpc.StatusCode.PERMISSION_DENIED


class NotFound(QuarterdeckError):
    """There is no such thing."""

    code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(QuarterdeckError):
    """It is there already."""

    code = grpc.StatusCode.ALREADY_EXISTS


class FailedPrecondition(QuarterdeckError):
    """Not in the present state."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class Aborted(QuarterdeckError):
    """Something else was quicker."""

    code = grpc.StatusCode.ABORTED


class OutOfRange(QuarterdeckError):
    """A position that is not kept, or not there yet."""

    code = grpc.StatusCode.OUT_OF_RANGE


class ResourceExhausted(QuarterdeckError):
    """A bound was met; ``metadata`` names it."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class Unavailable(QuarterdeckError):
    """The server can't be reached, or can't answer now. The client has tried again for as long as it was told to."""

    code = grpc.StatusCode.UNAVAILABLE


class DeadlineExceeded(QuarterdeckError):
    """The call's deadline passed. What was asked for may have happened."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class Unimplemented(QuarterdeckError):
    """The server does not know that."""

    code = grpc.StatusCode.UNIMPLEMENTED


class Internal(QuarterdeckError):
    """A fault of the server; its log says more under the id in ``metadata``."""

    code = grpc.StatusCode.INTERNAL


class Cancelled(QuarterdeckError):
    """The call was cancelled."""

    code = grpc.StatusCode.CANCELLED


class CursorVoid(QuarterdeckError):
    """A cursor that nothing can follow. Where a subscription raises it, it says where to go on.

    What the reader shows must be brought up to ``snapshot``; the subscription itself then stands at ``cursor``: iterate
    over it again, or begin another one there.
    """

    snapshot: GetSessionStateResponse | None = None
    """The session as it is now; None where the error does not come from a subscription."""
    cursor: Cursor | None = None
    """The place in the log that ``snapshot`` is as of."""


class TurnFailed(QuarterdeckError):
    """The turn did not complete. The calls worked: ``code`` is OK."""

    code = grpc.StatusCode.OK

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        """The turn as it ended."""
        self.state = TurnState.Name(turn.state).removeprefix("TURN_STATE_")
        """How it ended: ``FAILED``, ``CANCELED``, ``INTERRUPTED``, ``REJECTED`` or ``EXPIRED``."""
        super().__init__(
            turn.error.message or f"the turn ended {self.state}",
            reason=turn.error.reason,
            metadata={"turn_id": turn.turn_id, "state": self.state},
        )

    def __str__(self) -> str:
        return f"turn {self.turn.turn_id} ended {self.state}: {super().__str__()}"


# --- One class for each reason. INTERNAL and DEADLINE_EXCEEDED are their codes' classes. ---


class AgentMismatch(FailedPrecondition):
    """The session has another agent."""


class AlreadyAnswered(FailedPrecondition):
    """The question is closed; the first answer counts."""


class AnswersWaiting(ResourceExhausted):
    """Too many answers of this connection wait to be read."""


class ApiKeyNotFound(NotFound):
    """There is no such API key."""


class AttachmentNotFound(NotFound):
    """The session has no such attachment."""


class BudgetExceeded(ResourceExhausted):
    """A budget is used up: a retry helps in its next period, or once it is raised."""


class CommandNotFound(NotFound):
    """Neither the gateway nor the session's agent has such a command."""


class CompressionUnknown(Unimplemented):
    """The server does not know this compression."""


class CredentialsInvalid(Unauthenticated):
    """The key is wrong, revoked, or has ended."""


class CredentialsMissing(Unauthenticated):
    """The call carries no key."""


class CursorAhead(CursorVoid, OutOfRange):
    """The cursor is after the log's newest event."""


class CursorExpired(CursorVoid, OutOfRange):
    """Events after the cursor are no longer kept."""


class Draining(Unavailable):
    """The server is going to stop and takes no new work."""


class EmbeddingMismatch(FailedPrecondition):
    """The vectors are of another embedding model."""


class EmbeddingMissing(FailedPrecondition):
    """The server has no embedding model."""


class EmbeddingUnavailable(Unavailable):
    """The embedding model does not answer."""


class Fenced(Aborted):
    """Another server owns the data by now."""


class GenerationMismatch(Aborted):
    """The session is in another generation than the one expected."""


class HostUnknown(PermissionDenied):
    """The server is not known by the host name that was called; its ``allowed_hosts`` may name it."""


class IdempotencyConflict(AlreadyExists):
    """The same ``request_id`` was used for another request."""


class InvalidField(InvalidArgument):
    """Fields of the request are wrong; ``field_violations`` names them all."""


class IsolationRequired(FailedPrecondition):
    """The agent's processes are not isolated on this server, so it serves the operator's tenant alone."""


class LogChanged(CursorVoid, FailedPrecondition):
    """The cursor is of another life of the log."""


class MalformedRequest(InvalidArgument):
    """The request can't be read."""


class MemoryFull(ResourceExhausted):
    """The scope, or the tenant, holds as many memories as it may."""


class MemoryNotFound(NotFound):
    """There is no such memory."""


class MessageTooLarge(ResourceExhausted):
    """The request has too many bytes."""


class MetadataTooLarge(ResourceExhausted):
    """The call has too many bytes of metadata."""


class MethodUnknown(Unimplemented):
    """The server does not have this call; it may be older than the client."""


class ModelNotFound(NotFound):
    """The agent is known not to have that model."""


class NotCaughtUp(Unavailable):
    """The server does not have ``min_seq`` yet."""


class OptionNotFound(NotFound):
    """The agent is known not to have that option."""


class PrimarySession(FailedPrecondition):
    """The tenant's primary session can't be deleted."""


class QuestionNotFound(NotFound):
    """The session has no such question."""


class QueueFull(ResourceExhausted):
    """As many turns, or steers, wait in the session as may."""


class RateLimited(ResourceExhausted):
    """Too many calls; ``retry_after`` says when to come back."""


class Resync(Unavailable):
    """A watch fell too far behind."""


class RoutesChanged(Aborted):
    """The routes have changed since they were read."""


class ScheduleNotFound(NotFound):
    """The caller has no such schedule."""


class ScopeRequired(PermissionDenied):
    """The key lacks a scope; ``metadata`` names it."""


class SecretUnreadable(FailedPrecondition):
    """The secret was encrypted with a key that the server does not have."""


class SessionBusy(FailedPrecondition):
    """A turn is active or waiting."""


class SessionDeleted(NotFound):
    """The session was deleted."""


class SessionDeleting(Unavailable):
    """The session is being deleted."""


class SessionExists(AlreadyExists):
    """There is a session with that key."""


class SessionNotFound(NotFound):
    """There is no such session, or it is not the caller's."""


class SessionNotYours(PermissionDenied):
    """The session belongs to somebody else."""


class StorageFull(ResourceExhausted):
    """The server's disk is full."""


class StoreUnavailable(Unavailable):
    """The server can't use its store now."""


class TooManyBytes(ResourceExhausted):
    """As many bytes are stored as may be."""


class TooManyKeys(ResourceExhausted):
    """The tenant has as many valid API keys as it may."""


class TooManySessions(ResourceExhausted):
    """As many sessions exist, or are awake, as may."""


class TooManyStreams(ResourceExhausted):
    """As many streams are open as may be."""


class TooManyWaits(ResourceExhausted):
    """As many calls wait for news as may."""


class TurnMismatch(FailedPrecondition):
    """Another turn than the expected one is active, or none."""


class TurnNotFound(NotFound):
    """The session has no such turn."""


class TurnNotQueued(FailedPrecondition):
    """The turn does not wait."""


class UnsupportedByAgent(FailedPrecondition):
    """The session's agent can't do that."""


class WebhookNotFound(NotFound):
    """The caller has no such webhook."""


class WorkerNotFound(NotFound):
    """No such worker is connected."""


def _below(root: type[QuarterdeckError]) -> list[type[QuarterdeckError]]:
    classes = root.__subclasses__()
    return classes + [deeper for each in classes for deeper in _below(each)]


def _upper_snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()


_CLASSES = [each for each in _below(QuarterdeckError) if each not in (CursorVoid, TurnFailed)]

BY_CODE: Mapping[grpc.StatusCode, type[QuarterdeckError]] = MappingProxyType(
    {each.code: each for each in _CLASSES if QuarterdeckError in each.__bases__}
)
"""The class of each code that has one."""

BY_REASON: Mapping[str, type[QuarterdeckError]] = MappingProxyType(
    {_upper_snake(each.__name__): each for each in _CLASSES if QuarterdeckError not in each.__bases__}
    | {"INTERNAL": Internal, "DEADLINE_EXCEEDED": DeadlineExceeded}
)
"""The class of each reason."""
