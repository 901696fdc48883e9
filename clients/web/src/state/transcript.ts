// The transcript of one session: what GetSessionState tells, gone on with by events, older pages put before it.
//
// Pure. A durable event counts once: one at or before `seq` changes nothing, so that a stream may repeat itself.
import type {
  GatewayEvent,
  GetSessionStateResponse,
  ListMessagesResponse,
  SessionSnapshot,
  Turn,
} from "@quarterdeck/client";
import { applyKind } from "./events";
import { type Entry, entriesOf, planEntry, toolEntry } from "./entries";
import { questionEntry } from "./questions";

/** Where older messages are read. */
export interface Older {
  readonly generation: bigint;
  /** Page to read; empty means the newest of that generation. */
  readonly token: string;
}

/** A session as it is shown. */
export interface Transcript {
  readonly sessionKey: string;
  readonly logId: string;
  /** Position up to which durable events are in. */
  readonly seq: bigint;
  readonly session: SessionSnapshot;
  readonly entries: readonly Entry[];
  /** What is known of turns, by their id. */
  readonly turns: ReadonlyMap<string, Turn>;
  /** Unset where nothing older is left. */
  readonly older: Older | undefined;
  /** True after the session was deleted. */
  readonly deleted: boolean;
}

/** The transcript of a session as of one position. */
export function fromState(state: GetSessionStateResponse, session: SessionSnapshot): Transcript {
  const open = state.openMessage ? entriesOf(state.openMessage, true) : [];
  const running = state.runningTools.map((call) => toolEntry(call, "", session.activeTurnId));
  return {
    sessionKey: session.sessionKey,
    logId: state.logId,
    seq: state.seq,
    session,
    entries: [
      ...state.messages.flatMap((message) => entriesOf(message, false)),
      // Of the newest turn that had one, which may be over.
      ...(state.plan.length > 0 ? [planEntry(state.plan, session.activeTurnId)] : []),
      ...open,
      ...running,
      ...state.questions.map(questionEntry),
    ],
    turns: new Map(),
    older: olderThan(session.generation, state.nextPageToken),
    deleted: false,
  };
}

/** The transcript after an event of its session. */
export function applyEvent(transcript: Transcript, event: GatewayEvent): Transcript {
  if (event.sessionKey !== transcript.sessionKey) return transcript;
  if (event.logId !== "" && event.logId !== transcript.logId) return transcript;
  if (event.seq > 0n && event.seq <= transcript.seq) return transcript;
  const current = event.generation === 0n || event.generation >= transcript.session.generation;
  const next = current ? applyKind(transcript, event) : transcript;
  return event.seq > 0n ? { ...next, seq: event.seq } : next;
}

/** The transcript with an older page before it. */
export function prepend(transcript: Transcript, page: ListMessagesResponse): Transcript {
  if (!transcript.older) return transcript;
  const { generation } = transcript.older;
  const known = new Set(transcript.entries.map((entry) => entry.id));
  const added = page.messages.flatMap((message) => entriesOf(message, false)).filter((entry) => !known.has(entry.id));
  const older = olderThan(generation, page.nextPageToken);
  const begins: Entry[] =
    page.nextPageToken === "" && generation > 1n && !known.has(`generation:${generation.toString()}`)
      ? [{ kind: "generation", id: `generation:${generation.toString()}`, turnId: "", generation }]
      : [];
  return { ...transcript, entries: [...begins, ...added, ...transcript.entries], older };
}

/** The transcript that knows these turns too. Newer knowledge stays. */
export function withTurns(transcript: Transcript, turns: readonly Turn[]): Transcript {
  const all = new Map(turns.map((turn) => [turn.turnId, turn]));
  for (const [id, turn] of transcript.turns) all.set(id, turn);
  return { ...transcript, turns: all };
}

/** The turn that ends with the entry at `index`, where it has ended. */
export function endedTurn(transcript: Transcript, index: number): Turn | undefined {
  const turnId = transcript.entries[index]?.turnId;
  if (!turnId || transcript.entries[index + 1]?.turnId === turnId) return undefined;
  const turn = transcript.turns.get(turnId);
  return turn?.endTime ? turn : undefined;
}

function olderThan(generation: bigint, token: string): Older | undefined {
  if (token !== "") return { generation, token };
  return generation > 1n ? { generation: generation - 1n, token: "" } : undefined;
}
