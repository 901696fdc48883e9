package dev.quarterdeck.client;

import com.google.protobuf.Timestamp;
import java.time.Duration;
import java.time.Instant;

/** Values of messages as Java and people have them. */
public final class Readable {
    private Readable() {}

    /**
     * The name of an enum's value without the prefix that all values of the enum share: {@code COMPLETED} for
     * {@code TURN_STATE_COMPLETED}. That of a value which is newer than this package is {@code UNRECOGNIZED}.
     */
    public static String name(Enum<?> value) {
        String first = value.getDeclaringClass().getEnumConstants()[0].name();
        String prefix = first.substring(0, first.length() - "UNSPECIFIED".length());
        return first.endsWith("_UNSPECIFIED") && value.name().startsWith(prefix)
                ? value.name().substring(prefix.length())
                : value.name();
    }

    /** A time. */
    public static Instant instant(Timestamp time) {
        return Instant.ofEpochSecond(time.getSeconds(), time.getNanos());
    }

    /** A length of time. */
    public static Duration duration(com.google.protobuf.Duration length) {
        return Durations.of(length);
    }
}
