package dev.quarterdeck.client;

import dev.quarterdeck.client.ServerStream.Arrival;
import dev.quarterdeck.client.ServerStream.End;
import dev.quarterdeck.client.ServerStream.Message;
import dev.quarterdeck.v1.Cursor;
import io.grpc.CallOptions;
import io.grpc.Status;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.Iterator;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;

/**
 * What happens, as an iterator that waits for the next event and comes back by itself after any cut: each durable event
 * is given once and in order, over lost connections and restarts of the server.
 *
 * <pre>{@code
 * try (Subscription<GatewayEvent> events = client.subscribe("demo")) {
 *     while (events.hasNext()) {
 *         System.out.println(events.next().getKindCase());
 *     }
 * }
 * }</pre>
 *
 * <p>Nothing is read ahead but {@value ServerStream#AHEAD_MAX} events, so a slow reader fills no memory. One thread
 * reads. Any thread may {@link #close()}, and {@link #hasNext()} is false from then on. An interrupted reader gets
 * {@link CallException.Cancelled}, stays interrupted, and the subscription is closed.
 *
 * <p>{@link #hasNext()} and {@link #next()} throw {@link CallException} where coming back is senseless. After
 * {@link Refusal.CursorExpired}, {@link Refusal.CursorAhead} and {@link Refusal.LogChanged} reading may go on: the error
 * carries the session's state, and what comes next is what happened after it.
 *
 * @param <T> what is read
 */
public final class Subscription<T> implements Iterator<T>, AutoCloseable {
    private static final Logger LOG = System.getLogger(Subscription.class.getName());

    private final Calls calls;
    private final Resumable<T> source;
    private final Optional<Calls.Deadline> deadline;
    private final Outage outage;
    /** Sees each event before the reader does. */
    private final Consumer<T> observer;

    private volatile boolean closed;
    /** Null between a cut and the next try. Set by the reader, closed by anyone. */
    private volatile ServerStream<T> stream;
    /** True once the server has sent something: it knows the session and lets us read it. */
    private boolean attached;

    private boolean ended;
    /** Where reading stands, by session key. */
    private final Map<String, Cursor> cursors = new ConcurrentHashMap<>();

    private T next;

    Subscription(Calls calls, Resumable<T> source) {
        this(calls, source, event -> {});
    }

    Subscription(Calls calls, Resumable<T> source, Consumer<T> observer) {
        this.observer = observer;
        this.calls = calls;
        this.source = source;
        this.deadline = calls.wholeDeadline();
        this.outage = calls.outage();
        source.positions(cursors);
        open();
    }

    /** Waits for the next event; false where nothing will ever follow. */
    @Override
    public boolean hasNext() {
        while (next == null && !ended) {
            if (closed) {
                end();
            } else {
                step();
            }
        }
        return next != null;
    }

    /** Waits for the next event and gives it. */
    @Override
    public T next() {
        if (!hasNext()) {
            throw new NoSuchElementException("nothing will follow any more");
        }
        T event = next;
        next = null;
        source.position(event, cursors);
        return event;
    }

    /**
     * Where to go on later, in another run of the program too, by session key: after the events that {@link #next()} gave.
     * A session is missing before its first event, unless the request said where it begins.
     */
    public Map<String, Cursor> cursors() {
        return Map.copyOf(cursors);
    }

    /** Where to go on later, of a subscription to one session; empty before the first event. */
    public Optional<Cursor> cursor() {
        return cursors.values().stream().findFirst();
    }

    /** Events that have arrived and wait to be read; at most {@value ServerStream#AHEAD_MAX}. */
    public int buffered() {
        ServerStream<T> present = stream;
        return present == null ? 0 : present.buffered();
    }

    /** Ends the subscription; a reader that waits gets the end. The work that it follows goes on. */
    @Override
    public void close() {
        closed = true;
        ServerStream<T> present = stream;
        if (present != null) {
            present.close();
        }
        calls.connection().wake();
    }

    private void step() {
        try {
            if (stream == null) {
                open();
            }
            Arrival<T> arrival = stream.take(source.silence());
            if (arrival instanceof Message<T> arrived) {
                received(arrived.message());
            } else if (arrival instanceof End<T> end) {
                stream = null;
                ended(end);
            } else {
                drop();
                cut(lost("the connection is silent"));
            }
        } catch (InterruptedException interruption) {
            close();
            end();
            throw Calls.interrupted(interruption);
        }
    }

    private void open() {
        CallOptions options =
                deadline.map(until -> until.bound(CallOptions.DEFAULT)).orElse(CallOptions.DEFAULT);
        stream = source.open(options);
        if (closed) {
            // Whoever closed us may not have seen it.
            stream.close();
        }
    }

    private void received(T message) {
        attached = true;
        outage.over();
        calls.connection().answered();
        boolean fresh = source.accept(message);
        if (source.isLast(message)) {
            end();
        }
        if (fresh) {
            observer.accept(message);
            next = message;
        }
    }

    private void ended(End<T> end) throws InterruptedException {
        if (closed) {
            end();
        } else if (end.status().isOk() && source.endsWithOk()) {
            end();
        } else if (end.status().isOk()) {
            cut(lost("the stream ended without a reason"));
        } else {
            failed(calls.connection().failure(end.failure()));
        }
    }

    private void failed(CallException error) throws InterruptedException {
        // A stream that was there once is worth coming back to for every reason that may pass. The server may not have
        // noticed yet that the stream before is gone, and count it.
        boolean passes = error.code() == Status.Code.UNAVAILABLE
                || (error.connectionLost() && !calls.connection().isClosed())
                || (attached && error.code() == Status.Code.RESOURCE_EXHAUSTED);
        if (passes) {
            cut(error);
            return;
        }
        Resumable.Refused refused = source.refused(error);
        if (refused.goesOn()) {
            source.positions(cursors);
        } else {
            end();
        }
        throw refused.error();
    }

    private void cut(CallException error) throws InterruptedException {
        Duration patience = attached ? source.patience() : calls.connection().patience(calls.patience());
        Optional<Duration> pause = outage.pause(System.nanoTime(), patience, error.retryAfter())
                .filter(due ->
                        deadline.isEmpty() || due.compareTo(deadline.get().left()) < 0);
        if (pause.isEmpty()) {
            end();
            throw error;
        }
        LOG.log(
                Level.DEBUG,
                "stream of {0} was cut: {1}; back in {2}",
                calls.connection().address(),
                error,
                pause.get());
        calls.connection().pause(pause.get(), () -> closed);
    }

    private CallException lost(String why) {
        return CallExceptions.of(CallDetails.of(Status.Code.UNAVAILABLE, why, null));
    }

    private void end() {
        ended = true;
        drop();
    }

    private void drop() {
        ServerStream<T> present = stream;
        stream = null;
        if (present != null) {
            present.close();
        }
    }
}
