package dev.quarterdeck.client;

import dev.quarterdeck.v1.Turn;

/** Where turns stand. */
final class Turns {
    private Turns() {}

    /** True where the state never changes again. A state that this version doesn't know is taken for one that does. */
    static boolean isTerminal(Turn turn) {
        return switch (turn.getState()) {
            case TURN_STATE_COMPLETED,
                    TURN_STATE_FAILED,
                    TURN_STATE_CANCELED,
                    TURN_STATE_INTERRUPTED,
                    TURN_STATE_REJECTED,
                    TURN_STATE_EXPIRED -> true;
            case TURN_STATE_UNSPECIFIED,
                    TURN_STATE_QUEUED,
                    TURN_STATE_SCHEDULED,
                    TURN_STATE_RUNNING,
                    TURN_STATE_WAITING_INPUT,
                    TURN_STATE_CANCELING,
                    UNRECOGNIZED -> false;
        };
    }
}
