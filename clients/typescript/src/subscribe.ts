/** Following one session, or many in one stream, from where one was. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import type { QuarterdeckError } from "./codes.js";
import type { Cursor } from "./cursor.js";
import { isCursorError } from "./errors.js";
import { Follower, openStream, type Source, type StreamOptions } from "./follow.js";
import type { GatewayEvent } from "./gen/quarterdeck/v1/event_pb.js";
import {
  type EventSelectionSchema,
  GatewayService,
  type SessionCursorSchema,
  type SessionFilterSchema,
} from "./gen/quarterdeck/v1/gateway_pb.js";
import type { CallOptions, Link } from "./link.js";
import { msToDuration } from "./numbers.js";
import { SessionDeleted, SessionNotFound } from "./reasons.js";
import { callUnary } from "./unary.js";

/** How often the server says that nothing happened, in milliseconds; a third of the silence that means a dead stream. */
const PROGRESS_MS = 5_000;
const SILENT_INTERVALS = 3;

/** Names of the fields of `GatewayEvent.kind`, as filters take them: `turn_ended`, `message_completed`, … */
export type EventKind = string;

/** What to send of a session, and how. */
export interface EventOptions extends StreamOptions {
  /** Kinds to send; default all. Control events always come. */
  kinds?: readonly EventKind[] | undefined;
  /** Whether to send deltas, open blocks and `lagging`. Default true. */
  deltas?: boolean | undefined;
  /** Silence after which the server says `progress`, in milliseconds, 1000 to 300 000. Default 5000. */
  progressIntervalMs?: number | undefined;
  /** Time for which the server may gather deltas, in milliseconds, at most 50. Default 0. */
  coalesceMs?: number | undefined;
}

/** Options of `subscribe`. */
export interface SubscribeOptions extends EventOptions {
  /** Starts after this place. Default: with what comes from now on. */
  after?: Cursor | undefined;
  /** Starts at the oldest event that is kept. Not together with `after`. */
  fromOldest?: boolean | undefined;
}

/** What to follow, and how, as one object. */
export interface SubscribeInput extends SubscribeOptions {
  /** The session. */
  sessionKey: string;
}

/** Options of `subscribeMany`. */
export interface SubscribeManyOptions extends EventOptions {
  /** Sessions to follow, and from where; at most 1000. */
  sessions?: readonly MessageInitShape<typeof SessionCursorSchema>[] | undefined;
  /**
   * Follows every session that matches too, from its head on; `{}` matches all. After a cut those that were seen go on
   * where they were; one that was created while the connection was away begins at its head.
   */
  filter?: MessageInitShape<typeof SessionFilterSchema> | undefined;
  /** Reports all sessions that match, as `session_state` events; one with an empty key ends the list. */
  watch?: MessageInitShape<typeof SessionFilterSchema> | undefined;
}

/** One session's events. Each durable one comes once and in order, whatever happens to connection and server. */
export class Subscription extends Follower<GatewayEvent> {
  readonly #place: Place;

  /** @internal */
  constructor(link: Link, sessionKey: string, options: SubscribeOptions) {
    const place: Place = { cursor: options.after };
    super(link, new SessionSource(link, sessionKey, options, place), options);
    this.#place = place;
  }

  /** Where to go on after the events that were handed on; undefined before the first of them. */
  get cursor(): Cursor | undefined {
    return this.#place.cursor;
  }
}

/** The events of many sessions, each as in `Subscription`, without an order between sessions. */
export class ManySubscription extends Follower<GatewayEvent> {
  readonly #places: ReadonlyMap<string, Place>;

  /** @internal */
  constructor(link: Link, options: SubscribeManyOptions) {
    const places = new Map<string, Place>();
    super(link, new ManySource(link, options, places), options);
    this.#places = places;
  }

  /** Where each session is that has given an event. What `sessions` of another `subscribeMany` takes. */
  get cursors(): (Cursor & { sessionKey: string })[] {
    return [...this.#places].flatMap(([sessionKey, { cursor }]) => (cursor ? [{ sessionKey, ...cursor }] : []));
  }
}

/** Where the reader of one session is. */
interface Place {
  cursor: Cursor | undefined;
}

/** Moves a place by an event; false where the event was handed on before. Pure but for `place`. */
export function advance(place: Place, event: GatewayEvent): boolean {
  const known = place.cursor?.afterSeq;
  if (event.seq > 0n && known !== undefined && event.seq <= known) {
    return false;
  }
  const seq = seqAfter(event, known === undefined);
  if (seq !== undefined) {
    place.cursor = { logId: event.logId, afterSeq: known !== undefined && known > seq ? known : seq };
  }
  return true;
}

/** How far a reader is that has seen the event. */
function seqAfter(event: GatewayEvent, first: boolean): bigint | undefined {
  switch (event.kind.case) {
    case "hello":
      return first ? event.afterSeq : undefined;
    case "caughtUp":
    case "progress":
      return event.kind.value.seq;
    default:
      return event.seq > 0n ? event.seq : undefined;
  }
}

/** Adds the session's state to an error that says that a cursor is void, and moves the place to it. */
async function resync(
  link: Link,
  error: QuarterdeckError,
  sessionKey: string,
  place: Place,
  options: CallOptions,
): Promise<void> {
  if (isCursorError(error)) {
    const call: CallOptions = { signal: options.signal };
    const snapshot = await callUnary(link, GatewayService.method.getSessionState, { sessionKey }, call);
    place.cursor = { logId: snapshot.logId, afterSeq: snapshot.seq };
    error.resync = { snapshot, cursor: place.cursor };
  }
}

class SessionSource implements Source<GatewayEvent> {
  readonly endless = true;
  readonly silenceMs: number;
  readonly #progressMs: number;
  #deleted = false;

  constructor(
    readonly link: Link,
    readonly sessionKey: string,
    readonly options: SubscribeOptions,
    readonly place: Place,
  ) {
    this.#progressMs = options.progressIntervalMs ?? PROGRESS_MS;
    this.silenceMs = this.#progressMs * SILENT_INTERVALS;
  }

  open(transport: Transport, signal: AbortSignal, onHeader: () => void): AsyncIterable<GatewayEvent> {
    const { kinds, deltas, coalesceMs, fromOldest } = this.options;
    const cursor = this.place.cursor;
    const request = {
      sessionKey: this.sessionKey,
      ...(cursor ? { cursor } : { fromOldest: fromOldest ?? false }),
      kinds: [...(kinds ?? [])],
      ...(deltas === undefined ? {} : { deltas }),
      progressInterval: msToDuration(this.#progressMs),
      ...(coalesceMs === undefined ? {} : { coalesce: msToDuration(coalesceMs) }),
    };
    return openStream(transport, GatewayService.method.subscribe, request, signal, onHeader);
  }

  accept(event: GatewayEvent): boolean {
    this.#deleted ||= event.kind.case === "sessionDeleted";
    return advance(this.place, event);
  }

  isLast(): boolean {
    return this.#deleted;
  }

  mayEnd(): boolean {
    return this.#deleted;
  }

  async refine(error: QuarterdeckError): Promise<QuarterdeckError> {
    await resync(this.link, error, this.sessionKey, this.place, this.options);
    return error;
  }
}

class ManySource implements Source<GatewayEvent> {
  readonly endless = true;
  readonly silenceMs: number;
  readonly #progressMs: number;
  /** Sessions that were named, as long as they are there, with what was said about them. */
  readonly #named: Map<string, MessageInitShape<typeof SessionCursorSchema>>;

  constructor(
    readonly link: Link,
    readonly options: SubscribeManyOptions,
    readonly places: Map<string, Place>,
  ) {
    this.#progressMs = options.progressIntervalMs ?? PROGRESS_MS;
    // The heartbeat of a watch comes every 15 seconds, whatever was asked for.
    this.silenceMs = Math.max(this.#progressMs, 15_000) * SILENT_INTERVALS;
    this.#named = new Map((options.sessions ?? []).map((session) => [session.sessionKey ?? "", session]));
  }

  open(transport: Transport, signal: AbortSignal, onHeader: () => void): AsyncIterable<GatewayEvent> {
    const { filter, watch, kinds, deltas, coalesceMs } = this.options;
    const known = [...this.places].filter(([, { cursor }]) => cursor);
    const cursors = [...this.#named].filter(([key]) => !this.places.get(key)?.cursor).map(([, session]) => session);
    const request = {
      ...(filter ? { filter } : {}),
      ...(watch ? { watch } : {}),
      cursors: cursors.concat(
        known.map(([sessionKey, { cursor }]) => ({ sessionKey, ...cursor, ...this.#selection(sessionKey) })),
      ),
      kinds: [...(kinds ?? [])],
      ...(deltas === undefined ? {} : { deltas }),
      progressInterval: msToDuration(this.#progressMs),
      ...(coalesceMs === undefined ? {} : { coalesce: msToDuration(coalesceMs) }),
    };
    return openStream(transport, GatewayService.method.subscribeMany, request, signal, onHeader);
  }

  accept(event: GatewayEvent): boolean {
    const key = event.sessionKey;
    if (event.kind.case === "sessionDeleted") {
      const fresh = advance(this.places.get(key) ?? { cursor: undefined }, event);
      this.places.delete(key);
      this.#named.delete(key);
      return fresh;
    }
    // A watch's states have no place in a log.
    if (event.kind.case === "sessionState") {
      return true;
    }
    let place = this.places.get(key);
    if (!place) {
      place = { cursor: undefined };
      this.places.set(key, place);
    }
    return advance(place, event);
  }

  isLast(): boolean {
    return false;
  }

  /** Where nothing can follow any more the server ends the stream. */
  mayEnd(): boolean {
    return true;
  }

  async refine(error: QuarterdeckError): Promise<QuarterdeckError | undefined> {
    const sessionKey = error.metadata.session_key;
    if (error instanceof SessionDeleted || error instanceof SessionNotFound) {
      // It went while the connection was away. Who named it is told; a filter just doesn't match it any more.
      const named = this.#named.delete(sessionKey ?? "");
      const matched = this.places.delete(sessionKey ?? "") && !named;
      return matched ? undefined : error;
    }
    if (sessionKey) {
      const place = this.places.get(sessionKey) ?? { cursor: undefined };
      await resync(this.link, error, sessionKey, place, this.options);
      this.places.set(sessionKey, place);
    }
    return error;
  }

  #selection(sessionKey: string): { events?: MessageInitShape<typeof EventSelectionSchema> } {
    const events = this.#named.get(sessionKey)?.events;
    return events ? { events } : {};
  }
}
