"""Text of a chat: each byte once and in order, whatever was cut."""

from __future__ import annotations

import random

import pytest

from quarterdeck._core.text import TextPieces
from quarterdeck.v1.event_pb2 import GatewayEvent, ItemSnapshot, MessageBlock, MessageCompleted, Thinking, Token
from quarterdeck.v1.message_pb2 import (
    BLOCK_KIND_TEXT,
    BLOCK_KIND_THINKING,
    ROLE_ASSISTANT,
    ROLE_USER,
    BlockKind,
    Role,
)

TEXT = "eins zwei drei grüße 世界 und 🦀 mehr"


def token(delta: str, offset: int, index: int = 0, item: str = "i") -> GatewayEvent:
    return GatewayEvent(item_id=item, token=Token(delta=delta, content_index=index, offset=offset))


def snapshot(
    text: str, offset: int = 0, block: BlockKind = BLOCK_KIND_TEXT, role: Role = ROLE_ASSISTANT
) -> GatewayEvent:
    held = ItemSnapshot(block=block, role=role, content_index=0, offset=offset, text=text)
    return GatewayEvent(item_id="i", item_snapshot=held)


def completed(*blocks: str, item: str = "i", role: Role = ROLE_ASSISTANT) -> GatewayEvent:
    whole = [MessageBlock(content_index=index, text=text) for index, text in enumerate(blocks)]
    message = MessageCompleted(role=role, text="".join(blocks), blocks=whole)
    return GatewayEvent(item_id=item, message_completed=message)


def joined(*events: GatewayEvent) -> str:
    pieces = TextPieces()
    return "".join(pieces.take(event) for event in events)


def test_tokens_are_pieces_and_the_completed_message_adds_nothing() -> None:
    assert joined(token("grüße ", 0), token("welt", 8), completed("grüße welt")) == "grüße welt"


def test_without_deltas_the_completed_message_is_the_piece() -> None:
    assert joined(completed("one ", "two")) == "one two"


def test_a_snapshot_repeats_nothing() -> None:
    assert joined(token("grü", 0), snapshot("grüße wel"), token("t", 11), completed("grüße welt")) == "grüße welt"


def test_a_snapshot_after_lag_brings_what_is_missing() -> None:
    assert joined(token("one ", 0), snapshot("two ", 4), completed("one two three")) == "one two three"


def test_a_gap_waits_for_what_fills_it() -> None:
    assert joined(token("one ", 0), token("three", 8), completed("one two three")) == "one two three"


def test_only_the_assistants_text_counts() -> None:
    assert (
        joined(
            GatewayEvent(item_id="i", thinking=Thinking(delta="hm", content_index=0)),
            snapshot("hm", block=BLOCK_KIND_THINKING),
            snapshot("prompt", role=ROLE_USER),
            completed("prompt", role=ROLE_USER, item="u"),
            token("answer", 0, index=1),
        )
        == "answer"
    )


def test_blocks_and_items_are_counted_apart() -> None:
    assert joined(token("a", 0), token("b", 0, index=1), completed("a", "b"), token("c", 0, item="j")) == "abc"


def test_text_that_a_crash_shortened_gives_nothing_more() -> None:
    assert joined(token("grüße welt", 0), completed("grü")) == "grüße welt"


def test_nothing_is_kept_of_completed_messages() -> None:
    pieces = TextPieces()
    for number in range(100):
        pieces.take(token("x", 0, item=str(number)))
        pieces.take(completed("x", item=str(number)))
    assert not pieces._given


@pytest.mark.parametrize("seed", range(200))
def test_any_cuts_give_the_text(seed: int) -> None:
    """A reader that misses any stretch and comes back with a snapshot, at any time, has the same text."""
    chance = random.Random(seed)
    events = []
    sent = ""
    away = False
    for character in TEXT:
        if chance.random() < 0.2:
            away = not away
            if not away:
                events.append(snapshot(sent))
        if not away:
            events.append(token(character, len(sent.encode())))
        sent += character
    assert joined(*events, completed(TEXT)) == TEXT
