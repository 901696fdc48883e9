package dev.quarterdeck.client;

/**
 * An exception for each reason by which a server says no. Each extends the one of its gRPC code in {@link CallException};
 * a reason that this version doesn't know comes as that one, with its name in {@link CallException#reason()}.
 */
@SuppressWarnings("serial") // Nobody stores these.
public final class Refusal {
    private Refusal() {}

    /** The session has another agent than the one asked for. */
    public static final class AgentMismatch extends CallException.FailedPrecondition {
        AgentMismatch(CallDetails details) {
            super(details);
        }
    }

    /** The question is closed; the first answer counts. */
    public static final class AlreadyAnswered extends CallException.FailedPrecondition {
        AlreadyAnswered(CallDetails details) {
            super(details);
        }
    }

    /** Too many answers wait for this caller to read them. */
    public static final class AnswersWaiting extends CallException.ResourceExhausted {
        AnswersWaiting(CallDetails details) {
            super(details);
        }
    }

    /** There is no such API key. */
    public static final class ApiKeyNotFound extends CallException.NotFound {
        ApiKeyNotFound(CallDetails details) {
            super(details);
        }
    }

    /** The session has no such attachment. */
    public static final class AttachmentNotFound extends CallException.NotFound {
        AttachmentNotFound(CallDetails details) {
            super(details);
        }
    }

    /** A budget is used up: nobody's retry helps before its next period, or before it is raised. */
    public static final class BudgetExceeded extends CallException.ResourceExhausted {
        BudgetExceeded(CallDetails details) {
            super(details);
        }
    }

    /** Neither the gateway nor the session's agent has such a command. */
    public static final class CommandNotFound extends CallException.NotFound {
        CommandNotFound(CallDetails details) {
            super(details);
        }
    }

    /** The server doesn't know how the request was compressed. */
    public static final class CompressionUnknown extends CallException.Unimplemented {
        CompressionUnknown(CallDetails details) {
            super(details);
        }
    }

    /** The key is wrong, revoked or past its end. */
    public static final class CredentialsInvalid extends CallException.Unauthenticated {
        CredentialsInvalid(CallDetails details) {
            super(details);
        }
    }

    /** The call carries no key, and the server asks for one. */
    public static final class CredentialsMissing extends CallException.Unauthenticated {
        CredentialsMissing(CallDetails details) {
            super(details);
        }
    }

    /** The cursor lies beyond the end of the log. A subscription's error carries a {@link #snapshot()}. */
    public static final class CursorAhead extends CallException.OutOfRange {
        CursorAhead(CallDetails details) {
            super(details);
        }
    }

    /** Events after the cursor are no longer kept. A subscription's error carries a {@link #snapshot()}. */
    public static final class CursorExpired extends CallException.OutOfRange {
        CursorExpired(CallDetails details) {
            super(details);
        }
    }

    /** The server is going to stop and takes no new work. */
    public static final class Draining extends CallException.Unavailable {
        Draining(CallDetails details) {
            super(details);
        }
    }

    /** The memory's vectors are of another embedding model. */
    public static final class EmbeddingMismatch extends CallException.FailedPrecondition {
        EmbeddingMismatch(CallDetails details) {
            super(details);
        }
    }

    /** The server has no embedding model. */
    public static final class EmbeddingMissing extends CallException.FailedPrecondition {
        EmbeddingMissing(CallDetails details) {
            super(details);
        }
    }

    /** The embedding model doesn't answer. */
    public static final class EmbeddingUnavailable extends CallException.Unavailable {
        EmbeddingUnavailable(CallDetails details) {
            super(details);
        }
    }

    /** Another server has taken the session over. */
    public static final class Fenced extends CallException.Aborted {
        Fenced(CallDetails details) {
            super(details);
        }
    }

    /** The session is in another generation than the one expected. */
    public static final class GenerationMismatch extends CallException.Aborted {
        GenerationMismatch(CallDetails details) {
            super(details);
        }
    }

    /** The server is not known by the host name that was called; its {@code allowed_hosts} may name it. */
    public static final class HostUnknown extends CallException.PermissionDenied {
        HostUnknown(CallDetails details) {
            super(details);
        }
    }

    /** The {@code request_id} was used for another request. */
    public static final class IdempotencyConflict extends CallException.AlreadyExists {
        IdempotencyConflict(CallDetails details) {
            super(details);
        }
    }

    /** Fields of the request are wrong; {@link #fieldViolations()} names them. */
    public static final class InvalidField extends CallException.InvalidArgument {
        InvalidField(CallDetails details) {
            super(details);
        }
    }

    /** The agent's processes are not isolated on this server, so it serves the operator's tenant alone. */
    public static final class IsolationRequired extends CallException.FailedPrecondition {
        IsolationRequired(CallDetails details) {
            super(details);
        }
    }

    /** The cursor is of another life of the log. A subscription's error carries a {@link #snapshot()}. */
    public static final class LogChanged extends CallException.FailedPrecondition {
        LogChanged(CallDetails details) {
            super(details);
        }
    }

    /** The server can't read the request. */
    public static final class MalformedRequest extends CallException.InvalidArgument {
        MalformedRequest(CallDetails details) {
            super(details);
        }
    }

    /** The scope or the tenant has no room for more memories. */
    public static final class MemoryFull extends CallException.ResourceExhausted {
        MemoryFull(CallDetails details) {
            super(details);
        }
    }

    /** There is no such memory. */
    public static final class MemoryNotFound extends CallException.NotFound {
        MemoryNotFound(CallDetails details) {
            super(details);
        }
    }

    /** The request is larger than the server takes. */
    public static final class MessageTooLarge extends CallException.ResourceExhausted {
        MessageTooLarge(CallDetails details) {
            super(details);
        }
    }

    /** The call has too many bytes of metadata. */
    public static final class MetadataTooLarge extends CallException.ResourceExhausted {
        MetadataTooLarge(CallDetails details) {
            super(details);
        }
    }

    /** The server has no such call; it may be older than this client. */
    public static final class MethodUnknown extends CallException.Unimplemented {
        MethodUnknown(CallDetails details) {
            super(details);
        }
    }

    /** The agent is known not to have that model. */
    public static final class ModelNotFound extends CallException.NotFound {
        ModelNotFound(CallDetails details) {
            super(details);
        }
    }

    /** The server has not reached the position that was asked for. */
    public static final class NotCaughtUp extends CallException.Unavailable {
        NotCaughtUp(CallDetails details) {
            super(details);
        }
    }

    /** The agent is known not to have that option. */
    public static final class OptionNotFound extends CallException.NotFound {
        OptionNotFound(CallDetails details) {
            super(details);
        }
    }

    /** The primary session can't be deleted. */
    public static final class PrimarySession extends CallException.FailedPrecondition {
        PrimarySession(CallDetails details) {
            super(details);
        }
    }

    /** The session has no such question. */
    public static final class QuestionNotFound extends CallException.NotFound {
        QuestionNotFound(CallDetails details) {
            super(details);
        }
    }

    /** As many turns wait as may; nothing was stored. */
    public static final class QueueFull extends CallException.ResourceExhausted {
        QueueFull(CallDetails details) {
            super(details);
        }
    }

    /** Too many calls; {@link #retryAfter()} tells when to go on. */
    public static final class RateLimited extends CallException.ResourceExhausted {
        RateLimited(CallDetails details) {
            super(details);
        }
    }

    /** The reader fell too far behind and must begin anew. */
    public static final class Resync extends CallException.Unavailable {
        Resync(CallDetails details) {
            super(details);
        }
    }

    /** The routes have changed since they were read. */
    public static final class RoutesChanged extends CallException.Aborted {
        RoutesChanged(CallDetails details) {
            super(details);
        }
    }

    /** The caller has no such schedule. */
    public static final class ScheduleNotFound extends CallException.NotFound {
        ScheduleNotFound(CallDetails details) {
            super(details);
        }
    }

    /** The key lacks a scope; {@link #metadata()} names it. */
    public static final class ScopeRequired extends CallException.PermissionDenied {
        ScopeRequired(CallDetails details) {
            super(details);
        }
    }

    /** The server can't decrypt the secret. */
    public static final class SecretUnreadable extends CallException.FailedPrecondition {
        SecretUnreadable(CallDetails details) {
            super(details);
        }
    }

    /** A turn is active or waiting, and the request wanted none. */
    public static final class SessionBusy extends CallException.FailedPrecondition {
        SessionBusy(CallDetails details) {
            super(details);
        }
    }

    /** The session was deleted. */
    public static final class SessionDeleted extends CallException.NotFound {
        SessionDeleted(CallDetails details) {
            super(details);
        }
    }

    /** The session is being deleted. */
    public static final class SessionDeleting extends CallException.Unavailable {
        SessionDeleting(CallDetails details) {
            super(details);
        }
    }

    /** The key is taken. */
    public static final class SessionExists extends CallException.AlreadyExists {
        SessionExists(CallDetails details) {
            super(details);
        }
    }

    /** There is no such session, or it is not the caller's. */
    public static final class SessionNotFound extends CallException.NotFound {
        SessionNotFound(CallDetails details) {
            super(details);
        }
    }

    /** The session belongs to somebody else. */
    public static final class SessionNotYours extends CallException.PermissionDenied {
        SessionNotYours(CallDetails details) {
            super(details);
        }
    }

    /** The server's disk is nearly full. */
    public static final class StorageFull extends CallException.ResourceExhausted {
        StorageFull(CallDetails details) {
            super(details);
        }
    }

    /** The server's store doesn't answer. */
    public static final class StoreUnavailable extends CallException.Unavailable {
        StoreUnavailable(CallDetails details) {
            super(details);
        }
    }

    /** As many bytes are stored as may be. */
    public static final class TooManyBytes extends CallException.ResourceExhausted {
        TooManyBytes(CallDetails details) {
            super(details);
        }
    }

    /** The tenant has as many valid API keys as it may. */
    public static final class TooManyKeys extends CallException.ResourceExhausted {
        TooManyKeys(CallDetails details) {
            super(details);
        }
    }

    /** As many sessions exist as may. */
    public static final class TooManySessions extends CallException.ResourceExhausted {
        TooManySessions(CallDetails details) {
            super(details);
        }
    }

    /** As many streams are open as may. */
    public static final class TooManyStreams extends CallException.ResourceExhausted {
        TooManyStreams(CallDetails details) {
            super(details);
        }
    }

    /** As many calls wait for news as may. */
    public static final class TooManyWaits extends CallException.ResourceExhausted {
        TooManyWaits(CallDetails details) {
            super(details);
        }
    }

    /** Another turn than the expected one is active, or none. */
    public static final class TurnMismatch extends CallException.FailedPrecondition {
        TurnMismatch(CallDetails details) {
            super(details);
        }
    }

    /** The session has no such turn. */
    public static final class TurnNotFound extends CallException.NotFound {
        TurnNotFound(CallDetails details) {
            super(details);
        }
    }

    /** The turn doesn't wait any more. */
    public static final class TurnNotQueued extends CallException.FailedPrecondition {
        TurnNotQueued(CallDetails details) {
            super(details);
        }
    }

    /** The session's agent can't do that. */
    public static final class UnsupportedByAgent extends CallException.FailedPrecondition {
        UnsupportedByAgent(CallDetails details) {
            super(details);
        }
    }

    /** The caller has no such webhook. */
    public static final class WebhookNotFound extends CallException.NotFound {
        WebhookNotFound(CallDetails details) {
            super(details);
        }
    }

    /** No such worker is connected. */
    public static final class WorkerNotFound extends CallException.NotFound {
        WorkerNotFound(CallDetails details) {
            super(details);
        }
    }
}
