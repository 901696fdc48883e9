// Managing API keys. What the console signs in with can't; so the page of the keys asks for a key that can, holds it in the
// page's memory alone while it is shown, and for a few minutes at most.
import { computed, signal } from "@preact/signals";
import type { Client } from "@quarterdeck/client";
import { connect } from "../api";
import { account, client, scopes } from "./account";

/** The scope that it is about. */
const SCOPE = "admin.keys";
/** How long such a key is held, in milliseconds. */
const HELD_MS = 5 * 60_000;

interface Elevated {
  readonly client: Client;
  /** What the key may do, and may give to others. */
  readonly scopes: readonly string[];
}

const held = signal<Elevated | undefined>(undefined);
let timer = 0;

/** Whose calls manage keys; undefined until a key was entered that may. */
export const keyManager = computed<Elevated | undefined>(() => {
  if (account.value.state !== "in") return undefined;
  return scopes.value.has(SCOPE) ? { client: client(), scopes: [...scopes.value] } : held.value;
});

/** Takes a key for a while. Throws where it is not taken, may not manage keys, or is another tenant's. */
export async function elevate(key: string): Promise<void> {
  const calls = connect(key);
  try {
    const who = await calls.whoAmI({});
    if (!who.scopes.includes(SCOPE)) throw new Error(`This key may not manage keys: it lacks the scope ${SCOPE}.`);
    if (account.value.state !== "in" || tenantOf(who.principal) !== tenantOf(account.value.who.principal)) {
      throw new Error("This key is of another tenant than the one you are signed in to.");
    }
    drop();
    held.value = { client: calls, scopes: who.scopes };
    timer = window.setTimeout(drop, HELD_MS);
  } catch (error) {
    calls.close();
    throw error;
  }
}

/** Forgets it. */
export function drop(): void {
  window.clearTimeout(timer);
  held.value?.client.close();
  held.value = undefined;
}

function tenantOf(principal: string): string {
  return principal.slice(0, Math.max(principal.indexOf("/"), 0));
}
