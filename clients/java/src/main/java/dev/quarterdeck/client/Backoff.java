package dev.quarterdeck.client;

import java.time.Duration;
import java.util.function.DoubleSupplier;

/** The pause before the next try. It doubles, with a random part so that many clients don't come back together. */
final class Backoff {
    static final Duration FIRST = Duration.ofMillis(100);
    static final Duration LONGEST = Duration.ofSeconds(5);

    private final DoubleSupplier random;
    private Duration due = FIRST;

    /** {@code random} gives numbers from 0 to 1. */
    Backoff(DoubleSupplier random) {
        this.random = random;
    }

    /** Half to all of the pause that is due. */
    Duration next() {
        Duration pause = Duration.ofNanos((long) (due.toNanos() * (1 + random.getAsDouble()) / 2));
        Duration doubled = due.multipliedBy(2);
        due = doubled.compareTo(LONGEST) > 0 ? LONGEST : doubled;
        return pause;
    }

    void reset() {
        due = FIRST;
    }
}
