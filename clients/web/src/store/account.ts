// Who uses the console: the key, where it is kept, and what it may do.
//
// The key lives in sessionStorage, and in localStorage only where a person asked for that. It goes into the
// authorization header and nowhere else.
import { Code } from "@connectrpc/connect";
import { computed, signal } from "@preact/signals";
import { type Api, CALL_TIMEOUT_MS, connect, explain, failureOf } from "../api";
import { CredentialKind, type WhoAmIResponse } from "../proto";

/** Name under which the key is kept. */
const STORED = "quarterdeck.key";

/** Whether somebody is signed in. */
export type Account =
  | { readonly state: "checking" }
  | { readonly state: "out"; readonly message: string }
  | { readonly state: "unreachable"; readonly message: string }
  | { readonly state: "in"; readonly who: WhoAmIResponse; readonly api: Api };

export const account = signal<Account>({ state: "checking" });

/** Scopes of the caller; empty before it is known. */
export const scopes = computed<ReadonlySet<string>>(() =>
  account.value.state === "in" ? new Set(account.value.who.scopes) : new Set(),
);

/** The calls of whoever is signed in. */
export function api(): Api {
  if (account.value.state !== "in") throw new Error("nobody is signed in");
  return account.value.api;
}

/** True where the server asks for no key, so that there is nothing to sign out of. */
export const open = computed(
  () => account.value.state === "in" && account.value.who.credential === CredentialKind.NONE,
);

/** Goes in with the stored key, or without one where the server asks for none. */
export async function start(): Promise<void> {
  const key = storedKey();
  account.value = { state: "checking" };
  const message = await enter(key);
  if (message === undefined || account.value.state === "unreachable") return;
  if (key !== "") eraseKey();
  account.value = { state: "out", message: key === "" ? "" : message };
}

/** Signs in; answers what is wrong, or nothing. */
export async function signIn(key: string, remember: boolean): Promise<string | undefined> {
  const message = await enter(key);
  if (message !== undefined) {
    if (account.value.state !== "out") account.value = { state: "out", message };
    return message;
  }
  sessionStorage.setItem(STORED, key);
  if (remember) localStorage.setItem(STORED, key);
  return undefined;
}

/** Forgets the key and everything that was read with it. */
export function signOut(message = ""): void {
  eraseKey();
  if (message === "") window.location.hash = "";
  account.value = { state: "out", message };
}

/** Signs out where the server says that the key is not valid any more. Answers whether it did. */
export function endIfRefused(error: unknown): boolean {
  if (failureOf(error).code !== Code.Unauthenticated) return false;
  signOut(explain(error));
  return true;
}

async function enter(key: string): Promise<string | undefined> {
  // Headers can't hold these, and no key has them.
  if (/[^\x21-\x7e]/.test(key)) return "A key has no blanks and no special characters.";
  const calls = connect(key);
  try {
    const who = await calls.admin.whoAmI({}, { timeoutMs: CALL_TIMEOUT_MS });
    account.value = { state: "in", who, api: calls };
    return undefined;
  } catch (error) {
    const { code } = failureOf(error);
    if (code !== Code.Unauthenticated && account.value.state === "checking") {
      account.value = { state: "unreachable", message: explain(error) };
    }
    return explain(error);
  }
}

function storedKey(): string {
  const remembered = localStorage.getItem(STORED);
  if (remembered !== null) sessionStorage.setItem(STORED, remembered);
  return sessionStorage.getItem(STORED) ?? "";
}

function eraseKey(): void {
  sessionStorage.removeItem(STORED);
  localStorage.removeItem(STORED);
}
