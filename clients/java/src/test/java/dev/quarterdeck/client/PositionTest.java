package dev.quarterdeck.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.quarterdeck.v1.CaughtUp;
import dev.quarterdeck.v1.Cursor;
import dev.quarterdeck.v1.GatewayEvent;
import dev.quarterdeck.v1.GetSessionStateResponse;
import dev.quarterdeck.v1.Hello;
import dev.quarterdeck.v1.Progress;
import dev.quarterdeck.v1.Token;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** A reader comes back after the last durable event that it was given, and is given none twice. */
class PositionTest {
    @Test
    void aLiveReaderBeginsWhereHelloSays() {
        Position position = new Position(Optional.empty());
        position.accept(control().setHello(Hello.newBuilder().setHeadSeq(7)).build());
        assertEquals(Optional.of(cursor(7)), position.cursor());
    }

    @Test
    void aLaterHelloMovesNothing() {
        Position position = new Position(Optional.of(cursor(3)));
        position.accept(control().setHello(Hello.newBuilder().setHeadSeq(7)).build());
        assertEquals(Optional.of(cursor(3)), position.cursor());
    }

    @Test
    void durableEventsAreGivenOnce() {
        Position position = new Position(Optional.of(cursor(3)));
        assertFalse(position.accept(durable(3)));
        assertTrue(position.accept(durable(4)));
        assertFalse(position.accept(durable(4)));
        assertEquals(Optional.of(cursor(4)), position.cursor());
    }

    @Test
    void deltasMoveNothing() {
        Position position = new Position(Optional.of(cursor(3)));
        assertTrue(position.accept(
                control().setToken(Token.newBuilder().setDelta("word")).build()));
        assertEquals(Optional.of(cursor(3)), position.cursor());
    }

    @Test
    void aFilteredReaderComesBackWhereTheServerLooked() {
        Position position = new Position(Optional.of(cursor(3)));
        position.accept(control().setCaughtUp(CaughtUp.newBuilder().setSeq(5)).build());
        assertEquals(Optional.of(cursor(5)), position.cursor());
        position.accept(control().setProgress(Progress.newBuilder().setSeq(9)).build());
        assertEquals(Optional.of(cursor(9)), position.cursor());
        position.accept(control().setCaughtUp(CaughtUp.newBuilder().setSeq(2)).build());
        assertEquals(Optional.of(cursor(9)), position.cursor());
    }

    @Test
    void aSnapshotMovesBackToo() {
        Position position = new Position(Optional.of(cursor(30)));
        position.moveTo(
                GetSessionStateResponse.newBuilder().setLogId("other").setSeq(2).build());
        assertTrue(position.accept(durable(3)));
    }

    private static Cursor cursor(long afterSeq) {
        return Cursor.newBuilder().setLogId("log").setAfterSeq(afterSeq).build();
    }

    private static GatewayEvent durable(long seq) {
        return GatewayEvent.newBuilder().setLogId("log").setSeq(seq).build();
    }

    private static GatewayEvent.Builder control() {
        return GatewayEvent.newBuilder().setLogId("log").setAfterSeq(7);
    }
}
