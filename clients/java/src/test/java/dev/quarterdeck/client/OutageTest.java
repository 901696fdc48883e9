package dev.quarterdeck.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** Tries again ever more slowly, as the server asks, and no longer than patience lasts. */
class OutageTest {
    private static final Duration PATIENCE = Duration.ofSeconds(30);

    @Test
    void pausesGrowToTheirBound() {
        Backoff longest = new Backoff(() -> 1);
        assertEquals(Duration.ofMillis(100), longest.next());
        assertEquals(Duration.ofMillis(200), longest.next());
        for (int times = 0; times < 20; times++) {
            longest.next();
        }
        assertEquals(Backoff.LONGEST, longest.next());
    }

    @Test
    void pausesAreHalfToAllOfWhatIsDue() {
        assertEquals(Duration.ofMillis(50), new Backoff(() -> 0).next());
        assertEquals(Duration.ofMillis(75), new Backoff(() -> 0.5).next());
    }

    @Test
    void patienceCountsFromTheFirstFailure() {
        Outage outage = outage();
        assertTrue(outage.pause(seconds(100), PATIENCE, Optional.empty()).isPresent());
        assertTrue(outage.pause(seconds(129), PATIENCE, Optional.empty()).isPresent());
        assertTrue(outage.pause(seconds(130), PATIENCE, Optional.empty()).isEmpty());
    }

    @Test
    void whatWorkedInBetweenBeginsAnew() {
        Outage outage = outage();
        outage.pause(seconds(100), PATIENCE, Optional.empty());
        outage.over();
        Optional<Duration> pause = outage.pause(seconds(200), PATIENCE, Optional.empty());
        assertEquals(Optional.of(Backoff.FIRST), pause);
    }

    @Test
    void theServersWordCounts() {
        Duration asked = Duration.ofSeconds(4);
        assertEquals(Optional.of(asked), outage().pause(0, PATIENCE, Optional.of(asked)));
        assertEquals(Optional.of(Backoff.FIRST), outage().pause(0, PATIENCE, Optional.of(Duration.ZERO)));
        assertTrue(
                outage().pause(0, PATIENCE, Optional.of(Duration.ofSeconds(31))).isEmpty());
    }

    private static Outage outage() {
        return new Outage(new Backoff(() -> 1));
    }

    private static long seconds(long seconds) {
        return Duration.ofSeconds(seconds).toNanos();
    }
}
