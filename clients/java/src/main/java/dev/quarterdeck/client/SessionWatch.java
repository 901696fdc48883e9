package dev.quarterdeck.client;

import dev.quarterdeck.v1.GatewayServiceGrpc;
import dev.quarterdeck.v1.SessionSnapshot;
import dev.quarterdeck.v1.WatchSessionsRequest;
import io.grpc.CallOptions;
import java.time.Duration;

/** WatchSessions: has no position. Each time it attaches, the server sends the whole list anew. */
record SessionWatch(Calls calls, WatchSessionsRequest request) implements Resumable<SessionSnapshot> {
    @Override
    public ServerStream<SessionSnapshot> open(CallOptions options) {
        return Resumable.stream(calls, GatewayServiceGrpc.getWatchSessionsMethod(), options, request);
    }

    @Override
    public boolean accept(SessionSnapshot session) {
        return true;
    }

    @Override
    public boolean isLast(SessionSnapshot session) {
        return false;
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
        return Outage.FOR_EVER;
    }

    @Override
    public Refused refused(CallException error) {
        return Resumable.ends(error);
    }
}
