/** Pauses between tries: they double, with a random part so that many clients don't come back together. */

/** First pause, in milliseconds. */
const FIRST_MS = 100;
/** Longest pause, in milliseconds. */
const LONGEST_MS = 5_000;

/** The pauses of one call or subscription. */
export class Backoff {
  #dueMs = FIRST_MS;
  readonly #random: () => number;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** Half to all of the pause that is due, and never less than what the server asked for. In milliseconds. */
  next(askedMs = 0): number {
    const due = this.#dueMs;
    this.#dueMs = Math.min(due * 2, LONGEST_MS);
    return Math.max(due / 2 + (due / 2) * this.#random(), askedMs);
  }

  /** Begins anew, after something worked. */
  reset(): void {
    this.#dueMs = FIRST_MS;
  }
}

/** Waits; throws the signal's reason as soon as that is aborted. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });
  signal.throwIfAborted();
}
