package dev.quarterdeck.client;

import com.google.rpc.BadRequest.FieldViolation;
import dev.quarterdeck.v1.Cursor;
import dev.quarterdeck.v1.GetSessionStateResponse;
import io.grpc.Status;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A call failed. There is a class for each reason ({@link Refusal}), below one for each gRPC code (here).
 *
 * <pre>{@code
 * try {
 *     client.enqueue("demo", "hello");
 * } catch (Refusal.QueueFull full) {
 *     wait(full.retryAfter());
 * } catch (CallException.Unavailable away) {
 *     giveUp(away);
 * }
 * }</pre>
 */
@SuppressWarnings("serial") // Nobody stores these.
public abstract class CallException extends QuarterdeckException {
    private final transient CallDetails details;

    CallException(CallDetails details) {
        super(details.message(), details.cause());
        this.details = details;
    }

    /** The class, then the reason (or the code where there is none), the message and each field that is wrong. */
    @Override
    public String toString() {
        StringBuilder text = new StringBuilder(getClass().getName())
                .append(": ")
                .append(reason().isEmpty() ? code().name() : reason())
                .append(": ")
                .append(getMessage());
        fieldViolations()
                .forEach(wrong ->
                        text.append("; ").append(wrong.getField()).append(": ").append(wrong.getDescription()));
        return text.toString();
    }

    /** The gRPC code. */
    public Status.Code code() {
        return details.code();
    }

    /** {@code ErrorInfo.reason}, such as {@code QUEUE_FULL}; empty where the error is not the server's. */
    @Override
    public String reason() {
        return details.reason();
    }

    /** {@code ErrorInfo.metadata}: the facts of the reason. */
    public Map<String, String> metadata() {
        return details.metadata();
    }

    /** When to try again, where the server says so. */
    public Optional<Duration> retryAfter() {
        return details.retryAfter();
    }

    /** The wrong fields, each with what is wrong with it; for {@link Refusal.InvalidField}. */
    public List<FieldViolation> fieldViolations() {
        return details.fieldViolations();
    }

    /**
     * The session as it is now, where a subscription's cursor is void ({@link Refusal.CursorExpired},
     * {@link Refusal.CursorAhead}, {@link Refusal.LogChanged}): show this instead of what was missed. The subscription
     * goes on after it when it is read again; {@link #resumeAt()} is where.
     */
    public Optional<GetSessionStateResponse> snapshot() {
        return details.snapshot();
    }

    /** The cursor after {@link #snapshot()}. */
    public Optional<Cursor> resumeAt() {
        return snapshot()
                .map(state -> Cursor.newBuilder()
                        .setLogId(state.getLogId())
                        .setAfterSeq(state.getSeq())
                        .build());
    }

    /** True where the connection failed and not the call. */
    boolean connectionLost() {
        return details.connectionLost();
    }

    /** The same error with the state of the session that it is about. */
    CallException with(GetSessionStateResponse snapshot) {
        return CallExceptions.of(details.with(snapshot));
    }

    /** The call was cancelled: its thread was interrupted, or the client closed. */
    public static class Cancelled extends CallException {
        Cancelled(CallDetails details) {
            super(details);
        }
    }

    /** Something between client and server answered what is no gRPC. */
    public static class Unknown extends CallException {
        Unknown(CallDetails details) {
            super(details);
        }
    }

    /** The request is wrong in itself. */
    public static class InvalidArgument extends CallException {
        InvalidArgument(CallDetails details) {
            super(details);
        }
    }

    /** The call took longer than it was given. The work may have been done. */
    public static class DeadlineExceeded extends CallException {
        DeadlineExceeded(CallDetails details) {
            super(details);
        }
    }

    /** What the request names is not there. */
    public static class NotFound extends CallException {
        NotFound(CallDetails details) {
            super(details);
        }
    }

    /** What the request would make is there. */
    public static class AlreadyExists extends CallException {
        AlreadyExists(CallDetails details) {
            super(details);
        }
    }

    /** The caller may not do that. */
    public static class PermissionDenied extends CallException {
        PermissionDenied(CallDetails details) {
            super(details);
        }
    }

    /** A bound is met. */
    public static class ResourceExhausted extends CallException {
        ResourceExhausted(CallDetails details) {
            super(details);
        }
    }

    /** The state doesn't allow that. */
    public static class FailedPrecondition extends CallException {
        FailedPrecondition(CallDetails details) {
            super(details);
        }
    }

    /** Something changed in between. */
    public static class Aborted extends CallException {
        Aborted(CallDetails details) {
            super(details);
        }
    }

    /** A position lies outside of what is there. */
    public static class OutOfRange extends CallException {
        OutOfRange(CallDetails details) {
            super(details);
        }
    }

    /** The server has no such call. */
    public static class Unimplemented extends CallException {
        Unimplemented(CallDetails details) {
            super(details);
        }
    }

    /** A fault of the server. */
    public static class Internal extends CallException {
        Internal(CallDetails details) {
            super(details);
        }
    }

    /** The server can't be reached or can't answer now. The call was repeated as long as patience allowed. */
    public static class Unavailable extends CallException {
        Unavailable(CallDetails details) {
            super(details);
        }
    }

    /** Stored data is broken. */
    public static class DataLoss extends CallException {
        DataLoss(CallDetails details) {
            super(details);
        }
    }

    /** The server doesn't accept the credential. */
    public static class Unauthenticated extends CallException {
        Unauthenticated(CallDetails details) {
            super(details);
        }
    }
}
