package dev.quarterdeck.client;

import static java.util.Map.entry;

import io.grpc.Status.Code;
import java.util.Map;
import java.util.function.Function;

/** Which exception an error is: by its reason, else by its code. */
final class CallExceptions {
    static final Map<String, Function<CallDetails, CallException>> BY_REASON = Map.ofEntries(
            entry("AGENT_MISMATCH", Refusal.AgentMismatch::new),
            entry("ALREADY_ANSWERED", Refusal.AlreadyAnswered::new),
            entry("ANSWERS_WAITING", Refusal.AnswersWaiting::new),
            entry("API_KEY_NOT_FOUND", Refusal.ApiKeyNotFound::new),
            entry("ATTACHMENT_NOT_FOUND", Refusal.AttachmentNotFound::new),
            entry("BUDGET_EXCEEDED", Refusal.BudgetExceeded::new),
            entry("COMMAND_NOT_FOUND", Refusal.CommandNotFound::new),
            entry("COMPRESSION_UNKNOWN", Refusal.CompressionUnknown::new),
            entry("CREDENTIALS_INVALID", Refusal.CredentialsInvalid::new),
            entry("CREDENTIALS_MISSING", Refusal.CredentialsMissing::new),
            entry("CURSOR_AHEAD", Refusal.CursorAhead::new),
            entry("CURSOR_EXPIRED", Refusal.CursorExpired::new),
            entry("DEADLINE_EXCEEDED", CallException.DeadlineExceeded::new),
            entry("DRAINING", Refusal.Draining::new),
            entry("EMBEDDING_MISMATCH", Refusal.EmbeddingMismatch::new),
            entry("EMBEDDING_MISSING", Refusal.EmbeddingMissing::new),
            entry("EMBEDDING_UNAVAILABLE", Refusal.EmbeddingUnavailable::new),
            entry("FENCED", Refusal.Fenced::new),
            entry("GENERATION_MISMATCH", Refusal.GenerationMismatch::new),
            entry("HOST_UNKNOWN", Refusal.HostUnknown::new),
            entry("IDEMPOTENCY_CONFLICT", Refusal.IdempotencyConflict::new),
            entry("INTERNAL", CallException.Internal::new),
            entry("INVALID_FIELD", Refusal.InvalidField::new),
            entry("ISOLATION_REQUIRED", Refusal.IsolationRequired::new),
            entry("LOG_CHANGED", Refusal.LogChanged::new),
            entry("MALFORMED_REQUEST", Refusal.MalformedRequest::new),
            entry("MEMORY_FULL", Refusal.MemoryFull::new),
            entry("MEMORY_NOT_FOUND", Refusal.MemoryNotFound::new),
            entry("MESSAGE_TOO_LARGE", Refusal.MessageTooLarge::new),
            entry("METADATA_TOO_LARGE", Refusal.MetadataTooLarge::new),
            entry("METHOD_UNKNOWN", Refusal.MethodUnknown::new),
            entry("MODEL_NOT_FOUND", Refusal.ModelNotFound::new),
            entry("NOT_CAUGHT_UP", Refusal.NotCaughtUp::new),
            entry("OPTION_NOT_FOUND", Refusal.OptionNotFound::new),
            entry("PRIMARY_SESSION", Refusal.PrimarySession::new),
            entry("QUESTION_NOT_FOUND", Refusal.QuestionNotFound::new),
            entry("QUEUE_FULL", Refusal.QueueFull::new),
            entry("RATE_LIMITED", Refusal.RateLimited::new),
            entry("RESYNC", Refusal.Resync::new),
            entry("ROUTES_CHANGED", Refusal.RoutesChanged::new),
            entry("SCHEDULE_NOT_FOUND", Refusal.ScheduleNotFound::new),
            entry("SCOPE_REQUIRED", Refusal.ScopeRequired::new),
            entry("SECRET_UNREADABLE", Refusal.SecretUnreadable::new),
            entry("SESSION_BUSY", Refusal.SessionBusy::new),
            entry("SESSION_DELETED", Refusal.SessionDeleted::new),
            entry("SESSION_DELETING", Refusal.SessionDeleting::new),
            entry("SESSION_EXISTS", Refusal.SessionExists::new),
            entry("SESSION_NOT_FOUND", Refusal.SessionNotFound::new),
            entry("SESSION_NOT_YOURS", Refusal.SessionNotYours::new),
            entry("STORAGE_FULL", Refusal.StorageFull::new),
            entry("STORE_UNAVAILABLE", Refusal.StoreUnavailable::new),
            entry("TOO_MANY_BYTES", Refusal.TooManyBytes::new),
            entry("TOO_MANY_KEYS", Refusal.TooManyKeys::new),
            entry("TOO_MANY_SESSIONS", Refusal.TooManySessions::new),
            entry("TOO_MANY_STREAMS", Refusal.TooManyStreams::new),
            entry("TOO_MANY_WAITS", Refusal.TooManyWaits::new),
            entry("TURN_MISMATCH", Refusal.TurnMismatch::new),
            entry("TURN_NOT_FOUND", Refusal.TurnNotFound::new),
            entry("TURN_NOT_QUEUED", Refusal.TurnNotQueued::new),
            entry("UNSUPPORTED_BY_AGENT", Refusal.UnsupportedByAgent::new),
            entry("WEBHOOK_NOT_FOUND", Refusal.WebhookNotFound::new),
            entry("WORKER_NOT_FOUND", Refusal.WorkerNotFound::new));

    private static final Map<Code, Function<CallDetails, CallException>> BY_CODE = Map.ofEntries(
            entry(Code.CANCELLED, CallException.Cancelled::new),
            entry(Code.UNKNOWN, CallException.Unknown::new),
            entry(Code.INVALID_ARGUMENT, CallException.InvalidArgument::new),
            entry(Code.DEADLINE_EXCEEDED, CallException.DeadlineExceeded::new),
            entry(Code.NOT_FOUND, CallException.NotFound::new),
            entry(Code.ALREADY_EXISTS, CallException.AlreadyExists::new),
            entry(Code.PERMISSION_DENIED, CallException.PermissionDenied::new),
            entry(Code.RESOURCE_EXHAUSTED, CallException.ResourceExhausted::new),
            entry(Code.FAILED_PRECONDITION, CallException.FailedPrecondition::new),
            entry(Code.ABORTED, CallException.Aborted::new),
            entry(Code.OUT_OF_RANGE, CallException.OutOfRange::new),
            entry(Code.UNIMPLEMENTED, CallException.Unimplemented::new),
            entry(Code.INTERNAL, CallException.Internal::new),
            entry(Code.UNAVAILABLE, CallException.Unavailable::new),
            entry(Code.DATA_LOSS, CallException.DataLoss::new),
            entry(Code.UNAUTHENTICATED, CallException.Unauthenticated::new));

    private CallExceptions() {}

    static CallException of(CallDetails details) {
        Function<CallDetails, CallException> byCode = BY_CODE.getOrDefault(details.code(), CallException.Unknown::new);
        return BY_REASON.getOrDefault(details.reason(), byCode).apply(details);
    }
}
