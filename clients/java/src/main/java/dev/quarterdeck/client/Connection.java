package dev.quarterdeck.client;

import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.MetadataUtils;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;

/** One server: its channel, whether it ever answered, and the waits of all that hangs on it. */
final class Connection implements AutoCloseable {
    /** How long a server that never answered is tried. */
    static final Duration REACH_PATIENCE = Duration.ofSeconds(3);
    /** How long calls that run may take to end when the client is closed. */
    private static final Duration CLOSE_PATIENCE = Duration.ofSeconds(5);

    private static final Metadata.Key<String> AUTHORIZATION =
            Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

    private final String address;
    private final ManagedChannel managed;
    private final Channel channel;

    /** Guards nothing but the waits: `closed` and what a waiter asks for are read again after each wake. */
    private final ReentrantLock lock = new ReentrantLock();

    private final Condition changed = lock.newCondition();
    private volatile boolean closed;
    private volatile boolean reached;

    Connection(String address, ManagedChannel managed, Optional<String> key) {
        this.address = address;
        this.managed = managed;
        Metadata headers = new Metadata();
        key.ifPresent(secret -> headers.put(AUTHORIZATION, "Bearer " + secret));
        this.channel = ClientInterceptors.intercept(managed, MetadataUtils.newAttachHeadersInterceptor(headers));
    }

    /** Calls on it carry the key. */
    Channel channel() {
        return channel;
    }

    String address() {
        return address;
    }

    boolean isClosed() {
        return closed;
    }

    /** The server has answered: from now on a lost connection is worth waiting for. */
    void answered() {
        reached = true;
    }

    /** How patient to be, where the caller would be so patient with a server that is known. */
    Duration patience(Duration known) {
        return reached || known.compareTo(REACH_PATIENCE) < 0 ? known : REACH_PATIENCE;
    }

    /** What a failed call means. */
    CallException failure(StatusRuntimeException failure) {
        CallDetails details = CallDetails.of(failure);
        if (closed) {
            return CallExceptions.of(CallDetails.of(Status.Code.CANCELLED, "the client is closed", failure));
        }
        if (!details.reason().isEmpty()) {
            answered();
        } else if (!reached && details.code() == Status.Code.UNAVAILABLE) {
            details = details.with("no Quarterdeck server answers at " + address + " (" + because(failure)
                    + "). Start one with `quarterdeck serve`, or name another address: QUARTERDECK_ADDR, or"
                    + " QuarterdeckClient.builder().address(…)");
        }
        return CallExceptions.of(details);
    }

    /** Waits, then lets the channel connect at once. Ends early where the client, or what {@code ended} tells of, ends. */
    void pause(Duration pause, BooleanSupplier ended) throws InterruptedException {
        long left = pause.toNanos();
        lock.lockInterruptibly();
        try {
            while (left > 0 && !closed && !ended.getAsBoolean()) {
                left = changed.awaitNanos(left);
            }
        } finally {
            lock.unlock();
        }
        // The channel's own pauses grow to two minutes; ours are the ones that count.
        managed.resetConnectBackoff();
    }

    /** Lets those who wait look again. */
    void wake() {
        lock.lock();
        try {
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    @Override
    public void close() {
        closed = true;
        wake();
        managed.shutdownNow();
        try {
            managed.awaitTermination(CLOSE_PATIENCE.toMillis(), TimeUnit.MILLISECONDS);
        } catch (InterruptedException interruption) {
            Thread.currentThread().interrupt();
        }
    }

    private static String because(Throwable failure) {
        Throwable cause = failure.getCause() == null ? failure : failure.getCause();
        while (cause.getCause() != null) {
            cause = cause.getCause();
        }
        return cause.getMessage() == null ? cause.toString() : cause.getMessage();
    }
}
