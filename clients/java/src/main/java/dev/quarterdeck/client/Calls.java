package dev.quarterdeck.client;

import com.google.protobuf.Message;
import io.grpc.CallOptions;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/**
 * Makes calls: with a {@code request_id}, a deadline, and repeated while the server is unavailable and patience lasts.
 *
 * @param deadline what the caller gave for its calls; empty means {@code defaultDeadline}, and none for streams
 * @param patience how long a call is repeated while the server is away
 */
record Calls(Connection connection, Duration defaultDeadline, Optional<Duration> deadline, Duration patience) {

    Calls withDeadline(Duration given) {
        return new Calls(connection, defaultDeadline, Optional.of(given), patience);
    }

    Calls withPatience(Duration given) {
        return new Calls(connection, defaultDeadline, deadline, given);
    }

    <Q extends Message, R> R unary(MethodDescriptor<Q, R> method, Q request) {
        return unary(method, request, Duration.ZERO);
    }

    /** {@code allowance}: what the request lets the server take beyond the usual. */
    <Q extends Message, R> R unary(MethodDescriptor<Q, R> method, Q request, Duration allowance) {
        return unaryUntil(method, request, new Deadline(deadline.orElse(defaultDeadline.plus(allowance))));
    }

    /** Bounded by the deadline of a whole as well, where there is one. */
    <Q extends Message, R> R unary(
            MethodDescriptor<Q, R> method, Q request, Duration allowance, Optional<Deadline> whole) {
        return unaryUntil(method, request, whole.orElseGet(() -> new Deadline(defaultDeadline.plus(allowance))));
    }

    private <Q extends Message, R> R unaryUntil(MethodDescriptor<Q, R> method, Q request, Deadline until) {
        Q identified = RequestIds.identify(request);
        Outage outage = outage();
        while (true) {
            CallException error;
            try {
                R response = ClientCalls.blockingUnaryCall(
                        connection.channel(), method, until.bound(CallOptions.DEFAULT), identified);
                connection.answered();
                return response;
            } catch (StatusRuntimeException failure) {
                error = connection.failure(failure);
            }
            if (error.code() != Status.Code.UNAVAILABLE) {
                throw error;
            }
            Duration pause = outage.pause(System.nanoTime(), connection.patience(patience), error.retryAfter())
                    .filter(due -> due.compareTo(until.left()) < 0)
                    .orElseThrow(() -> error);
            pause(pause);
        }
    }

    /** The time until which a stream, or several calls that are one to the caller, may go on, where the caller gave one. */
    Optional<Deadline> wholeDeadline() {
        return deadline.map(Deadline::new);
    }

    Outage outage() {
        return new Outage(new Backoff(() -> ThreadLocalRandom.current().nextDouble()));
    }

    private void pause(Duration pause) {
        try {
            connection.pause(pause, () -> false);
        } catch (InterruptedException interruption) {
            throw interrupted(interruption);
        }
    }

    /** What a wait ends with when its thread is interrupted; the thread stays so. */
    static CallException interrupted(InterruptedException interruption) {
        Thread.currentThread().interrupt();
        return CallExceptions.of(CallDetails.of(Status.Code.CANCELLED, "the thread was interrupted", interruption));
    }

    /** A time that does not move while a call is repeated. */
    static final class Deadline {
        private final long at;

        Deadline(Duration length) {
            this.at = System.nanoTime() + length.toNanos();
        }

        Duration left() {
            return Duration.ofNanos(Math.max(0, at - System.nanoTime()));
        }

        CallOptions bound(CallOptions options) {
            return options.withDeadlineAfter(at - System.nanoTime(), TimeUnit.NANOSECONDS);
        }
    }
}
