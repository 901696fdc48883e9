package dev.quarterdeck.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/**
 * One server-streaming call, read by pulling. At most {@link #AHEAD_MAX} messages wait here; beyond that the server is
 * not asked for more, its connection window fills, and it sends this reader durable events at the reader's own pace.
 */
final class ServerStream<T> implements AutoCloseable {
    /** Messages that may have arrived unread. */
    static final int AHEAD_MAX = 16;
    /** Messages that are asked for at once, so that not every read is a message to the transport's thread. */
    private static final int REQUEST = AHEAD_MAX / 2;

    /** What comes out of a stream. */
    sealed interface Arrival<T> {}

    /** A message. */
    record Message<T>(T message) implements Arrival<T> {}

    /** The end; nothing comes after. */
    record End<T>(Status status, Metadata trailers) implements Arrival<T> {
        StatusRuntimeException failure() {
            return status.asRuntimeException(trailers);
        }
    }

    private final ClientCall<?, T> call;
    /** At most AHEAD_MAX messages, because no more are asked for, and the end. */
    private final BlockingQueue<Arrival<T>> arrived = new LinkedBlockingQueue<>();

    private int readSinceRequest;

    private ServerStream(ClientCall<?, T> call) {
        this.call = call;
    }

    /** Sends the request; doesn't wait. */
    static <Q, T> ServerStream<T> open(Channel channel, MethodDescriptor<Q, T> method, CallOptions options, Q request) {
        // The listener only fills the queue, so it may run on the transport's thread.
        ClientCall<Q, T> call = channel.newCall(method, options.withExecutor(Runnable::run));
        ServerStream<T> stream = new ServerStream<>(call);
        call.start(stream.new Listener(), new Metadata());
        call.request(AHEAD_MAX);
        call.sendMessage(request);
        call.halfClose();
        return stream;
    }

    /** The next message or the end; null where nothing came for that long. Only one thread may read. */
    Arrival<T> take(Duration limit) throws InterruptedException {
        Arrival<T> arrival = arrived.poll(limit.toNanos(), TimeUnit.NANOSECONDS);
        if (arrival instanceof Message<T> && ++readSinceRequest == REQUEST) {
            readSinceRequest = 0;
            call.request(REQUEST);
        }
        return arrival;
    }

    /** Messages that have arrived and wait to be read. */
    int buffered() {
        return arrived.size();
    }

    /** Ends the call; its reader gets the end after what has arrived. May be called by any thread, and again. */
    @Override
    public void close() {
        call.cancel("the reader is gone", null);
    }

    private final class Listener extends ClientCall.Listener<T> {
        @Override
        public void onMessage(T message) {
            arrived.add(new Message<>(message));
        }

        @Override
        public void onClose(Status status, Metadata trailers) {
            arrived.add(new End<>(status, trailers));
        }
    }
}
