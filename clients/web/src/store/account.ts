// Who uses the console: the key, where it is kept, and what it may do.
//
// The key lives in sessionStorage, and in localStorage only where a person asked for that. It goes into the
// authorization header and nowhere else.
import { computed, signal } from "@preact/signals";
import { type Client, CredentialKind, type WhoAmIResponse } from "@quarterdeck/client";
import { connect, explain, isUnauthenticated } from "../api";
import { forgetDrafts } from "./drafts";

/** Name under which the key is kept. */
const STORED = "quarterdeck.key";

/** Whether somebody is signed in. */
export type Account =
  | { readonly state: "checking" }
  | { readonly state: "out"; readonly message: string }
  | { readonly state: "unreachable"; readonly message: string }
  | { readonly state: "in"; readonly who: WhoAmIResponse; readonly client: Client };

export const account = signal<Account>({ state: "checking" });

/** Scopes of the caller; empty before it is known. */
export const scopes = computed<ReadonlySet<string>>(() =>
  account.value.state === "in" ? new Set(account.value.who.scopes) : new Set(),
);

/** The calls of whoever is signed in. */
export function client(): Client {
  if (account.value.state !== "in") throw new Error("nobody is signed in");
  return account.value.client;
}

/** True where the server asks for no key, so that there is nothing to sign out of. */
export const open = computed(
  () => account.value.state === "in" && account.value.who.credential === CredentialKind.NONE,
);

/** Goes in with the stored key, or without one where the server asks for none. */
export async function start(): Promise<void> {
  const key = storedKey();
  account.value = { state: "checking" };
  try {
    await enter(key);
  } catch (error) {
    if (!isUnauthenticated(error)) {
      account.value = { state: "unreachable", message: explain(error) };
      return;
    }
    eraseKey();
    account.value = { state: "out", message: key === "" ? "" : explain(error) };
  }
}

/** Signs in. Throws where the key is not taken. */
export async function signIn(key: string, remember: boolean): Promise<void> {
  await enter(key);
  sessionStorage.setItem(STORED, key);
  if (remember) localStorage.setItem(STORED, key);
}

/** Forgets the key and everything that was read with it. */
export function signOut(message = ""): void {
  eraseKey();
  // Who signs in next may be somebody else. A key that ended leaves them: the same person comes back.
  if (message === "") forgetDrafts();
  if (message === "") window.location.hash = "";
  if (account.value.state === "in") account.value.client.close();
  account.value = { state: "out", message };
}

/** Signs out where the server says that the key is not valid any more. Answers whether it did. */
export function endIfRefused(error: unknown): boolean {
  if (!isUnauthenticated(error)) return false;
  signOut(explain(error));
  return true;
}

async function enter(key: string): Promise<void> {
  const calls = connect(key);
  const who = await calls.whoAmI({});
  account.value = { state: "in", who, client: calls };
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
