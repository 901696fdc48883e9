// Where the person is, in step with the location's hash.
import { signal } from "@preact/signals";
import { hashOf, parseRoute, type Route } from "../state/route";

export const route = signal<Route>(parseRoute(window.location.hash));

window.addEventListener("hashchange", () => {
  route.value = parseRoute(window.location.hash);
});

/** Goes to a place; the browser's back button comes back. */
export function go(to: Route): void {
  const hash = hashOf(to);
  if (hash !== window.location.hash) window.location.hash = hash;
}

/** Goes to a session. */
export function goSession(sessionKey: string): void {
  go({ place: "sessions", sessionKey });
}
