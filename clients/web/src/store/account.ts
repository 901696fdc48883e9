// Who uses the console: the sign-in, where it is kept, and what it may do.
//
// The key that a person enters is sent once, to be exchanged for a credential of at most 12 hours that makes no keys, and
// is then forgotten. That credential lives in sessionStorage, and in localStorage only where a person asked for that. It
// goes into the authorization header and nowhere else.
import { computed, signal } from "@preact/signals";
import { type Client, CredentialKind, type WhoAmIResponse } from "@quarterdeck/client";
import { connect, explain, isUnauthenticated } from "../api";
import { forgetDrafts } from "./drafts";

/** Name under which the exchanged credential is kept. */
const STORED = "quarterdeck.key";
/** How credentials begin that a key was exchanged for. */
const EXCHANGED = "qdx_";
/** What is said at the end of a sign-in: nothing is wrong. */
const ENDED = "Your sign-in has ended, as it does after 12 hours. Sign in again to go on where you were.";

/** Whether somebody is signed in. */
export type Account =
  | { readonly state: "checking" }
  | { readonly state: "out"; readonly message: string }
  | { readonly state: "unreachable"; readonly message: string }
  | { readonly state: "in"; readonly who: WhoAmIResponse; readonly client: Client };

/** Longest time that a browser's timer takes, in milliseconds. */
const TIMER_MAX_MS = 2 ** 31 - 1;
/** How far the clocks of browser and server may be apart, in milliseconds. */
const CLOCKS_APART_MS = 60_000;

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
    // What an earlier console kept is a key itself: it is exchanged now.
    if (key === "" || key.startsWith(EXCHANGED)) await enter(key);
    else await signIn(key, localStorage.getItem(STORED) !== null);
  } catch (error) {
    if (!isUnauthenticated(error)) {
      account.value = { state: "unreachable", message: explain(error) };
      return;
    }
    eraseKey();
    account.value = { state: "out", message: key === "" ? "" : ENDED };
  }
}

/** Signs in with a key or token, which is kept nowhere. Throws where it is not taken. */
export async function signIn(key: string, remember: boolean): Promise<void> {
  const once = connect(key);
  try {
    const { credential } = await once.whoAmI({});
    // A server that asks for no key has nothing to exchange.
    const kept = credential === CredentialKind.NONE ? "" : (await once.exchangeCredential({})).secret;
    await enter(kept);
    eraseKey();
    if (kept !== "") sessionStorage.setItem(STORED, kept);
    if (kept !== "" && remember) localStorage.setItem(STORED, kept);
  } finally {
    once.close();
  }
}

/** Forgets the key and everything that was read with it. */
export function signOut(message = ""): void {
  eraseKey();
  window.clearTimeout(ending);
  // Who signs in next may be somebody else. A key that ended leaves them: the same person comes back.
  if (message === "") forgetDrafts();
  if (message === "") window.location.hash = "";
  if (account.value.state === "in") account.value.client.close();
  account.value = { state: "out", message };
}

/** Signs out where the server says that the key is not valid any more. Answers whether it did. */
export function endIfRefused(error: unknown): boolean {
  if (!isUnauthenticated(error)) return false;
  signOut(isOver() ? ENDED : explain(error));
  return true;
}

/** Signs out when the credential ends. */
let ending = 0;

async function enter(key: string): Promise<void> {
  const calls = connect(key);
  const who = await calls.whoAmI({});
  account.value = { state: "in", who, client: calls };
  window.clearTimeout(ending);
  const end = endOf(who);
  if (end !== undefined && end - Date.now() < TIMER_MAX_MS) {
    ending = window.setTimeout(() => signOut(ENDED), Math.max(end - Date.now(), 0));
  }
}

function endOf(who: WhoAmIResponse): number | undefined {
  return who.expireTime === undefined ? undefined : Number(who.expireTime.seconds) * 1000;
}

/** True where the time of the credential is over, by this browser's clock. */
function isOver(): boolean {
  const end = account.value.state === "in" ? endOf(account.value.who) : undefined;
  return end !== undefined && end <= Date.now() + CLOCKS_APART_MS;
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
