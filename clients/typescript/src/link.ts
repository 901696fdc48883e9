/**
 * What all calls of one client share: the transport, how long to wait, whether the server ever answered, and the rules of
 * trying again.
 */
import type { Transport } from "@connectrpc/connect";
import { Backoff, sleep } from "./backoff.js";
import { Cancelled, DeadlineExceeded, type QuarterdeckError, Unavailable } from "./codes.js";
import { fromConnect } from "./errors.js";

/** How long a unary call may take with all its tries, in milliseconds, where nobody says otherwise. */
export const DEFAULT_DEADLINE_MS = 60_000;
/** How long calls are repeated while the server is away, in milliseconds, where nobody says otherwise. */
export const DEFAULT_PATIENCE_MS = 30_000;
/** The same before the first answer: a server that was never there is more likely a wrong address than a restart. */
const FIRST_PATIENCE_MS = 2_000;

/** Options of every call. */
export interface CallOptions {
  /** Gives the call up: it rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** How long the call may take with all its tries, in milliseconds. Of a stream: its whole life; default: no end. */
  deadlineMs?: number | undefined;
}

/** Options of a client, whatever its transport. */
export interface ClientTuning {
  /** Deadline of a unary call that names none, in milliseconds. Default 60 000. */
  deadlineMs?: number | undefined;
  /** How long a call is repeated while the server is away, in milliseconds. Default 30 000; 0 never repeats. */
  patienceMs?: number | undefined;
}

/** A transport and what goes with it. */
export interface Connection {
  /** Carries the calls, with the key. */
  transport: Transport;
  /** What to tell people where the server was never reached. */
  explain(error: QuarterdeckError): string;
  /** Ends what is open. */
  close(): void;
}

/** One client's shared state. */
export class Link {
  /** True once the server answered anything: from then on a lost connection is worth waiting for. */
  answered = false;
  readonly deadlineMs: number;
  readonly #patienceMs: number;
  readonly #closing = new AbortController();

  constructor(
    readonly connection: Connection,
    tuning: ClientTuning,
  ) {
    this.deadlineMs = tuning.deadlineMs ?? DEFAULT_DEADLINE_MS;
    this.#patienceMs = tuning.patienceMs ?? DEFAULT_PATIENCE_MS;
  }

  get transport(): Transport {
    return this.connection.transport;
  }

  /** How long being away is borne now, in milliseconds. */
  get patienceMs(): number {
    return this.answered ? this.#patienceMs : Math.min(FIRST_PATIENCE_MS, this.#patienceMs);
  }

  /** Ends everything that is open and refuses what comes. */
  close(): void {
    this.#closing.abort(new Cancelled({ code: "CANCELLED", message: "the client was closed" }));
    this.connection.close();
  }

  /** A scope of one call: its signal fires when the caller, the deadline or `close` ends it. */
  scope(options: CallOptions, deadlineMs: number | undefined): Scope {
    return new Scope([this.#closing.signal, options.signal], deadlineMs);
  }

  /** The error of this package for what a try threw; notes whether the server answered. */
  judge(thrown: unknown): QuarterdeckError {
    const error = fromConnect(thrown);
    if (error.reason !== "") {
      this.answered = true;
      return error;
    }
    if (this.answered || error.code !== "UNAVAILABLE") {
      return error;
    }
    return new Unavailable({ code: "UNAVAILABLE", message: this.connection.explain(error), cause: error.cause });
  }

  /** Tries until there is an answer, an error that a repeat can't mend, or patience or the deadline ends. */
  async repeat<T>(
    scope: Scope,
    attempt: (signal: AbortSignal, timeoutMs: number | undefined) => Promise<T>,
  ): Promise<T> {
    const backoff = new Backoff();
    const began = Date.now();
    for (;;) {
      let error: QuarterdeckError;
      try {
        scope.signal.throwIfAborted();
        const answer = await attempt(scope.signal, scope.leftMs());
        this.answered = true;
        return answer;
      } catch (thrown) {
        scope.signal.throwIfAborted();
        error = this.judge(thrown);
      }
      const pauseMs = backoff.next(error.retryAfterMs);
      const patient = Date.now() - began + pauseMs <= this.patienceMs && pauseMs < (scope.leftMs() ?? Infinity);
      if (error.code !== "UNAVAILABLE" || !patient) {
        throw error;
      }
      await sleep(pauseMs, scope.signal);
    }
  }
}

/** The life of one call. */
export class Scope {
  readonly #controller = new AbortController();
  readonly #endsAt: number | undefined;
  readonly #cleanups: (() => void)[] = [];

  constructor(parents: readonly (AbortSignal | undefined)[], deadlineMs: number | undefined) {
    for (const parent of parents) {
      this.#follow(parent);
    }
    if (deadlineMs !== undefined) {
      this.#endsAt = Date.now() + deadlineMs;
      const late = () => this.end(new DeadlineExceeded({ code: "DEADLINE_EXCEEDED", message: "the deadline passed" }));
      const timer = setTimeout(late, deadlineMs);
      this.#cleanups.push(() => clearTimeout(timer));
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Milliseconds until the deadline; undefined without one. */
  leftMs(): number | undefined {
    return this.#endsAt === undefined ? undefined : Math.max(1, this.#endsAt - Date.now());
  }

  /** Ends the call. What waits in it rejects with `reason`. */
  end(reason?: unknown): void {
    for (const cleanup of this.#cleanups.splice(0)) {
      cleanup();
    }
    this.#controller.abort(reason);
  }

  #follow(parent: AbortSignal | undefined): void {
    if (!parent) {
      return;
    }
    if (parent.aborted) {
      this.end(parent.reason);
      return;
    }
    const onAbort = () => this.end(parent.reason);
    parent.addEventListener("abort", onAbort, { once: true });
    this.#cleanups.push(() => parent.removeEventListener("abort", onAbort));
  }
}
