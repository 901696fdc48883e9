// What a person has written and not sent, by session.
import { signal } from "@preact/signals";

/** A file that goes with a message. */
export interface DraftFile {
  readonly name: string;
  readonly mediaType: string;
  readonly data: Uint8Array<ArrayBuffer>;
}

/** A message that is not sent yet. */
export interface Draft {
  readonly text: string;
  readonly files: readonly DraftFile[];
}

const EMPTY: Draft = { text: "", files: [] };

const drafts = signal<ReadonlyMap<string, Draft>>(new Map());

/** The draft of a session. */
export function draftOf(sessionKey: string): Draft {
  return drafts.value.get(sessionKey) ?? EMPTY;
}

/** Keeps a draft. */
export function setDraft(sessionKey: string, draft: Draft): void {
  const next = new Map(drafts.value);
  if (draft.text === "" && draft.files.length === 0) next.delete(sessionKey);
  else next.set(sessionKey, draft);
  drafts.value = next;
}

/** Reads a chosen, pasted or dropped file. */
export async function readFile(file: File): Promise<DraftFile> {
  const name = file.name === "" ? "pasted" : file.name;
  const mediaType = file.type === "" ? "application/octet-stream" : file.type;
  return { name, mediaType, data: new Uint8Array(await file.arrayBuffer()) };
}
