package dev.quarterdeck.client;

/** What this library throws: {@link CallException} where a call failed, {@link TurnFailed} where a turn did. */
@SuppressWarnings("serial") // Nobody stores these.
public abstract class QuarterdeckException extends RuntimeException {
    QuarterdeckException(String message, Throwable cause) {
        super(message, cause);
    }

    /** Stable name of why, in UPPER_SNAKE_CASE; empty where nobody gave one. */
    public abstract String reason();
}
