package dev.quarterdeck.client;

import dev.quarterdeck.v1.GatewayEvent;
import dev.quarterdeck.v1.Turn;
import dev.quarterdeck.v1.TurnState;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.function.Function;

/**
 * The agent's answer to one prompt, piece by piece as it is written: what was given is never given again, over lost
 * connections and restarts of the server. The prompt is sent when this is made. One thread reads.
 *
 * <p>{@link #hasNext()} throws {@link TurnFailed} where the turn ends otherwise than COMPLETED, after all text that it
 * gave, and {@link CallException} where the call fails. Closing it early doesn't stop the turn; {@code abort} does.
 */
public final class ChatReply implements Iterator<String>, AutoCloseable {
    private final Subscription<GatewayEvent> events;
    /** Reads a turn whole. */
    private final Function<Turn, Turn> whole;

    private final TextAssembler assembler = new TextAssembler();
    private String next = "";
    private boolean gaveText;
    private Optional<Turn> turn = Optional.empty();

    ChatReply(Subscription<GatewayEvent> events, Function<Turn, Turn> whole) {
        this.events = events;
        this.whole = whole;
    }

    /** Waits for more text; false at the answer's end. */
    @Override
    public boolean hasNext() {
        while (next.isEmpty() && turn.isEmpty() && events.hasNext()) {
            GatewayEvent event = events.next();
            next = event.hasTurnEnded() ? ended(event.getTurnEnded().getTurn()) : assembler.add(event);
        }
        if (!next.isEmpty()) {
            gaveText = true;
            return true;
        }
        turn.filter(end -> end.getState() != TurnState.TURN_STATE_COMPLETED).ifPresent(end -> {
            throw new TurnFailed(end);
        });
        return false;
    }

    /** Waits for more text and gives it. */
    @Override
    public String next() {
        if (!hasNext()) {
            throw new NoSuchElementException("the answer has ended");
        }
        String piece = next;
        next = "";
        return piece;
    }

    /** Waits for the end and gives all text that was not read yet. */
    public String text() {
        StringBuilder text = new StringBuilder();
        forEachRemaining(text::append);
        return text.toString();
    }

    /** The turn, once the answer has ended. */
    public Optional<Turn> turn() {
        return turn;
    }

    /** Stops listening; the turn goes on. */
    @Override
    public void close() {
        events.close();
    }

    /** A turn of long ago may be told by its end alone: then its answer is what the turn has. */
    private String ended(Turn end) {
        turn = Optional.of(end);
        if (gaveText || end.getResponseText().isEmpty()) {
            return "";
        }
        return (end.getResponseTextTruncated() ? whole.apply(end) : end).getResponseText();
    }
}
