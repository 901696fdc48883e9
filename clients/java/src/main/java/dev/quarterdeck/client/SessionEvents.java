package dev.quarterdeck.client;

import dev.quarterdeck.v1.Cursor;
import dev.quarterdeck.v1.GatewayEvent;
import dev.quarterdeck.v1.GatewayServiceGrpc;
import dev.quarterdeck.v1.GetSessionStateResponse;
import dev.quarterdeck.v1.SubscribeRequest;
import io.grpc.CallOptions;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;

/** Subscribe: the events of one session. */
final class SessionEvents implements Resumable<GatewayEvent> {
    /** How often the server says that a silent stream is alive, where the request doesn't tell. */
    static final Duration PROGRESS = Duration.ofSeconds(15);
    /** So many of these intervals without a message are a dead stream. */
    private static final int PROGRESS_MISSED = 3;

    private final Calls calls;
    private final SubscribeRequest request;
    private final Position position;

    SessionEvents(Calls calls, SubscribeRequest request) {
        this.calls = calls;
        this.request = request;
        this.position = new Position(request.hasCursor() ? Optional.of(request.getCursor()) : Optional.empty());
    }

    @Override
    public ServerStream<GatewayEvent> open(CallOptions options) {
        SubscribeRequest.Builder from = request.toBuilder();
        position.cursor().ifPresent(cursor -> from.setCursor(cursor).setFromOldest(false));
        return Resumable.stream(calls, GatewayServiceGrpc.getSubscribeMethod(), options, from.build());
    }

    @Override
    public void positions(Map<String, Cursor> cursors) {
        position.cursor().ifPresent(cursor -> cursors.put(request.getSessionKey(), cursor));
    }

    @Override
    public void position(GatewayEvent event, Map<String, Cursor> cursors) {
        positions(cursors);
    }

    @Override
    public boolean accept(GatewayEvent event) {
        return position.accept(event);
    }

    @Override
    public boolean isLast(GatewayEvent event) {
        return event.hasSessionDeleted();
    }

    @Override
    public boolean endsWithOk() {
        return false;
    }

    @Override
    public Duration silence() {
        return silence(request.hasProgressInterval() ? Durations.of(request.getProgressInterval()) : PROGRESS);
    }

    @Override
    public Duration patience() {
        return Outage.FOR_EVER;
    }

    @Override
    public Refused refused(CallException error) {
        if (!Snapshots.cursorIsVoid(error)) {
            return Resumable.ends(error);
        }
        GetSessionStateResponse state = Snapshots.read(calls, request.getSessionKey());
        position.moveTo(state);
        return new Refused(error.with(state), true);
    }

    /** After how long a stream whose server reports so often is dead. */
    static Duration silence(Duration progress) {
        return progress.multipliedBy(PROGRESS_MISSED);
    }
}
