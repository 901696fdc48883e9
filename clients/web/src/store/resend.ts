// Asking once more: a turn's prompt, as it was or changed, in a copy of the conversation before it. The session itself stays.
import type { SessionSnapshot, Turn } from "@quarterdeck/client";
import { turnBefore } from "../state/turns";
import { client } from "./account";
import { goSession } from "./place";

/** Turns of a page. */
const PAGE = 200;
/** Pages that are looked through for the turn before. */
const PAGES_MAX = 50;

/** A key for the copy. */
export function copyKey(sessionKey: string, what: string): string {
  return `${sessionKey.slice(0, 110)}-${what}-${Date.now().toString(36).slice(-5)}`;
}

/** The prompt of a turn, whole. */
export async function promptOf(turn: Turn): Promise<Turn> {
  const { turn: whole } = await client().getTurn({ sessionKey: turn.sessionKey, turnId: turn.turnId });
  if (!whole) throw new Error("The server told no turn.");
  return whole;
}

/** Sends a text in place of a turn's, in a copy of what was said before it, and goes there. Throws where it was refused. */
export async function resend(session: SessionSnapshot, turn: Turn, text: string, newSessionKey: string): Promise<void> {
  const { sessionKey } = turn;
  // All that can fail by itself comes before anything is made.
  const attachments = await Promise.all(
    turn.attachments.map(async ({ attachmentId, name, mediaType }) => {
      const { attachment } = await client().getAttachment({ sessionKey, attachmentId });
      return { name, mediaType, data: new Uint8Array(attachment?.data ?? []) };
    }),
  );
  const before = await findBefore(turn);
  if (before) await client().forkSession({ sessionKey, newSessionKey, turnId: before.turnId });
  else await beginLike(session, newSessionKey);
  await client().enqueue({ sessionKey: newSessionKey, text, attachments, source: "console" });
  goSession(newSessionKey);
}

async function findBefore(turn: Turn): Promise<Turn | undefined> {
  const { sessionKey } = turn;
  let pageToken = "";
  let passed = false;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const { turns, nextPageToken } = await client().listTurns({ sessionKey, pageSize: PAGE, pageToken });
    passed ||= turns.some(({ turnId }) => turnId === turn.turnId);
    const found = passed ? turnBefore(turn, turns) : undefined;
    if (found || nextPageToken === "") return found;
    pageToken = nextPageToken;
  }
  throw new Error("The conversation is too long to find what was said before this.");
}

/** A fresh session with the settings of another one: nothing was said before the first turn that a fork could copy. */
async function beginLike(session: SessionSnapshot, sessionKey: string): Promise<void> {
  const { agent, model, thinkingLevel, labels, cwd, memoryNamespaces, noApprover, questionTtl, toolPolicy } = session;
  await client().createSession({
    sessionKey,
    agent,
    model,
    thinkingLevel,
    labels,
    cwd,
    memoryNamespaces,
    noApprover,
    toolPolicy,
    ...(questionTtl ? { questionTtl } : {}),
  });
}
