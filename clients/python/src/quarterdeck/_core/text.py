"""Makes pieces of text of a turn's events: the assistant's text, each byte once and in order, over lost connections."""

from __future__ import annotations

from quarterdeck.v1.event_pb2 import GatewayEvent
from quarterdeck.v1.message_pb2 import BLOCK_KIND_TEXT, ROLE_ASSISTANT


class TextPieces:
    """Counts, for each open block, the bytes of UTF-8 that were given out. Thinking, tools and users don't count."""

    def __init__(self) -> None:
        self._given: dict[str, dict[int, int]] = {}

    def take(self, event: GatewayEvent) -> str:
        """The text that the event adds; empty for most events."""
        kind = event.WhichOneof("kind")
        if kind == "token":
            token = event.token
            return self._add(event.item_id, token.content_index, token.offset, token.delta)
        if kind == "item_snapshot" and event.item_snapshot.block == BLOCK_KIND_TEXT:
            block = event.item_snapshot
            if block.role == ROLE_ASSISTANT:
                return self._add(event.item_id, block.content_index, block.offset, block.text)
        if kind == "message_completed" and event.message_completed.role == ROLE_ASSISTANT:
            blocks = event.message_completed.blocks
            pieces = [self._add(event.item_id, each.content_index, 0, each.text) for each in blocks]
            self._given.pop(event.item_id, None)
            return "".join(pieces)
        return ""

    def _add(self, item_id: str, content_index: int, offset: int, text: str) -> str:
        """What of `text`, which stands at byte `offset` of its block, was not given out yet."""
        blocks = self._given.setdefault(item_id, {})
        given = blocks.get(content_index, 0)
        data = text.encode()
        if offset > given:
            # Something is missing before it. A snapshot, or at last the completed message, brings both.
            return ""
        new = data[given - offset :]
        blocks[content_index] = given + len(new)
        # A crash may give back the last second; then `new` could begin inside a character of a text that differs.
        return new.decode(errors="ignore")
