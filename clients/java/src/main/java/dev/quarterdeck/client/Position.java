package dev.quarterdeck.client;

import dev.quarterdeck.v1.Cursor;
import dev.quarterdeck.v1.GatewayEvent;
import dev.quarterdeck.v1.GetSessionStateResponse;
import java.util.Optional;

/** Where a reader is in one session's log: the last durable event that it was given, or the end of what was looked at. */
final class Position {
    private Optional<Cursor> cursor;

    Position(Optional<Cursor> cursor) {
        this.cursor = cursor;
    }

    /** Empty while the server has not said where the reader began. */
    Optional<Cursor> cursor() {
        return cursor;
    }

    /** Goes on after a snapshot. */
    void moveTo(GetSessionStateResponse state) {
        moveTo(state.getLogId(), state.getSeq());
    }

    /** Moves on with an event; false where the reader was given it before. */
    boolean accept(GatewayEvent event) {
        long known = cursor.map(Cursor::getAfterSeq).orElse(-1L);
        if (event.getSeq() > 0) {
            if (event.getSeq() <= known) {
                return false;
            }
            moveTo(event.getLogId(), event.getSeq());
            return true;
        }
        long looked = switch (event.getKindCase()) {
            case HELLO -> cursor.isEmpty() ? event.getAfterSeq() : known;
            case CAUGHT_UP -> event.getCaughtUp().getSeq();
            case PROGRESS -> event.getProgress().getSeq();
            default -> known;
        };
        if (looked > known) {
            moveTo(event.getLogId(), looked);
        }
        return true;
    }

    private void moveTo(String logId, long seq) {
        cursor =
                Optional.of(Cursor.newBuilder().setLogId(logId).setAfterSeq(seq).build());
    }
}
