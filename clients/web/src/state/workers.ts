// Workers in words, and why turns wait for one. Pure.
import { type SessionSnapshot, type Worker, type WorkerWanted, WorkerState } from "@quarterdeck/client";
import type { Tone } from "./turns";

/** How it stands. */
export function workerState({ state }: Worker): readonly [word: string, tone: Tone] {
  switch (state) {
    case WorkerState.CONNECTED:
      return ["Connected", "busy"];
    case WorkerState.DRAINING:
      return ["Takes no more", "warning"];
    case WorkerState.LOST:
      return ["Lost", "error"];
    default:
      return ["Unknown", "quiet"];
  }
}

/** Labels as they are written on a command line. */
export function labelWords(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join(", ");
}

/** Sessions whose next turn waits for a worker, by key. */
export function waitingForWorker(sessions: Iterable<SessionSnapshot>): SessionSnapshot[] {
  return [...sessions].filter(({ waitReason }) => waitReason === "NO_WORKER").sort((a, b) => (a.sessionKey < b.sessionKey ? -1 : 1));
}

/** Why turns of an agent wait, as far as the workers tell that are seen. `needed` is what its workers must have. */
export function whyWaiting(agent: string, needed: Readonly<Record<string, string>>, workers: readonly Worker[]): string {
  const able = workers.filter(({ agents }) => agents.includes(agent));
  if (able.length === 0) return `No worker that has the agent ${agent} is connected.`;
  const fitting = able.filter(({ labels }) => Object.entries(needed).every(([name, value]) => labels[name] === value));
  if (fitting.length === 0) return `No worker of ${agent} has the labels ${labelWords(needed)}.`;
  const taking = fitting.filter(({ state }) => state === WorkerState.CONNECTED);
  if (taking.length === 0) return `The workers of ${agent} are lost or take no more.`;
  if (taking.every(({ leases, capacity }) => leases.length >= capacity)) return `All workers of ${agent} are full.`;
  return `A worker of ${agent} has room: it may not be among those that the agent names, or is about to take it.`;
}

/** What workers of an agent must have, where the server tells. */
export function neededLabels(agent: string, wanted: readonly WorkerWanted[]): Readonly<Record<string, string>> {
  return wanted.find((each) => each.agent === agent)?.labels ?? {};
}
