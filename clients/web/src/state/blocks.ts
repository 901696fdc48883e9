// Text of an open block, put together from deltas that count bytes of UTF-8.

/** Kind of a block, as far as the transcript shows it. */
export type BlockKind = "text" | "thinking" | "tool_input";

/** One block of a message. */
export interface Block {
  readonly kind: BlockKind;
  /** Its place in the message. */
  readonly index: number;
  readonly text: string;
  /** Length of `text` in bytes of UTF-8, because offsets on the wire count those. */
  readonly bytes: number;
  /** Name of the tool whose arguments these are; empty for other kinds. */
  readonly toolName: string;
  /** Call whose arguments these are; empty for other kinds. */
  readonly toolCallId: string;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Length in bytes of UTF-8. */
export function utf8Length(text: string): number {
  return encoder.encode(text).length;
}

/** Keeps the first `offset` bytes of `block`, then appends `text`: what a delta and a snapshot both mean. */
export function extend(block: Block, offset: number, text: string): Block {
  if (offset === block.bytes) {
    return { ...block, text: block.text + text, bytes: block.bytes + utf8Length(text) };
  }
  const kept = decoder.decode(encoder.encode(block.text).subarray(0, offset));
  return { ...block, text: kept + text, bytes: Math.min(offset, block.bytes) + utf8Length(text) };
}

/** A block with nothing in it. */
export function emptyBlock(kind: BlockKind, index: number, toolCallId = "", toolName = ""): Block {
  return { kind, index, text: "", bytes: 0, toolCallId, toolName };
}

/** A block that is whole. */
export function wholeBlock(kind: BlockKind, index: number, text: string): Block {
  return { ...emptyBlock(kind, index), text, bytes: utf8Length(text) };
}
