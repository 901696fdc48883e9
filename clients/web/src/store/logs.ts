// The newest log records, while somebody looks at them.
import { signal } from "@preact/signals";
import { explain } from "../api";
import type { ConnectionChange, LogLevel, LogRecord } from "@quarterdeck/client";
import { client, endIfRefused } from "./account";

/** Records kept. */
export const LOG_RECORDS_MAX = 2000;
/** Records of before that are asked for. */
const RECORDS_BEFORE = 300;
/** Records are drawn at most this often, in milliseconds. */
const DRAW_MS = 150;

/** What is shown. */
export interface LogTail {
  readonly records: readonly LogRecord[];
  /** Why nothing comes; empty while all is well. */
  readonly problem: string;
}

export const tail = signal<LogTail>({ records: [], problem: "" });

let running: AbortController | undefined;

/** Follows the log from now on. */
export function startTail(level: LogLevel, target: string): void {
  stopTail();
  running = new AbortController();
  tail.value = { records: [], problem: "" };
  void keepReading(level, target, running.signal);
}

/** Closes the stream. */
export function stopTail(): void {
  running?.abort();
  running = undefined;
}

async function keepReading(level: LogLevel, target: string, stop: AbortSignal): Promise<void> {
  const draw = gather(stop);
  const onConnection = ({ state }: ConnectionChange): void => {
    tail.value = { ...tail.value, problem: state === "lost" ? "The connection is lost; it comes back by itself." : "" };
  };
  try {
    for await (const record of client().tailLogs({ level, target, last: RECORDS_BEFORE }, { signal: stop, onConnection })) {
      draw(record);
    }
  } catch (error) {
    if (stop.aborted || endIfRefused(error)) return;
    tail.value = { ...tail.value, problem: explain(error) };
  }
}

function gather(stop: AbortSignal): (record: LogRecord) => void {
  let waiting: LogRecord[] = [];
  return (record) => {
    waiting.push(record);
    if (waiting.length > 1) return;
    setTimeout(() => {
      if (!stop.aborted) tail.value = { records: [...tail.value.records, ...waiting].slice(-LOG_RECORDS_MAX), problem: "" };
      waiting = [];
    }, DRAW_MS);
  };
}
