package dev.quarterdeck.client;

import dev.quarterdeck.v1.Cursor;
import dev.quarterdeck.v1.GatewayEvent;
import dev.quarterdeck.v1.GatewayServiceGrpc;
import dev.quarterdeck.v1.GetSessionStateResponse;
import dev.quarterdeck.v1.SessionCursor;
import dev.quarterdeck.v1.SubscribeManyRequest;
import io.grpc.CallOptions;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/** SubscribeMany: the events of several sessions, with a position in each. */
final class ManySessionsEvents implements Resumable<GatewayEvent> {
    private final Calls calls;
    private final SubscribeManyRequest request;
    /** The sessions that are followed; as many as the server lets one caller follow. */
    private final Map<String, Followed> sessions = new LinkedHashMap<>();

    private record Followed(SessionCursor asked, Position position) {
        SessionCursor resume() {
            SessionCursor.Builder from = asked.toBuilder();
            position.cursor()
                    .ifPresent(cursor -> from.setFromHead(false)
                            .setFromOldest(false)
                            .setLogId(cursor.getLogId())
                            .setAfterSeq(cursor.getAfterSeq()));
            return from.build();
        }
    }

    ManySessionsEvents(Calls calls, SubscribeManyRequest request) {
        this.calls = calls;
        this.request = request;
        for (SessionCursor asked : request.getCursorsList()) {
            sessions.put(asked.getSessionKey(), new Followed(asked, begin(asked)));
        }
    }

    @Override
    public ServerStream<GatewayEvent> open(CallOptions options) {
        SubscribeManyRequest.Builder from = request.toBuilder().clearCursors();
        sessions.values().forEach(followed -> from.addCursors(followed.resume()));
        return Resumable.stream(calls, GatewayServiceGrpc.getSubscribeManyMethod(), options, from.build());
    }

    @Override
    public void positions(Map<String, Cursor> cursors) {
        cursors.keySet().retainAll(sessions.keySet());
        sessions.forEach((key, followed) -> followed.position().cursor().ifPresent(cursor -> cursors.put(key, cursor)));
    }

    @Override
    public void position(GatewayEvent event, Map<String, Cursor> cursors) {
        String key = event.getSessionKey();
        Followed followed = sessions.get(key);
        if (followed == null) {
            cursors.remove(key);
        } else {
            followed.position().cursor().ifPresent(cursor -> cursors.put(key, cursor));
        }
    }

    @Override
    public boolean accept(GatewayEvent event) {
        String key = event.getSessionKey();
        if (event.hasSessionDeleted()) {
            sessions.remove(key);
            return true;
        }
        if (event.hasHello() && !sessions.containsKey(key)) {
            // One that the filter brought. It says where it begins.
            SessionCursor asked = SessionCursor.newBuilder().setSessionKey(key).build();
            sessions.put(key, new Followed(asked, new Position(Optional.empty())));
        }
        Followed followed = sessions.get(key);
        return followed == null || followed.position().accept(event);
    }

    @Override
    public boolean isLast(GatewayEvent event) {
        return event.hasSessionDeleted() && followsNothing();
    }

    @Override
    public boolean endsWithOk() {
        return true;
    }

    @Override
    public Duration silence() {
        if (sessions.isEmpty() && !request.hasWatch()) {
            // Nothing that the server would tell about; the connection's own signs of life must do.
            return Outage.FOR_EVER;
        }
        return SessionEvents.silence(
                request.hasProgressInterval() ? Durations.of(request.getProgressInterval()) : SessionEvents.PROGRESS);
    }

    @Override
    public Duration patience() {
        return Outage.FOR_EVER;
    }

    @Override
    public Refused refused(CallException error) {
        String key = error.metadata().getOrDefault("session_key", "");
        Followed followed = sessions.get(key);
        if (followed == null) {
            return Resumable.ends(error);
        }
        if (Snapshots.cursorIsVoid(error)) {
            GetSessionStateResponse state = Snapshots.read(calls, key);
            followed.position().moveTo(state);
            return new Refused(error.with(state), true);
        }
        // The others go on without one that is gone or may no longer be read.
        sessions.remove(key);
        return new Refused(error, !followsNothing());
    }

    private boolean followsNothing() {
        return sessions.isEmpty() && !request.hasFilter() && !request.hasWatch();
    }

    /** Positions that only the server knows begin empty. */
    private static Position begin(SessionCursor asked) {
        boolean known = !asked.getFromHead() && !asked.getFromOldest();
        Cursor cursor = Cursor.newBuilder()
                .setLogId(asked.getLogId())
                .setAfterSeq(asked.getAfterSeq())
                .build();
        return new Position(known ? Optional.of(cursor) : Optional.empty());
    }
}
