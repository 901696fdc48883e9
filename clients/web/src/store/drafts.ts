// What a person has written and not sent, by session. The texts outlive the page, in the tab's own storage; files do not.
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

/** Where the texts are kept. */
const STORED = "quarterdeck.drafts";
/** Characters of all kept texts together; beyond, the longest are not kept. */
const STORED_MAX = 1_000_000;

const drafts = signal<ReadonlyMap<string, Draft>>(stored());

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
  store(next);
}

/** Forgets all, as at signing out. */
export function forgetDrafts(): void {
  drafts.value = new Map();
  store(drafts.value);
}

function stored(): ReadonlyMap<string, Draft> {
  try {
    const kept: unknown = JSON.parse(sessionStorage.getItem(STORED) ?? "[]");
    if (!Array.isArray(kept)) return new Map();
    const texts = kept.filter((each): each is [string, string] => Array.isArray(each) && each.every((part) => typeof part === "string"));
    return new Map(texts.map(([key, text]) => [key, { text, files: [] }]));
  } catch {
    // Storage that is switched off, or holds something else: the page works without.
    return new Map();
  }
}

function store(all: ReadonlyMap<string, Draft>): void {
  let left = STORED_MAX;
  const texts = [...all]
    .map(([key, { text }]) => [key, text] as const)
    .filter(([, text]) => text !== "")
    .sort(([, a], [, b]) => a.length - b.length)
    .filter(([, text]) => (left -= text.length) >= 0);
  try {
    if (texts.length === 0) sessionStorage.removeItem(STORED);
    else sessionStorage.setItem(STORED, JSON.stringify(texts));
  } catch {
    // Full, or switched off.
  }
}

let writesNext = "";

/** The person is going to write in that session once it is shown: it was made just now. */
export function willWrite(sessionKey: string): void {
  writesNext = sessionKey;
}

/** Whether the person is going to write in that session; asked once. */
export function takeWritesNext(sessionKey: string): boolean {
  const writes = writesNext === sessionKey;
  writesNext = "";
  return writes;
}

/** Reads a chosen, pasted or dropped file. */
export async function readFile(file: File): Promise<DraftFile> {
  const name = file.name === "" ? "pasted" : file.name;
  const mediaType = file.type === "" ? "application/octet-stream" : file.type;
  return { name, mediaType, data: new Uint8Array(await file.arrayBuffer()) };
}
