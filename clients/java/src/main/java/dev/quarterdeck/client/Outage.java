package dev.quarterdeck.client;

import java.time.Duration;
import java.util.Optional;

/** How long and how often something is tried again: pure, told the time. Begins with the first failure in a row. */
final class Outage {
    /** Patience that never ends. */
    static final Duration FOR_EVER = Duration.ofNanos(Long.MAX_VALUE);

    private final Backoff backoff;
    private boolean failing;
    private long since;

    Outage(Backoff backoff) {
        this.backoff = backoff;
    }

    /** It works. */
    void over() {
        failing = false;
        backoff.reset();
    }

    /** It failed: how long to wait before the next try; empty where that would be past all patience. */
    Optional<Duration> pause(long nowNanos, Duration patience, Optional<Duration> retryAfter) {
        if (!failing) {
            failing = true;
            since = nowNanos;
        }
        Duration pause = backoff.next();
        if (retryAfter.isPresent() && retryAfter.get().compareTo(pause) > 0) {
            pause = retryAfter.get();
        }
        Duration lasting = Duration.ofNanos(nowNanos - since);
        return lasting.plus(pause).compareTo(patience) > 0 ? Optional.empty() : Optional.of(pause);
    }
}
