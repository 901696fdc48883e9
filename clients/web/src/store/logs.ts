// The newest log records, while somebody looks at them.
import { Code } from "@connectrpc/connect";
import { signal } from "@preact/signals";
import { explain, failureOf } from "../api";
import type { LogLevel, LogRecord } from "../proto";
import { api, endIfRefused } from "./account";

/** Records kept. */
export const LOG_RECORDS_MAX = 2000;
/** Records of before that are asked for. */
const RECORDS_BEFORE = 300;
/** Records are drawn at most this often, in milliseconds. */
const DRAW_MS = 150;
/** Pause before the stream is opened again, in milliseconds. */
const AGAIN_MS = 1500;

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
  let last: LogRecord | undefined;
  while (!stop.aborted) {
    try {
      const cursor = last ? { bootId: last.bootId, afterNumber: last.number } : undefined;
      const request = { level, target, last: RECORDS_BEFORE, ...(cursor ? { cursor } : {}) };
      const draw = gather(stop);
      for await (const record of api().admin.tailLogs(request, { signal: stop })) {
        last = record;
        draw(record);
      }
    } catch (error) {
      if (stop.aborted || endIfRefused(error)) return;
      const { code, reason } = failureOf(error);
      // The server was started anew, or kept too little: go on with what it has.
      if (reason === "LOG_CHANGED" || reason === "CURSOR_EXPIRED") last = undefined;
      else {
        tail.value = { ...tail.value, problem: explain(error) };
        if (code === Code.PermissionDenied) return;
      }
    }
    await new Promise((done) => setTimeout(done, AGAIN_MS));
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
