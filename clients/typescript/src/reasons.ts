/**
 * One class for each reason that the server may give, as `clients/reasons.json` lists them.
 */
import {
  Aborted,
  AlreadyExists,
  DeadlineExceeded,
  type ErrorClass,
  FailedPrecondition,
  Internal,
  InvalidArgument,
  NotFound,
  OutOfRange,
  PermissionDenied,
  ResourceExhausted,
  Unauthenticated,
  Unavailable,
  Unimplemented,
} from "./codes.js";
import type { Cursor } from "./cursor.js";
import type { GetSessionStateResponse } from "./gen/quarterdeck/v1/gateway_pb.js";

/** What an error brings that a subscription threw because its cursor is void. */
export interface ResyncPoint {
  /** The session as it is now. Show this in place of what you have. */
  snapshot: GetSessionStateResponse;
  /** Where to go on after that. */
  cursor: Cursor;
}

/** The session runs another agent. */
export class AgentMismatch extends FailedPrecondition {
  override readonly name: string = "AgentMismatch";
}
/** The question is closed; the first answer counts. */
export class AlreadyAnswered extends FailedPrecondition {
  override readonly name: string = "AlreadyAnswered";
}
/** Too many answers of this connection wait to be read. */
export class AnswersWaiting extends ResourceExhausted {
  override readonly name: string = "AnswersWaiting";
}
/** There is no such API key. */
export class ApiKeyNotFound extends NotFound {
  override readonly name: string = "ApiKeyNotFound";
}
/** The session has no such attachment. */
export class AttachmentNotFound extends NotFound {
  override readonly name: string = "AttachmentNotFound";
}
/** A budget is used up: a retry helps in its next period, or once it is raised. */
export class BudgetExceeded extends ResourceExhausted {
  override readonly name: string = "BudgetExceeded";
}
/** Neither the gateway nor the session's agent has such a command. */
export class CommandNotFound extends NotFound {
  override readonly name: string = "CommandNotFound";
}
/** The server does not know the compression of the request. */
export class CompressionUnknown extends Unimplemented {
  override readonly name: string = "CompressionUnknown";
}
/** The key is not recognised: it is wrong, revoked or has ended. */
export class CredentialsInvalid extends Unauthenticated {
  override readonly name: string = "CredentialsInvalid";
}
/** The call carried no key. */
export class CredentialsMissing extends Unauthenticated {
  override readonly name: string = "CredentialsMissing";
}
/** The cursor lies beyond the newest event. */
export class CursorAhead extends OutOfRange {
  override readonly name: string = "CursorAhead";
  /** Set where a subscription threw it. */
  resync: ResyncPoint | undefined;
}
/** Events after the cursor are no longer kept. */
export class CursorExpired extends OutOfRange {
  override readonly name: string = "CursorExpired";
  /** Set where a subscription threw it. */
  resync: ResyncPoint | undefined;
}
/** The server is going to stop and takes no new work. */
export class Draining extends Unavailable {
  override readonly name: string = "Draining";
}
/** The vectors are of another embedding model; `rebuildMemory` makes them anew. */
export class EmbeddingMismatch extends FailedPrecondition {
  override readonly name: string = "EmbeddingMismatch";
}
/** The server has no embedding model. */
export class EmbeddingMissing extends FailedPrecondition {
  override readonly name: string = "EmbeddingMissing";
}
/** The embedding model does not answer. */
export class EmbeddingUnavailable extends Unavailable {
  override readonly name: string = "EmbeddingUnavailable";
}
/** Another node owns the session by now. */
export class Fenced extends Aborted {
  override readonly name: string = "Fenced";
}
/** The session is in another generation. */
export class GenerationMismatch extends Aborted {
  override readonly name: string = "GenerationMismatch";
}
/** The server is not known by the host name that was called; its `allowed_hosts` may name it. */
export class HostUnknown extends PermissionDenied {
  override readonly name: string = "HostUnknown";
}
/** The `requestId` was used with another request. */
export class IdempotencyConflict extends AlreadyExists {
  override readonly name: string = "IdempotencyConflict";
}
/** Fields of the request are wrong; `fieldViolations` names them all. */
export class InvalidField extends InvalidArgument {
  override readonly name: string = "InvalidField";
}
/** The agent's processes are not isolated on this server, so it serves the operator's tenant alone. */
export class IsolationRequired extends FailedPrecondition {
  override readonly name: string = "IsolationRequired";
}
/** The session's log began anew; older cursors are void. */
export class LogChanged extends FailedPrecondition {
  override readonly name: string = "LogChanged";
  /** Set where a subscription threw it. */
  resync: ResyncPoint | undefined;
}
/** The request can't be decoded. */
export class MalformedRequest extends InvalidArgument {
  override readonly name: string = "MalformedRequest";
}
/** The scope holds as many memories as it may. */
export class MemoryFull extends ResourceExhausted {
  override readonly name: string = "MemoryFull";
}
/** There is no such memory. */
export class MemoryNotFound extends NotFound {
  override readonly name: string = "MemoryNotFound";
}
/** The request is too large. */
export class MessageTooLarge extends ResourceExhausted {
  override readonly name: string = "MessageTooLarge";
}
/** The call has too many bytes of metadata. */
export class MetadataTooLarge extends ResourceExhausted {
  override readonly name: string = "MetadataTooLarge";
}
/** The server does not know the call. */
export class MethodUnknown extends Unimplemented {
  override readonly name: string = "MethodUnknown";
}
/** The agent is known not to have that model. */
export class ModelNotFound extends NotFound {
  override readonly name: string = "ModelNotFound";
}
/** The server has not reached `minSeq` yet. */
export class NotCaughtUp extends Unavailable {
  override readonly name: string = "NotCaughtUp";
}
/** The agent is known not to have that option. */
export class OptionNotFound extends NotFound {
  override readonly name: string = "OptionNotFound";
}
/** The primary session can't be deleted. */
export class PrimarySession extends FailedPrecondition {
  override readonly name: string = "PrimarySession";
}
/** The session has no such question. */
export class QuestionNotFound extends NotFound {
  override readonly name: string = "QuestionNotFound";
}
/** As many turns or steers wait as may. */
export class QueueFull extends ResourceExhausted {
  override readonly name: string = "QueueFull";
}
/** Too many calls a second. */
export class RateLimited extends ResourceExhausted {
  override readonly name: string = "RateLimited";
}
/** The watch fell too far behind and begins anew. */
export class Resync extends Unavailable {
  override readonly name: string = "Resync";
}
/** The routes have changed since they were read. */
export class RoutesChanged extends Aborted {
  override readonly name: string = "RoutesChanged";
}
/** The caller has no such schedule. */
export class ScheduleNotFound extends NotFound {
  override readonly name: string = "ScheduleNotFound";
}
/** The key lacks a scope; `metadata` names it. */
export class ScopeRequired extends PermissionDenied {
  override readonly name: string = "ScopeRequired";
}
/** The secret was encrypted with another key. */
export class SecretUnreadable extends FailedPrecondition {
  override readonly name: string = "SecretUnreadable";
}
/** A turn is active or waiting. */
export class SessionBusy extends FailedPrecondition {
  override readonly name: string = "SessionBusy";
}
/** The session was deleted. */
export class SessionDeleted extends NotFound {
  override readonly name: string = "SessionDeleted";
}
/** The session is being deleted. */
export class SessionDeleting extends Unavailable {
  override readonly name: string = "SessionDeleting";
}
/** The session key is taken. */
export class SessionExists extends AlreadyExists {
  override readonly name: string = "SessionExists";
}
/** There is no such session, or it is another's. */
export class SessionNotFound extends NotFound {
  override readonly name: string = "SessionNotFound";
}
/** The session belongs to somebody else. */
export class SessionNotYours extends PermissionDenied {
  override readonly name: string = "SessionNotYours";
}
/** The server's disk is nearly full. */
export class StorageFull extends ResourceExhausted {
  override readonly name: string = "StorageFull";
}
/** The server's store can't be written now. */
export class StoreUnavailable extends Unavailable {
  override readonly name: string = "StoreUnavailable";
}
/** The caller, or its tenant, has as much stored as it may. */
export class TooManyBytes extends ResourceExhausted {
  override readonly name: string = "TooManyBytes";
}
/** The tenant has as many valid API keys as it may. */
export class TooManyKeys extends ResourceExhausted {
  override readonly name: string = "TooManyKeys";
}
/** The caller has as many sessions as it may. */
export class TooManySessions extends ResourceExhausted {
  override readonly name: string = "TooManySessions";
}
/** The caller has as many open streams as it may. */
export class TooManyStreams extends ResourceExhausted {
  override readonly name: string = "TooManyStreams";
}
/** The caller has as many waiting calls as it may. */
export class TooManyWaits extends ResourceExhausted {
  override readonly name: string = "TooManyWaits";
}
/** Another turn, or none, is active. */
export class TurnMismatch extends FailedPrecondition {
  override readonly name: string = "TurnMismatch";
}
/** The session has no such turn. */
export class TurnNotFound extends NotFound {
  override readonly name: string = "TurnNotFound";
}
/** The turn does not wait any more. */
export class TurnNotQueued extends FailedPrecondition {
  override readonly name: string = "TurnNotQueued";
}
/** The agent can't do this. */
export class UnsupportedByAgent extends FailedPrecondition {
  override readonly name: string = "UnsupportedByAgent";
}
/** The caller has no such webhook. */
export class WebhookNotFound extends NotFound {
  override readonly name: string = "WebhookNotFound";
}

/** No such worker is connected. */
export class WorkerNotFound extends NotFound {
  override readonly name: string = "WorkerNotFound";
}

/** The class of each reason. */
export const REASON_CLASSES: ReadonlyMap<string, ErrorClass> = new Map<string, ErrorClass>([
  ["AGENT_MISMATCH", AgentMismatch],
  ["ALREADY_ANSWERED", AlreadyAnswered],
  ["ANSWERS_WAITING", AnswersWaiting],
  ["API_KEY_NOT_FOUND", ApiKeyNotFound],
  ["ATTACHMENT_NOT_FOUND", AttachmentNotFound],
  ["BUDGET_EXCEEDED", BudgetExceeded],
  ["COMMAND_NOT_FOUND", CommandNotFound],
  ["COMPRESSION_UNKNOWN", CompressionUnknown],
  ["CREDENTIALS_INVALID", CredentialsInvalid],
  ["CREDENTIALS_MISSING", CredentialsMissing],
  ["CURSOR_AHEAD", CursorAhead],
  ["CURSOR_EXPIRED", CursorExpired],
  ["DEADLINE_EXCEEDED", DeadlineExceeded],
  ["DRAINING", Draining],
  ["EMBEDDING_MISMATCH", EmbeddingMismatch],
  ["EMBEDDING_MISSING", EmbeddingMissing],
  ["EMBEDDING_UNAVAILABLE", EmbeddingUnavailable],
  ["FENCED", Fenced],
  ["GENERATION_MISMATCH", GenerationMismatch],
  ["HOST_UNKNOWN", HostUnknown],
  ["IDEMPOTENCY_CONFLICT", IdempotencyConflict],
  ["INTERNAL", Internal],
  ["INVALID_FIELD", InvalidField],
  ["ISOLATION_REQUIRED", IsolationRequired],
  ["LOG_CHANGED", LogChanged],
  ["MALFORMED_REQUEST", MalformedRequest],
  ["MEMORY_FULL", MemoryFull],
  ["MEMORY_NOT_FOUND", MemoryNotFound],
  ["MESSAGE_TOO_LARGE", MessageTooLarge],
  ["METADATA_TOO_LARGE", MetadataTooLarge],
  ["METHOD_UNKNOWN", MethodUnknown],
  ["MODEL_NOT_FOUND", ModelNotFound],
  ["NOT_CAUGHT_UP", NotCaughtUp],
  ["OPTION_NOT_FOUND", OptionNotFound],
  ["PRIMARY_SESSION", PrimarySession],
  ["QUESTION_NOT_FOUND", QuestionNotFound],
  ["QUEUE_FULL", QueueFull],
  ["RATE_LIMITED", RateLimited],
  ["RESYNC", Resync],
  ["ROUTES_CHANGED", RoutesChanged],
  ["SCHEDULE_NOT_FOUND", ScheduleNotFound],
  ["SCOPE_REQUIRED", ScopeRequired],
  ["SECRET_UNREADABLE", SecretUnreadable],
  ["SESSION_BUSY", SessionBusy],
  ["SESSION_DELETED", SessionDeleted],
  ["SESSION_DELETING", SessionDeleting],
  ["SESSION_EXISTS", SessionExists],
  ["SESSION_NOT_FOUND", SessionNotFound],
  ["SESSION_NOT_YOURS", SessionNotYours],
  ["STORAGE_FULL", StorageFull],
  ["STORE_UNAVAILABLE", StoreUnavailable],
  ["TOO_MANY_BYTES", TooManyBytes],
  ["TOO_MANY_KEYS", TooManyKeys],
  ["TOO_MANY_SESSIONS", TooManySessions],
  ["TOO_MANY_STREAMS", TooManyStreams],
  ["TOO_MANY_WAITS", TooManyWaits],
  ["TURN_MISMATCH", TurnMismatch],
  ["TURN_NOT_FOUND", TurnNotFound],
  ["TURN_NOT_QUEUED", TurnNotQueued],
  ["UNSUPPORTED_BY_AGENT", UnsupportedByAgent],
  ["WEBHOOK_NOT_FOUND", WebhookNotFound],
  ["WORKER_NOT_FOUND", WorkerNotFound],
]);
