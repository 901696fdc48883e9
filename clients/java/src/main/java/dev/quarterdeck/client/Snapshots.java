package dev.quarterdeck.client;

import dev.quarterdeck.v1.GatewayServiceGrpc;
import dev.quarterdeck.v1.GetSessionStateRequest;
import dev.quarterdeck.v1.GetSessionStateResponse;

/** Void cursors: which errors say so, and the state of the session to go on from. */
final class Snapshots {
    private Snapshots() {}

    /** True where the reader must begin elsewhere. */
    static boolean cursorIsVoid(CallException error) {
        return error instanceof Refusal.CursorExpired
                || error instanceof Refusal.CursorAhead
                || error instanceof Refusal.LogChanged;
    }

    static GetSessionStateResponse read(Calls calls, String sessionKey) {
        GetSessionStateRequest request =
                GetSessionStateRequest.newBuilder().setSessionKey(sessionKey).build();
        return calls.unary(GatewayServiceGrpc.getGetSessionStateMethod(), request);
    }
}
