// Everything that is live: the list of sessions and the viewed one, over a single stream.
//
// A browser on HTTP/1.1 has six connections to a server, so there is one stream for all. Viewing another session reads
// its state first and opens the stream anew from there. Cuts are the client package's matter; it comes back by itself.
import { batch, computed, effect, signal, untracked } from "@preact/signals";
import { explain, reasonOf } from "../api";
import { type GatewayEvent, type SessionSnapshot, type Turn } from "@quarterdeck/client";
import { applyReports, beginList, endList, markSeen, NO_SESSIONS, type SessionList } from "../state/sessions";
import { applyEvent, fromState, prepend, type Transcript, withTurns } from "../state/transcript";
import { account, client, endIfRefused, scopes } from "./account";
import { announce, tell } from "./notices";
import { route } from "./place";
import { readServerInfo } from "./server";

/** Messages of a page. */
const PAGE_MESSAGES = 50;
/** Turns of a page. */
const PAGE_TURNS = 100;
/** Entries of a transcript after which it is read anew when its turn ends, so that memory stays bounded. */
const ENTRIES_MAX = 1500;
/** Pause before a stream that ended for an unknown reason is opened again, in milliseconds. */
const AGAIN_MS = 2000;

/** Time for which the server may gather deltas, in milliseconds: as long as a frame, since more can't be seen. */
const COALESCE_MS = 16;

/** A session, and the last of its events that is known. */
interface Position {
  readonly sessionKey: string;
  readonly logId: string;
  readonly afterSeq: bigint;
}

/** The stream to the server. */
export type Connection = "connecting" | "live" | "lost";

/** The session that is viewed. */
export type Viewed =
  | { readonly state: "none" }
  | { readonly state: "loading"; readonly key: string }
  | { readonly state: "missing"; readonly key: string; readonly reason: string; readonly message: string }
  | { readonly state: "ready"; readonly key: string; readonly transcript: Transcript };

export const connection = signal<Connection>("connecting");
export const sessions = signal<SessionList>(NO_SESSIONS);
export const viewed = signal<Viewed>({ state: "none" });
export const queue = signal<readonly Turn[]>([]);
/** True while an older page is read. */
export const readingOlder = signal(false);

/** The viewed session as it is now, by the newest report of it. */
export const current = computed<SessionSnapshot | undefined>(() => {
  const shown = viewed.value;
  if (shown.state !== "ready") return undefined;
  const listed = sessions.value.sessions.get(shown.key);
  const own = shown.transcript.session;
  return listed?.logId === own.logId && listed.headSeq > own.headSeq ? listed : own;
});

const viewedKey = computed(() => (route.value.place === "sessions" ? route.value.sessionKey : ""));

let running: AbortController | undefined;

/** Follows whoever is signed in, and whatever is viewed. */
export function startLive(): void {
  effect(() => {
    const key = viewedKey.value;
    const signedIn = account.value.state === "in" && scopes.value.has("session.read");
    untracked(() => {
      if (signedIn) followAnew(key);
      else {
        running?.abort();
        forget();
      }
    });
  });
  effect(() => {
    if (account.value.state === "in") void readServerInfo();
  });
  document.addEventListener("visibilitychange", () => (sessions.value = withViewedSeen(sessions.value)));
}

/** The list once more, knowing that a person looks at the viewed session. */
function withViewedSeen(list: SessionList): SessionList {
  return document.visibilityState === "visible" && viewedKey.value !== "" ? markSeen(list, viewedKey.value) : list;
}

/** Reads the viewed session anew. */
export function reload(): void {
  followAnew(viewedKey.value);
}

function followAnew(key: string): void {
  running?.abort();
  running = new AbortController();
  void keepFollowing(key, running.signal);
}

/** Reads the page of messages before those that are shown. */
export async function readOlder(): Promise<void> {
  const shown = viewed.value;
  if (shown.state !== "ready" || !shown.transcript.older || readingOlder.value) return;
  const { generation, token } = shown.transcript.older;
  readingOlder.value = true;
  try {
    const request = { sessionKey: shown.key, generation, pageToken: token, pageSize: PAGE_MESSAGES };
    const page = await client().listMessages(request);
    change(shown.key, (transcript) => prepend(transcript, page));
    await readTurns(shown.key);
  } finally {
    readingOlder.value = false;
  }
}

/** Reads the queue of the viewed session. */
export async function readQueue(key: string): Promise<void> {
  const { turns } = await client().listQueue({ sessionKey: key });
  if (viewedKey.value === key) queue.value = turns;
}

async function keepFollowing(key: string, stop: AbortSignal): Promise<void> {
  const kept = viewed.value.state === "ready" && viewed.value.key === key;
  if (!kept) batch(() => {
    viewed.value = key === "" ? { state: "none" } : { state: "loading", key };
    queue.value = [];
    sessions.value = withViewedSeen(sessions.value);
  });
  let followed = key;
  for (;;) {
    try {
      const position = followed === "" ? undefined : await readState(followed, stop);
      await followFrom(position, stop);
      if (stop.aborted) return;
    } catch (error) {
      if (stop.aborted || endIfRefused(error)) return;
      const reason = reasonOf(error);
      if (reason === "SESSION_NOT_FOUND" || reason === "SESSION_DELETED") {
        if (followed === "") continue;
        viewed.value = { state: "missing", key, reason, message: explain(error) };
        followed = "";
        continue;
      }
      // The log that was followed is gone or too far ahead: read the state and go on from there.
      if (reason === "CURSOR_EXPIRED" || reason === "LOG_CHANGED" || reason === "CURSOR_AHEAD") continue;
      setConnection("lost");
      await pause(AGAIN_MS, stop);
    }
  }
}

async function readState(key: string, stop: AbortSignal): Promise<Position> {
  const request = { sessionKey: key, pageSize: PAGE_MESSAGES };
  const state = await client().getSessionState(request, { signal: stop });
  if (!state.session) throw new Error("the server told no session");
  const transcript = fromState(state, state.session);
  viewed.value = { state: "ready", key, transcript };
  pages.clear();
  await Promise.all([readTurns(key), readQueue(key)]);
  return { sessionKey: key, logId: state.logId, afterSeq: state.seq };
}

/** Next page of turns, by session; empty where there is none. */
const pages = new Map<string, string>();

/** Reads a page of turns, the newest first, so that ended turns can be told and forked. */
async function readTurns(key: string): Promise<void> {
  const pageToken = pages.get(key);
  if (pageToken === "") return;
  const request = { sessionKey: key, pageSize: PAGE_TURNS, pageToken: pageToken ?? "" };
  const page = await client().listTurns(request);
  pages.set(key, page.nextPageToken);
  change(key, (transcript) => withTurns(transcript, page.turns));
}

async function followFrom(position: Position | undefined, stop: AbortSignal): Promise<void> {
  const gathered = gather(stop);
  const onConnection = (state: "attached" | "lost"): void => {
    gathered.flush();
    if (stop.aborted) return;
    if (state === "attached") sessions.value = beginList(sessions.value);
    setConnection(state === "attached" ? "live" : "lost");
  };
  const stream = client().subscribeMany({
    watch: {},
    sessions: position ? [position] : [],
    coalesceMs: COALESCE_MS,
    onConnection: ({ state }) => onConnection(state),
    signal: stop,
  });
  for await (const event of stream) {
    if (stop.aborted) return;
    await gathered.add(event);
  }
}

/** Events between two frames; more than these are shown at once, so that reading never runs away from showing. */
const GATHERED_MAX = 400;
/** A hidden page draws no frames; its events are taken in after this long, in milliseconds. */
const HIDDEN_MS = 200;

/** Takes events in together, once a frame: drawing each would draw more than can be seen. */
function gather(stop: AbortSignal): { add: (event: GatewayEvent) => Promise<void>; flush: () => void } {
  let waiting: GatewayEvent[] = [];
  const flush = (): void => {
    const events = waiting;
    waiting = [];
    if (events.length > 0 && !stop.aborted) takeIn(events);
  };
  return {
    flush,
    async add(event) {
      waiting.push(event);
      if (waiting.length === 1) {
        if (document.hidden) setTimeout(flush, HIDDEN_MS);
        else requestAnimationFrame(flush);
      }
      if (waiting.length >= GATHERED_MAX) {
        flush();
        await new Promise((done) => setTimeout(done, 0));
      }
    },
  };
}

function takeIn(events: readonly GatewayEvent[]): void {
  batch(() => {
    let list = sessions.value;
    const shown = viewed.value;
    let transcript = shown.state === "ready" ? shown.transcript : undefined;
    let queueChanged = false;
    let outOfDate = false;
    let reports: SessionSnapshot[] = [];
    for (const event of events) {
      if (event.kind.case === "sessionState") {
        if (event.sessionKey === "") {
          list = endList(applyReports(list, reports));
          reports = [];
        } else if (event.kind.value.session) reports.push(event.kind.value.session);
      }
      if (event.kind.case === "reload") outOfDate = true;
      if (event.kind.case === "draining") tell("The server is going to stop. This page comes back when it does.");
      if (event.sessionKey !== transcript?.sessionKey) continue;
      transcript = applyEvent(transcript, event);
      queueChanged ||= changesQueue(event);
      announceEvent(event);
    }
    if (outOfDate) void readServerInfo().then(reload);
    // Somebody has made the session that was looked for.
    if (shown.state === "missing" && reports.some(({ sessionKey }) => sessionKey === shown.key)) reload();
    sessions.value = withViewedSeen(reports.length > 0 ? applyReports(list, reports) : list);
    if (shown.state === "ready" && transcript && transcript !== shown.transcript) {
      viewed.value = { ...shown, transcript };
      if (queueChanged) readQueue(shown.key).catch(() => undefined);
      const idle = transcript.session.activeTurnId === "";
      if (idle && transcript.entries.length > ENTRIES_MAX) reload();
    }
  });
}

function changesQueue({ kind }: GatewayEvent): boolean {
  switch (kind.case) {
    case "turnQueued":
    case "turnUpdated":
    case "turnStarted":
    case "turnEnded":
    case "steerRequeued":
    case "sessionReset":
      return true;
    default:
      return false;
  }
}

function announceEvent({ kind }: GatewayEvent): void {
  if (kind.case === "questionAsked") announce(`The agent asks: ${kind.value.question?.title ?? ""}`);
  if (kind.case === "questionResolved") announce("The question is closed.");
  if (kind.case === "turnStarted") announce("The agent works.");
  if (kind.case === "turnEnded") announce(kind.value.turn?.error ? kind.value.turn.error.message : "The agent has finished.");
}

function change(key: string, how: (transcript: Transcript) => Transcript): void {
  const shown = viewed.value;
  if (shown.state === "ready" && shown.key === key) viewed.value = { ...shown, transcript: how(shown.transcript) };
}

function setConnection(next: Connection): void {
  if (next === connection.value) return;
  if (next === "lost") announce("The connection to the server is lost.");
  if (next === "live" && connection.value === "lost") announce("Connected again.");
  connection.value = next;
}

function forget(): void {
  batch(() => {
    connection.value = "connecting";
    sessions.value = NO_SESSIONS;
    viewed.value = { state: "none" };
    queue.value = [];
  });
}

function pause(milliseconds: number, stop: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const timer = setTimeout(done, milliseconds);
    stop.addEventListener("abort", () => {
      clearTimeout(timer);
      done();
    });
  });
}
