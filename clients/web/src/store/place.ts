// Where the person is, in step with the location's hash.
import { signal } from "@preact/signals";
import { hashOf, parseRoute, type Route } from "../state/route";

export const route = signal<Route>(parseRoute(window.location.hash));

let read = window.location.hash;

/** Reads the location. It changes at once, its event comes later: a key may be pressed between the two. */
export function arrive(): void {
  if (window.location.hash === read) return;
  read = window.location.hash;
  route.value = parseRoute(read);
}

window.addEventListener("hashchange", arrive);

/** Goes to a place; the browser's back button comes back. */
export function go(to: Route): void {
  const hash = hashOf(to);
  if (hash !== window.location.hash) window.location.hash = hash;
  arrive();
}

/** Goes to a session. */
export function goSession(sessionKey: string): void {
  go({ place: "sessions", sessionKey });
}
