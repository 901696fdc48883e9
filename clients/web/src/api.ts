// Calls to the server that this page came from. There is no way to name another one.
import { type Client, createClient, QuarterdeckError } from "@quarterdeck/client";

/** Calls with `key`; an empty one calls without. Throws where it can't be one. */
export function connect(key: string): Client {
  // Whether a key may go over a connection that others can read is asked where it is entered.
  return createClient({ address: window.location.origin, key, allowPlaintextKey: true });
}

/** True where others on the way can read what this page sends. */
export function isReadableByOthers(): boolean {
  return !window.isSecureContext;
}

/** An error in a sentence. */
export function explain(error: unknown): string {
  if (error instanceof QuarterdeckError) {
    if (error.code === "UNAVAILABLE" && error.reason === "") return "The server can't be reached.";
    const scope = error.metadata.scope;
    if (error.reason === "SCOPE_REQUIRED" && scope) return `This needs the scope ${scope}.`;
    const fields = error.fieldViolations.map(({ field, description }) => `${field} ${description}`);
    return fields.length > 0 ? `${fields.join("; ")}.` : error.message;
  }
  return error instanceof Error ? error.message : "The call failed.";
}

/** Reason of a refusal; empty where it isn't one. */
export function reasonOf(error: unknown): string {
  return error instanceof QuarterdeckError ? error.reason : "";
}

/** True where the server doesn't know the key (any more). */
export function isUnauthenticated(error: unknown): boolean {
  return error instanceof QuarterdeckError && error.code === "UNAUTHENTICATED";
}
