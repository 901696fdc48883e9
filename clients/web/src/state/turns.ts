// Turns: how they stand in words, and which of them a table shows.
import { type SessionSnapshot, type Turn, TurnState, type Usage } from "@quarterdeck/client";

/** How a state looks: what went as it should is quiet. */
export type Tone = "quiet" | "busy" | "warning" | "error";

/** A state in words, and its look. An unknown one is not terminal. */
export function turnWord(state: TurnState): readonly [word: string, tone: Tone] {
  switch (state) {
    case TurnState.COMPLETED:
      return ["Completed", "quiet"];
    case TurnState.CANCELED:
      return ["Stopped", "warning"];
    case TurnState.INTERRUPTED:
      return ["Interrupted", "warning"];
    case TurnState.REJECTED:
      return ["Not started", "warning"];
    case TurnState.EXPIRED:
      return ["Expired", "warning"];
    case TurnState.FAILED:
      return ["Failed", "error"];
    case TurnState.QUEUED:
      return ["Waiting", "busy"];
    case TurnState.SCHEDULED:
      return ["Scheduled", "busy"];
    case TurnState.WAITING_INPUT:
      return ["Waiting for input", "busy"];
    case TurnState.CANCELING:
      return ["Stopping", "busy"];
    default:
      return ["Running", "busy"];
  }
}

/** Groups of states that a person looks for. */
export const STATE_FILTERS: readonly (readonly [key: string, name: string, states: readonly TurnState[]])[] = [
  ["", "Any state", []],
  ["failed", "Failed", [TurnState.FAILED]],
  ["unfinished", "Unfinished", [TurnState.QUEUED, TurnState.RUNNING, TurnState.WAITING_INPUT, TurnState.CANCELING, TurnState.SCHEDULED]],
  ["completed", "Completed", [TurnState.COMPLETED]],
  ["stopped", "Stopped or interrupted", [TurnState.CANCELED, TurnState.INTERRUPTED]],
  ["never", "Not started", [TurnState.REJECTED, TurnState.EXPIRED]],
];

/** The states of such a group. */
export function statesOf(key: string): TurnState[] {
  return [...(STATE_FILTERS.find(([each]) => each === key)?.[2] ?? [])];
}

/** What a table of turns shows. */
export interface TurnFilter {
  /** Name of an agent; empty means any. */
  readonly agent: string;
  /** `name` or `name=value` that the turn's session must have; empty means any. */
  readonly label: string;
}

/** Whether a turn is among those that are shown, given the labels that its session has now. */
export function passesTurnFilter(turn: Turn, session: SessionSnapshot | undefined, { agent, label }: TurnFilter): boolean {
  if (agent !== "" && turn.agent !== agent) return false;
  const wanted = label.trim();
  if (wanted === "") return true;
  const at = wanted.indexOf("=");
  const name = at < 0 ? wanted : wanted.slice(0, at);
  if (!session || !Object.hasOwn(session.labels, name)) return false;
  return at < 0 || session.labels[name] === wanted.slice(at + 1);
}

/** All tokens of a use. */
export function tokensOf(usage: Usage | undefined): bigint {
  return usage ? usage.inputTokens + usage.outputTokens + usage.cacheReadTokens + usage.cacheWriteTokens : 0n;
}

/** The turn whose end an earlier one's beginning follows: of those that started before it, the last. Undefined for the first. */
export function turnBefore(turn: Turn, others: readonly Turn[]): Turn | undefined {
  const start = micros(turn);
  let found: Turn | undefined;
  for (const other of others) {
    if (other.turnId === turn.turnId || other.generation !== turn.generation || !other.endTime || !other.startTime) continue;
    if (micros(other) < start && (!found || micros(other) > micros(found))) found = other;
  }
  return found;
}

/** When a turn started last. */
function micros({ startTime }: Turn): number {
  return startTime ? Number(startTime.seconds) * 1e6 + startTime.nanos / 1e3 : 0;
}
