package dev.quarterdeck.client;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.quarterdeck.v1.BlockKind;
import dev.quarterdeck.v1.GatewayEvent;
import dev.quarterdeck.v1.ItemSnapshot;
import dev.quarterdeck.v1.MessageBlock;
import dev.quarterdeck.v1.MessageCompleted;
import dev.quarterdeck.v1.Role;
import dev.quarterdeck.v1.Thinking;
import dev.quarterdeck.v1.Token;
import org.junit.jupiter.api.Test;

/** An answer's text is given once and whole, whatever the reader missed or saw twice. */
class TextAssemblerTest {
    private final TextAssembler assembler = new TextAssembler();
    private final StringBuilder text = new StringBuilder();

    @Test
    void tokensComeAsTheyAre() {
        see(token(0, 0, "one "), token(0, 4, "two"), completed("one two"));
        assertEquals("one two", text.toString());
    }

    @Test
    void tokensSeenTwiceAreGivenOnce() {
        see(token(0, 0, "one "), token(0, 4, "two"), token(0, 4, "two"), completed("one two"));
        assertEquals("one two", text.toString());
    }

    @Test
    void aSnapshotAfterACutBringsOnlyWhatIsNew() {
        see(token(0, 0, "one "), snapshot(BlockKind.BLOCK_KIND_TEXT, 0, "one two thr"), token(0, 11, "ee"));
        assertEquals("one two three", text.toString());
    }

    @Test
    void aSnapshotAfterLagBringsOnlyTheMissingBytes() {
        see(token(0, 0, "one "), snapshot(BlockKind.BLOCK_KIND_TEXT, 4, "two "), token(0, 8, "three"));
        assertEquals("one two three", text.toString());
    }

    @Test
    void whatFollowsAGapWaitsForTheWholeMessage() {
        see(token(0, 0, "one "), token(0, 8, "three"));
        assertEquals("one ", text.toString());
        see(completed("one two three"));
        assertEquals("one two three", text.toString());
    }

    @Test
    void offsetsCountBytesOfUtf8() {
        see(
                token(0, 0, "grün "),
                token(0, 6, "🦀"),
                snapshot(BlockKind.BLOCK_KIND_TEXT, 0, "grün 🦀 日"),
                token(0, 14, "本"));
        assertEquals("grün 🦀 日本", text.toString());
    }

    @Test
    void aCrashTakesBackNothingThatWasGiven() {
        see(token(0, 0, "one "), token(0, 4, "two"), completed("one "));
        assertEquals("one two", text.toString());
    }

    @Test
    void blocksOfOneMessageAreTrackedApart() {
        see(token(0, 0, "one "), token(2, 0, "two"));
        MessageCompleted message = MessageCompleted.newBuilder()
                .setRole(Role.ROLE_ASSISTANT)
                .addBlocks(block(0, "one "))
                .addBlocks(block(2, "two!"))
                .build();
        see(event("item").setMessageCompleted(message));
        assertEquals("one two!", text.toString());
    }

    @Test
    void thinkingToolsAndTheUserAreNoAnswer() {
        see(
                event("item").setThinking(Thinking.newBuilder().setDelta("hm")),
                snapshot(BlockKind.BLOCK_KIND_THINKING, 0, "hm"),
                snapshot(BlockKind.BLOCK_KIND_TOOL_RESULT, 0, "{}"),
                event("other")
                        .setMessageCompleted(MessageCompleted.newBuilder()
                                .setRole(Role.ROLE_USER)
                                .addBlocks(block(0, "question"))));
        assertEquals("", text.toString());
    }

    private void see(GatewayEvent.Builder... events) {
        for (GatewayEvent.Builder event : events) {
            text.append(assembler.add(event.build()));
        }
    }

    private static GatewayEvent.Builder event(String itemId) {
        return GatewayEvent.newBuilder().setItemId(itemId);
    }

    private static GatewayEvent.Builder token(int contentIndex, long offset, String delta) {
        return event("item")
                .setToken(Token.newBuilder()
                        .setContentIndex(contentIndex)
                        .setOffset(offset)
                        .setDelta(delta));
    }

    private static GatewayEvent.Builder snapshot(BlockKind block, long offset, String text) {
        return event("item")
                .setItemSnapshot(ItemSnapshot.newBuilder()
                        .setBlock(block)
                        .setRole(Role.ROLE_ASSISTANT)
                        .setOffset(offset)
                        .setText(text));
    }

    private static GatewayEvent.Builder completed(String text) {
        return event("item")
                .setMessageCompleted(MessageCompleted.newBuilder()
                        .setRole(Role.ROLE_ASSISTANT)
                        .setText(text)
                        .addBlocks(block(0, text)));
    }

    private static MessageBlock block(int contentIndex, String text) {
        return MessageBlock.newBuilder()
                .setContentIndex(contentIndex)
                .setText(text)
                .build();
    }
}
