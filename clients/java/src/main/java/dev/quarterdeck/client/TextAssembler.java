package dev.quarterdeck.client;

import dev.quarterdeck.v1.BlockKind;
import dev.quarterdeck.v1.GatewayEvent;
import dev.quarterdeck.v1.ItemSnapshot;
import dev.quarterdeck.v1.MessageBlock;
import dev.quarterdeck.v1.MessageCompleted;
import dev.quarterdeck.v1.Role;
import dev.quarterdeck.v1.Token;
import java.util.HashMap;
import java.util.Map;

/**
 * Makes the text of a turn's answer from its events, never repeating and never losing any: pure.
 *
 * <p>Of each open block it knows how many bytes of UTF-8 were given out. A piece that begins before that is cut, one that
 * begins after it is left to the snapshot or the completed message, which bring all that is missing.
 */
final class TextAssembler {
    private record Block(String itemId, int contentIndex) {}

    /** Bytes given out of each block of the open messages. */
    private final Map<Block, Long> given = new HashMap<>();

    /** The text that this event adds; empty where it adds none. */
    String add(GatewayEvent event) {
        return switch (event.getKindCase()) {
            case TOKEN -> token(event.getItemId(), event.getToken());
            case ITEM_SNAPSHOT -> snapshot(event.getItemId(), event.getItemSnapshot());
            case MESSAGE_COMPLETED -> completed(event.getItemId(), event.getMessageCompleted());
            default -> "";
        };
    }

    private String token(String itemId, Token token) {
        return piece(new Block(itemId, token.getContentIndex()), token.getOffset(), token.getDelta());
    }

    private String snapshot(String itemId, ItemSnapshot snapshot) {
        boolean answer = snapshot.getBlock() == BlockKind.BLOCK_KIND_TEXT && snapshot.getRole() == Role.ROLE_ASSISTANT;
        return answer
                ? piece(new Block(itemId, snapshot.getContentIndex()), snapshot.getOffset(), snapshot.getText())
                : "";
    }

    private String completed(String itemId, MessageCompleted message) {
        if (message.getRole() != Role.ROLE_ASSISTANT) {
            return "";
        }
        StringBuilder missing = new StringBuilder();
        for (MessageBlock block : message.getBlocksList()) {
            missing.append(piece(new Block(itemId, block.getContentIndex()), 0, block.getText()));
        }
        given.keySet().removeIf(block -> block.itemId().equals(itemId));
        return missing.toString();
    }

    /** What is new in a piece of a block that begins at that byte. */
    private String piece(Block block, long offset, String text) {
        long known = given.getOrDefault(block, 0L);
        if (offset > known) {
            return "";
        }
        int begin = charsOf(text, known - offset);
        String fresh = text.substring(begin);
        given.put(block, Math.max(known, offset + utf8Length(text)));
        return fresh;
    }

    /** How many chars hold the first bytes of UTF-8; never splits a character. */
    static int charsOf(String text, long bytes) {
        int at = 0;
        long seen = 0;
        while (at < text.length() && seen < bytes) {
            int character = text.codePointAt(at);
            seen += utf8Length(character);
            at += Character.charCount(character);
        }
        return at;
    }

    static long utf8Length(String text) {
        return text.codePoints().mapToLong(TextAssembler::utf8Length).sum();
    }

    private static int utf8Length(int character) {
        if (character < 0x80) {
            return 1;
        } else if (character < 0x800) {
            return 2;
        }
        return character < 0x10000 ? 3 : 4;
    }
}
