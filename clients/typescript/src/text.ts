/**
 * Text as it is streamed. All pure: no call, no clock.
 *
 * Offsets count bytes of UTF-8, JavaScript's strings don't. A delta says where in its block it begins, so that a part that
 * came before is seen; a snapshot is the block from a place on; `message_completed` has the whole text and is right
 * whatever came before it.
 */
import type { GatewayEvent, ItemSnapshot } from "./gen/quarterdeck/v1/event_pb.js";
import { BlockKind, Role } from "./gen/quarterdeck/v1/message_pb.js";

/** A block of a message as far as it is known. */
export interface BlockText {
  /** The text. */
  readonly text: string;
  /** Its length in bytes of UTF-8. */
  readonly bytes: number;
}

/** A block of which nothing is known yet. */
export const EMPTY_BLOCK: BlockText = { text: "", bytes: 0 };

/** Length in bytes of UTF-8. */
export function utf8Length(text: string): number {
  let bytes = 0;
  for (const character of text) {
    bytes += utf8Size(character);
  }
  return bytes;
}

/** The part of a text before a place that is given in bytes of UTF-8. */
export function headToByte(text: string, byte: number): string {
  return text.slice(0, indexOfByte(text, byte));
}

/** The part of a text from a place on that is given in bytes of UTF-8; empty where the text ends before it. */
export function tailFromByte(text: string, byte: number): string {
  return text.slice(indexOfByte(text, byte));
}

/**
 * The block after a `token`, `thinking` or `tool_input`. What was there already is not added again. Where bytes before it
 * are missing the block stays as it is: a snapshot or the completed message brings them.
 */
export function applyDelta(block: BlockText, delta: { delta: string; offset: bigint }): BlockText {
  const offset = Number(delta.offset);
  if (offset > block.bytes) {
    return block;
  }
  const added = tailFromByte(delta.delta, block.bytes - offset);
  return { text: block.text + added, bytes: block.bytes + utf8Length(added) };
}

/** The block after an `item_snapshot`: its first `offset` bytes, then the snapshot's text. */
export function applySnapshot(block: BlockText, snapshot: { text: string; offset: bigint }): BlockText {
  const text = headToByte(block.text, Number(snapshot.offset)) + snapshot.text;
  return { text, bytes: utf8Length(text) };
}

/**
 * The answer of a turn as pieces to print one after the other: the assistant's text blocks, not its thinking. Pieces never
 * repeat and never leave anything out, whatever was cut and sent again. Of each open message it keeps a number a block.
 */
export class TextPieces {
  /** Bytes given out, by item and block. */
  readonly #given = new Map<string, Map<number, number>>();

  /** The text that an event adds; empty for most. */
  add(event: GatewayEvent): string {
    const { kind, itemId } = event;
    switch (kind.case) {
      case "token":
        return this.#give(itemId, kind.value.contentIndex, Number(kind.value.offset), kind.value.delta);
      case "itemSnapshot":
        return isAnswer(kind.value)
          ? this.#give(itemId, kind.value.contentIndex, Number(kind.value.offset), kind.value.text)
          : "";
      case "messageCompleted": {
        const { role, text, blocks } = kind.value;
        const rest = blocks.map((block) => this.#give(itemId, block.contentIndex, 0, block.text)).join("");
        // Without blocks the text is one.
        const whole = blocks.length === 0 ? this.#give(itemId, 0, 0, text) : "";
        this.#given.delete(itemId);
        return role === Role.ASSISTANT ? rest + whole : "";
      }
      default:
        return "";
    }
  }

  /** What of a piece that begins at a byte of its block is new. */
  #give(itemId: string, contentIndex: number, offset: number, text: string): string {
    const item = this.#given.get(itemId) ?? new Map<number, number>();
    const given = item.get(contentIndex) ?? 0;
    // Bytes before it are missing: they come with a snapshot or with the completed message.
    const fresh = offset > given ? "" : tailFromByte(text, given - offset);
    item.set(contentIndex, given + utf8Length(fresh));
    this.#given.set(itemId, item);
    return fresh;
  }
}

function isAnswer(snapshot: ItemSnapshot): boolean {
  return snapshot.block === BlockKind.TEXT && snapshot.role === Role.ASSISTANT;
}

/** Index into a string of a place that is given in bytes of UTF-8. Inside a character it is the place after it. */
function indexOfByte(text: string, byte: number): number {
  let bytes = 0;
  let index = 0;
  for (const character of text) {
    if (bytes >= byte) {
      break;
    }
    bytes += utf8Size(character);
    index += character.length;
  }
  return index;
}

/** Bytes of UTF-8 of one code point. A lone half of a pair becomes U+FFFD, which has three. */
function utf8Size(character: string): number {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x80) {
    return 1;
  }
  if (code < 0x800) {
    return 2;
  }
  return code < 0x1_0000 ? 3 : 4;
}
