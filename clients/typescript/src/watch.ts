/** Following all sessions, and the server's log. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import type { QuarterdeckError } from "./codes.js";
import { isCursorError } from "./errors.js";
import { Follower, openStream, type Source, type StreamOptions } from "./follow.js";
import {
  AdminService,
  type LogCursorSchema,
  type LogRecord,
  type TailLogsRequestSchema,
} from "./gen/quarterdeck/v1/admin_pb.js";
import { GatewayService, type SessionFilterSchema } from "./gen/quarterdeck/v1/gateway_pb.js";
import type { SessionSnapshot } from "./gen/quarterdeck/v1/session_pb.js";
import type { Link } from "./link.js";

/** Silence after which a watch counts as dead, in milliseconds. Its heartbeat comes every 15 seconds. */
const WATCH_SILENCE_MS = 45_000;
/** A quiet server writes no log: only the transport notices that such a stream is dead. In milliseconds. */
const LOGS_SILENCE_MS = 24 * 60 * 60 * 1000;
/** Records asked for where the place in the log is void: all that the server may keep. */
const LOGS_LAST_MAX = 10_000;

/** What a watch over sessions tells. */
export type SessionsUpdate =
  /** All sessions that match, anew: first of all, and after each cut. */
  | { kind: "list"; sessions: SessionSnapshot[] }
  /** One changed, came or went (`state` DELETED). */
  | { kind: "changed"; session: SessionSnapshot };

/** Follows the sessions that match. Comes back with a new list after any cut. */
export async function* watchSessions(
  link: Link,
  filter: MessageInitShape<typeof SessionFilterSchema>,
  options: StreamOptions,
): AsyncGenerator<SessionsUpdate, void> {
  // Collected until the snapshot with an empty key says that the list is complete.
  const source = new WatchSource(filter);
  for await (const session of new Follower(link, source, options)) {
    const listed = source.take(session);
    if (listed) {
      yield { kind: "list", sessions: listed };
    } else if (source.complete && session.sessionKey !== "") {
      yield { kind: "changed", session };
    }
  }
}

/** Follows the server's log; over a restart of the server it goes on with what the new one has. */
export function tailLogs(
  link: Link,
  request: MessageInitShape<typeof TailLogsRequestSchema>,
  options: StreamOptions,
): Follower<LogRecord> {
  return new Follower(link, new LogSource(request), options);
}

class WatchSource implements Source<SessionSnapshot> {
  readonly silenceMs = WATCH_SILENCE_MS;
  readonly endless = true;
  complete = false;
  #list: SessionSnapshot[] = [];

  constructor(readonly filter: MessageInitShape<typeof SessionFilterSchema>) {}

  /** Adds to the list that is being collected; returns it when it is complete. */
  take(session: SessionSnapshot): SessionSnapshot[] | undefined {
    if (this.complete) {
      return undefined;
    }
    if (session.sessionKey !== "") {
      this.#list.push(session);
      return undefined;
    }
    this.complete = true;
    return this.#list.splice(0);
  }

  open(transport: Transport, signal: AbortSignal, onHeader: () => void): AsyncIterable<SessionSnapshot> {
    this.complete = false;
    this.#list = [];
    return openStream(transport, GatewayService.method.watchSessions, { filter: this.filter }, signal, onHeader);
  }

  accept(): boolean {
    return true;
  }

  isLast(): boolean {
    return false;
  }

  mayEnd(): boolean {
    return false;
  }

  async refine(error: QuarterdeckError): Promise<QuarterdeckError> {
    return error;
  }
}

class LogSource implements Source<LogRecord> {
  readonly silenceMs = LOGS_SILENCE_MS;
  readonly endless = true;
  #cursor: MessageInitShape<typeof LogCursorSchema> | undefined;
  #last: number | undefined;

  constructor(readonly request: MessageInitShape<typeof TailLogsRequestSchema>) {
    this.#cursor = request.cursor;
    this.#last = request.last;
  }

  open(transport: Transport, signal: AbortSignal, onHeader: () => void): AsyncIterable<LogRecord> {
    const { $typeName: _, cursor: __, last: ___, ...rest } = this.request;
    const request = {
      ...rest,
      ...(this.#cursor ? { cursor: this.#cursor } : {}),
      ...(this.#last === undefined ? {} : { last: this.#last }),
    };
    return openStream(transport, AdminService.method.tailLogs, request, signal, onHeader);
  }

  accept(record: LogRecord): boolean {
    this.#cursor = { bootId: record.bootId, afterNumber: record.number };
    return true;
  }

  isLast(): boolean {
    return false;
  }

  mayEnd(): boolean {
    return this.request.noFollow ?? false;
  }

  async refine(error: QuarterdeckError): Promise<QuarterdeckError | undefined> {
    if (!this.#cursor || !isCursorError(error)) {
      return error;
    }
    this.#cursor = undefined;
    this.#last = LOGS_LAST_MAX;
    return undefined;
  }
}
