package dev.quarterdeck.client;

import dev.quarterdeck.v1.EnqueueRequest;
import dev.quarterdeck.v1.GatewayEvent;
import dev.quarterdeck.v1.GatewayServiceGrpc;
import dev.quarterdeck.v1.RunRequest;
import io.grpc.CallOptions;
import java.time.Duration;

/** Run: a prompt and its turn's events. A repeat with the same {@code request_id} attaches to the same turn. */
final class TurnEvents implements Resumable<GatewayEvent> {
    private final Calls calls;
    private final RunRequest request;
    /** Last durable event that the reader was given. */
    private long afterSeq;

    TurnEvents(Calls calls, RunRequest request) {
        EnqueueRequest enqueue = RequestIds.identify(request.getEnqueue());
        this.calls = calls;
        this.request = request.toBuilder().setEnqueue(enqueue).build();
        this.afterSeq = request.getAfterSeq();
    }

    @Override
    public ServerStream<GatewayEvent> open(CallOptions options) {
        RunRequest from = request.toBuilder().setAfterSeq(afterSeq).build();
        return Resumable.stream(calls, GatewayServiceGrpc.getRunMethod(), options, from);
    }

    @Override
    public boolean accept(GatewayEvent event) {
        // A turn that had ended before is told again by its end alone.
        if (event.getSeq() > 0 && event.getSeq() <= afterSeq && !isLast(event)) {
            return false;
        }
        afterSeq = Math.max(afterSeq, event.getSeq());
        return true;
    }

    @Override
    public boolean isLast(GatewayEvent event) {
        return event.hasTurnEnded();
    }

    @Override
    public boolean endsWithOk() {
        return false;
    }

    @Override
    public Duration silence() {
        return SessionEvents.silence(SessionEvents.PROGRESS);
    }

    @Override
    public Duration patience() {
        return calls.patience();
    }

    @Override
    public Refused refused(CallException error) {
        return Resumable.ends(error);
    }
}
