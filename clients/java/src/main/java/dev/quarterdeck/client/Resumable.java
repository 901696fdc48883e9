package dev.quarterdeck.client;

import dev.quarterdeck.v1.Cursor;
import io.grpc.CallOptions;
import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.Map;

/** A stream that can be asked for again from where its reader is: what differs between the streams of the service. */
interface Resumable<T> {
    /** Asks for the stream from where its reader is. */
    ServerStream<T> open(CallOptions options);

    /** Notes where its reader is; false where the message was handed on before. */
    boolean accept(T message);

    /** Puts in where reading stands in each session. */
    default void positions(Map<String, Cursor> cursors) {}

    /** Puts in where reading stands in the session of a message that was accepted just now. */
    default void position(T message, Map<String, Cursor> cursors) {}

    /** True where nothing comes after this message. */
    boolean isLast(T message);

    /** True where the server's OK says that nothing will ever follow; else it is a cut. */
    boolean endsWithOk();

    /** The longest time without a message on a stream that works. */
    Duration silence();

    /** How long to try to come back. */
    Duration patience();

    /**
     * A refusal. Where reading can go on elsewhere this moves there.
     */
    Refused refused(CallException error);

    /**
     * What a refusal means.
     *
     * @param error what its reader is told
     * @param goesOn whether reading may go on after that
     */
    record Refused(CallException error, boolean goesOn) {}

    /** A refusal that ends the stream. */
    static Refused ends(CallException error) {
        return new Refused(error, false);
    }

    /** Opens a stream of one method. */
    static <Q, T> ServerStream<T> stream(Calls calls, MethodDescriptor<Q, T> method, CallOptions options, Q request) {
        return ServerStream.open(calls.connection().channel(), method, options, request);
    }
}
