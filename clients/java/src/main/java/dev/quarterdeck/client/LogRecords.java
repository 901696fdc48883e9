package dev.quarterdeck.client;

import dev.quarterdeck.v1.AdminServiceGrpc;
import dev.quarterdeck.v1.LogCursor;
import dev.quarterdeck.v1.LogRecord;
import dev.quarterdeck.v1.TailLogsRequest;
import io.grpc.CallOptions;
import java.time.Duration;

/** TailLogs: the server's log records, over lost connections; after a restart of the server those of the new start. */
final class LogRecords implements Resumable<LogRecord> {
    /** Records asked for where the cursor is void: all that the server may keep. */
    private static final int LAST_MAX = 10_000;

    private final Calls calls;
    private TailLogsRequest request;

    LogRecords(Calls calls, TailLogsRequest request) {
        this.calls = calls;
        this.request = request;
    }

    @Override
    public ServerStream<LogRecord> open(CallOptions options) {
        return Resumable.stream(calls, AdminServiceGrpc.getTailLogsMethod(), options, request);
    }

    @Override
    public boolean accept(LogRecord entry) {
        LogCursor cursor = LogCursor.newBuilder()
                .setBootId(entry.getBootId())
                .setAfterNumber(entry.getNumber())
                .build();
        request = request.toBuilder().setCursor(cursor).build();
        return true;
    }

    @Override
    public boolean isLast(LogRecord entry) {
        return false;
    }

    @Override
    public boolean endsWithOk() {
        return request.getNoFollow();
    }

    /** Logs have no sign of life but the connection's own. */
    @Override
    public Duration silence() {
        return Outage.FOR_EVER;
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
        request = request.toBuilder().clearCursor().setLast(LAST_MAX).build();
        return new Refused(error, true);
    }
}
