/**
 * The loop under all streams: opens, hands on, notices that the connection is dead, and opens again.
 *
 * Nothing is read before its reader asks, so nothing piles up here: what the reader leaves waiting stays in the
 * connection's window, and beyond that on the server, which leaves deltas out for slow readers.
 */
import type { DescMessage, DescMethodServerStreaming, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import { Backoff, sleep } from "./backoff.js";
import { type QuarterdeckError, Unavailable } from "./codes.js";
import type { CallOptions, Link, Scope } from "./link.js";

/** What a stream tells its user beside events. */
export type ConnectionChange = { state: "attached" } | { state: "lost"; error: QuarterdeckError; retryInMs: number };

/** Options of every stream. */
export interface StreamOptions extends CallOptions {
  /** Is told when the stream is attached, before the events that follow, and when it was cut and is coming back. */
  onConnection?: ((change: ConnectionChange) => void) | undefined;
}

/** One kind of stream: what to ask for, and what an event means for the next time. */
export interface Source<Event> {
  /** Opens the stream where the one before was cut. Calls `onHeader` when the server has answered. */
  open(transport: Transport, signal: AbortSignal, onHeader: () => void): AsyncIterable<Event>;
  /** Takes note of an event; false where it was handed on before. */
  accept(event: Event): boolean;
  /** True where nothing can come after this event. */
  isLast(event: Event): boolean;
  /** True where the server may end the stream without an error. */
  mayEnd(): boolean;
  /** Silence after which the stream counts as dead, in milliseconds. */
  silenceMs: number;
  /** True where a stream that was attached is tried again for ever; false where the client's patience bounds it. */
  endless: boolean;
  /** Makes more of the error that ends the stream; undefined where the source changed what it asks for and goes on. */
  refine(error: QuarterdeckError): Promise<QuarterdeckError | undefined>;
}

/** A stream that comes back by itself. `break`, `return()` and `close()` end it at once. */
export class Follower<Event> implements AsyncIterableIterator<Event> {
  readonly #events: AsyncGenerator<Event, void>;
  readonly #scope: Scope;
  #closed = false;

  /** @internal */
  constructor(link: Link, source: Source<Event>, options: StreamOptions) {
    this.#scope = link.scope(options, options.deadlineMs);
    this.#events = follow(link, this.#scope, source, options);
  }

  /** Waits for the next event. */
  async next(): Promise<IteratorResult<Event, undefined>> {
    try {
      const result = this.#closed ? undefined : await this.#events.next();
      return !result || result.done ? { done: true, value: undefined } : result;
    } catch (error) {
      if (this.#closed) {
        return { done: true, value: undefined };
      }
      throw error;
    }
  }

  /** Ends the stream. */
  async return(): Promise<IteratorResult<Event, undefined>> {
    this.close();
    return { done: true, value: undefined };
  }

  /** Ends the stream. A `next()` that waits is done. */
  close(): void {
    this.#closed = true;
    this.#scope.end();
    // Not awaited: it comes after a `next()` that is under way.
    this.#events.return().catch(() => {});
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

async function* follow<Event>(
  link: Link,
  scope: Scope,
  source: Source<Event>,
  options: StreamOptions,
): AsyncGenerator<Event, void> {
  const backoff = new Backoff();
  let everAttached = false;
  let lastGoodAt = Date.now();
  try {
    for (;;) {
      const attempt = new Attempt(link, scope, source);
      let announced = false;
      let error: QuarterdeckError;
      try {
        for (;;) {
          const read = await attempt.read();
          if ("error" in read) {
            error = read.error;
            break;
          }
          if (read.done) {
            return;
          }
          backoff.reset();
          everAttached = true;
          if (!announced) {
            announced = true;
            options.onConnection?.({ state: "attached" });
          }
          if (source.accept(read.event)) {
            yield read.event;
          }
          lastGoodAt = Date.now();
          if (source.isLast(read.event)) {
            return;
          }
        }
      } finally {
        attempt.end();
      }
      const pauseMs = backoff.next(error.retryAfterMs);
      const patienceMs = everAttached && source.endless ? Infinity : link.patienceMs;
      if (worthComingBack(error, everAttached) && Date.now() - lastGoodAt + pauseMs <= patienceMs) {
        options.onConnection?.({ state: "lost", error, retryInMs: pauseMs });
        await sleep(pauseMs, scope.signal);
        continue;
      }
      const refined = await source.refine(error);
      if (refined) {
        throw refined;
      }
    }
  } finally {
    scope.end();
  }
}

/** A bound that is met by a connection that the server has not given up yet passes too, once there was a stream. */
function worthComingBack(error: QuarterdeckError, everAttached: boolean): boolean {
  const passing = error.reason === "TOO_MANY_STREAMS" || error.reason === "RATE_LIMITED";
  return error.code === "UNAVAILABLE" || (everAttached && passing);
}

type Read<Event> = { event: Event; done: false } | { done: true } | { error: QuarterdeckError };

/** One opened stream, watched for silence while somebody waits for it. */
class Attempt<Event> {
  readonly #link: Link;
  readonly #scope: Scope;
  readonly #source: Source<Event>;
  readonly #attempt: Scope;
  #events: AsyncIterator<Event> | undefined;

  constructor(link: Link, scope: Scope, source: Source<Event>) {
    this.#link = link;
    this.#scope = scope;
    this.#source = source;
    this.#attempt = link.scope({ signal: scope.signal }, undefined);
  }

  /** The next event, the end, or why there is none. Throws where the caller gave the stream up. */
  async read(): Promise<Read<Event>> {
    const silence = new Unavailable({ code: "UNAVAILABLE", message: "the stream fell silent" });
    const timer = setTimeout(() => {
      this.#attempt.end(silence);
    }, this.#source.silenceMs);
    try {
      this.#scope.signal.throwIfAborted();
      this.#events ??= this.#open();
      const result = await this.#events.next();
      if (!result.done) {
        return { event: result.value, done: false };
      }
      const ended = new Unavailable({ code: "UNAVAILABLE", message: "the stream ended without a reason" });
      return this.#source.mayEnd() ? { done: true } : { error: ended };
    } catch (thrown) {
      this.#scope.signal.throwIfAborted();
      return { error: this.#attempt.signal.reason === silence ? silence : this.#link.judge(thrown) };
    } finally {
      clearTimeout(timer);
    }
  }

  end(): void {
    this.#attempt.end();
  }

  #open(): AsyncIterator<Event> {
    const onHeader = () => {
      this.#link.answered = true;
    };
    return this.#source.open(this.#link.transport, this.#attempt.signal, onHeader)[Symbol.asyncIterator]();
  }
}

/** Opens a server stream. */
export async function* openStream<Input extends DescMessage, Output extends DescMessage>(
  transport: Transport,
  method: DescMethodServerStreaming<Input, Output>,
  request: MessageInitShape<Input>,
  signal: AbortSignal,
  onHeader: () => void,
): AsyncGenerator<MessageShape<Output>, void> {
  const input = (async function* () {
    yield request;
  })();
  const response = await transport.stream(method, signal, undefined, undefined, input);
  onHeader();
  yield* response.message;
}
