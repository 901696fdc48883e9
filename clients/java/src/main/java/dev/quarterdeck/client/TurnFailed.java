package dev.quarterdeck.client;

import dev.quarterdeck.v1.Turn;
import dev.quarterdeck.v1.TurnState;

/** A turn reached an end other than COMPLETED. Its call worked: the agent failed, or somebody stopped it. */
@SuppressWarnings("serial") // Nobody stores these.
public final class TurnFailed extends QuarterdeckException {
    private final transient Turn turn;

    TurnFailed(Turn turn) {
        super(describe(turn), null);
        this.turn = turn;
    }

    /** How the turn ended. */
    public TurnState state() {
        return turn.getState();
    }

    /** Why, such as {@code AGENT_ERROR}, {@code ABORTED} or {@code QUEUE_TTL}. */
    @Override
    public String reason() {
        return turn.getError().getReason();
    }

    /** The whole turn. Its {@code response_text} is what is kept of the answer. */
    public Turn turn() {
        return turn;
    }

    private static String describe(Turn turn) {
        return "turn " + turn.getTurnId() + " ended " + Readable.name(turn.getState()) + ": "
                + turn.getError().getReason() + ": " + turn.getError().getMessage();
    }
}
