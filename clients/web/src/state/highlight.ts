// Pieces of a text that a search matched; the contract counts bytes of UTF-8.
import type { TextRange } from "@quarterdeck/client";

/** A piece of text, and whether it matched. */
export interface Piece {
  readonly text: string;
  readonly match: boolean;
}

/** Cuts `text` at its matches. Ranges that make no sense are left out. */
export function pieces(text: string, matches: readonly Pick<TextRange, "start" | "end">[]): Piece[] {
  const bytes = new TextEncoder().encode(text);
  const decoder = new TextDecoder();
  const found: Piece[] = [];
  let at = 0;
  for (const { start, end } of matches) {
    if (start < at || end <= start || end > bytes.length) continue;
    if (start > at) found.push({ text: decoder.decode(bytes.subarray(at, start)), match: false });
    found.push({ text: decoder.decode(bytes.subarray(start, end)), match: true });
    at = end;
  }
  if (at < bytes.length) found.push({ text: decoder.decode(bytes.subarray(at)), match: false });
  return found;
}
