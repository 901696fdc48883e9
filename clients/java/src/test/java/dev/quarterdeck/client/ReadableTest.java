package dev.quarterdeck.client;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.protobuf.Timestamp;
import dev.quarterdeck.v1.ScheduleOutcome;
import dev.quarterdeck.v1.TurnState;
import java.time.Duration;
import java.time.Instant;
import org.junit.jupiter.api.Test;

/** Values as Java and people have them. */
class ReadableTest {
    @Test
    void namesLoseWhatAllShare() {
        assertEquals("COMPLETED", Readable.name(TurnState.TURN_STATE_COMPLETED));
        assertEquals("WAITING_INPUT", Readable.name(TurnState.TURN_STATE_WAITING_INPUT));
        assertEquals("STARTED", Readable.name(ScheduleOutcome.SCHEDULE_OUTCOME_STARTED));
        assertEquals("UNRECOGNIZED", Readable.name(TurnState.UNRECOGNIZED));
    }

    @Test
    void timesAreThoseOfJava() {
        Instant time = Instant.parse("2026-11-30T09:00:00.5Z");
        Timestamp message = Timestamp.newBuilder()
                .setSeconds(time.getEpochSecond())
                .setNanos(500_000_000)
                .build();
        assertEquals(time, Readable.instant(message));
        assertEquals(
                Duration.ofMillis(1500),
                Readable.duration(com.google.protobuf.Duration.newBuilder()
                        .setSeconds(1)
                        .setNanos(500_000_000)
                        .build()));
    }
}
