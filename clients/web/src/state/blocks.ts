// Blocks of a message. Their text is put together by the client package, which knows what deltas and snapshots mean.
import { type BlockText, EMPTY_BLOCK, utf8Length } from "@quarterdeck/client";

/** Kind of a block, as far as the transcript shows it. */
export type BlockKind = "text" | "thinking" | "tool_input";

/** One block of a message. */
export interface Block extends BlockText {
  readonly kind: BlockKind;
  /** Its place in the message. */
  readonly index: number;
  /** Name of the tool whose arguments these are; empty for other kinds. */
  readonly toolName: string;
  /** Call whose arguments these are; empty for other kinds. */
  readonly toolCallId: string;
}

/** A block with nothing in it. */
export function emptyBlock(kind: BlockKind, index: number): Block {
  return { ...EMPTY_BLOCK, kind, index, toolCallId: "", toolName: "" };
}

/** A block that is whole. */
export function wholeBlock(kind: BlockKind, index: number, text: string): Block {
  return { ...emptyBlock(kind, index), text, bytes: utf8Length(text) };
}
