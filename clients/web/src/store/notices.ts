// What the console tells: short notices that go by themselves, and a line for screen readers.
import { signal } from "@preact/signals";
import { errors } from "@quarterdeck/client";
import { explain } from "../api";

/** A notice on the screen. */
export interface Notice {
  readonly id: number;
  readonly tone: "good" | "bad";
  readonly text: string;
}

/** Notices at once; older ones go. */
const NOTICES_MAX = 4;
/** How long a notice stays, in milliseconds. */
const GOOD_MS = 3500;
const BAD_MS = 9000;

let last = 0;

/** Notices on the screen, oldest first. */
export const notices = signal<readonly Notice[]>([]);
/** What a screen reader says next. */
export const announcement = signal("");

/** Says something to screen readers alone. */
export function announce(text: string): void {
  announcement.value = text;
}

/** Tells that something went well. */
export function tell(text: string): void {
  add("good", text);
}

/** Tells that something failed. An aborted call is what somebody wanted, and says nothing. */
export function complain(error: unknown, what = ""): void {
  if (error instanceof errors.Cancelled) return;
  add("bad", what === "" ? explain(error) : `${what}: ${explain(error)}`);
}

/** Takes a notice away. */
export function dismiss(id: number): void {
  notices.value = notices.value.filter((notice) => notice.id !== id);
}

function add(tone: Notice["tone"], text: string): void {
  last += 1;
  const notice = { id: last, tone, text };
  notices.value = [...notices.value, notice].slice(-NOTICES_MAX);
  setTimeout(() => dismiss(notice.id), tone === "good" ? GOOD_MS : BAD_MS);
}
