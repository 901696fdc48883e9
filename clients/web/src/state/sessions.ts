// The list of sessions: what WatchSessions and the watch of SubscribeMany report.
import { type SessionSnapshot, SessionState } from "@quarterdeck/client";

/** All sessions that the caller may see, and which of them have something new. */
export interface SessionList {
  readonly sessions: ReadonlyMap<string, SessionSnapshot>;
  /** Messages of each session that were there when it was last looked at, as `generation:count`. */
  readonly seen: ReadonlyMap<string, string>;
  /** Keys that a list under way has named; unset once it is complete. */
  readonly arriving: ReadonlySet<string> | undefined;
  /** True once a whole list was there. */
  readonly complete: boolean;
}

/** Before anything was reported. */
export const NO_SESSIONS: SessionList = {
  sessions: new Map(),
  seen: new Map(),
  arriving: new Set(),
  complete: false,
};

/** A new list is to come: what it doesn't name is gone. */
export function beginList(list: SessionList): SessionList {
  return { ...list, arriving: new Set() };
}

/** The list is complete; the event has an empty key, and comes again as a heartbeat. */
export function endList(list: SessionList): SessionList {
  const { arriving } = list;
  if (!arriving) return list;
  const sessions = new Map([...list.sessions].filter(([key]) => arriving.has(key)));
  return { ...list, sessions, arriving: undefined, complete: true };
}

/** The list after reports of sessions. */
export function applyReports(list: SessionList, reports: readonly SessionSnapshot[]): SessionList {
  const sessions = new Map(list.sessions);
  const seen = new Map(list.seen);
  const arriving = list.arriving ? new Set(list.arriving) : undefined;
  for (const session of reports) {
    const key = session.sessionKey;
    if (session.state === SessionState.DELETED) {
      sessions.delete(key);
      seen.delete(key);
      arriving?.delete(key);
      continue;
    }
    arriving?.add(key);
    const known = sessions.get(key);
    if (known?.logId === session.logId && known.headSeq > session.headSeq) continue;
    sessions.set(key, session);
    // What was there before this page looked is not news.
    if (!seen.has(key)) seen.set(key, list.complete ? "" : contentOf(session));
  }
  return { ...list, sessions, seen, arriving };
}

/** The list after a person looked at a session. */
export function markSeen(list: SessionList, key: string): SessionList {
  const session = list.sessions.get(key);
  if (!session || list.seen.get(key) === contentOf(session)) return list;
  return { ...list, seen: new Map(list.seen).set(key, contentOf(session)) };
}

/** True where a session has messages that nobody has looked at. */
export function isUnread(list: SessionList, session: SessionSnapshot): boolean {
  return session.messageCount > 0n && list.seen.get(session.sessionKey) !== contentOf(session);
}

/** Which sessions to show: those that hold every word, the busy ones first, then the newest active. */
export function chooseSessions(list: SessionList, search: string, filter: SessionFilter): SessionSnapshot[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  return [...list.sessions.values()]
    .filter((session) => matches(session, words) && passes(list, session, filter))
    .sort((a, b) => lastActive(b) - lastActive(a) || (a.sessionKey < b.sessionKey ? -1 : 1));
}

/** What part of the list to show. */
export type SessionFilter = "all" | "busy" | "unread";

/** True while a turn runs or waits. */
export function isBusy(session: SessionSnapshot): boolean {
  return session.state !== SessionState.IDLE || session.queueDepth > 0;
}

/** Questions that wait for an answer, of all sessions. */
export function pendingQuestions(list: SessionList): number {
  return [...list.sessions.values()].reduce((sum, session) => sum + session.pendingQuestions, 0);
}

/** State of a session in a word. */
export function stateName(state: SessionState): string {
  switch (state) {
    case SessionState.IDLE:
      return "idle";
    case SessionState.WAITING_INPUT:
      return "waiting for input";
    case SessionState.CANCELING:
      return "stopping";
    case SessionState.RESETTING:
      return "resetting";
    case SessionState.DELETING:
      return "deleting";
    case SessionState.DELETED:
      return "deleted";
    // The contract says: treat an unknown state as RUNNING.
    default:
      return "running";
  }
}

/** Milliseconds since 1970 at which a session was last active. */
export function lastActive(session: SessionSnapshot): number {
  const time = session.lastActiveTime ?? session.createTime;
  return time ? Number(time.seconds) * 1000 + time.nanos / 1e6 : 0;
}

function contentOf(session: SessionSnapshot): string {
  return `${session.generation.toString()}:${session.messageCount.toString()}`;
}

function matches(session: SessionSnapshot, words: readonly string[]): boolean {
  const labels = Object.entries(session.labels).map(([key, value]) => `${key}=${value}`);
  const text = [session.sessionKey, session.displayName, session.agent, session.lastMessagePreview, ...labels]
    .join("\n")
    .toLowerCase();
  return words.every((word) => text.includes(word));
}

function passes(list: SessionList, session: SessionSnapshot, filter: SessionFilter): boolean {
  if (filter === "busy") return isBusy(session);
  return filter === "all" || isUnread(list, session);
}
