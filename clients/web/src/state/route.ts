// What the page shows, as it stands in the location's hash. Never a key, never an address of a server.

/** A place in the console. */
export type Route =
  | { readonly place: "sessions"; readonly sessionKey: string }
  | { readonly place: Page };

/** Places that are one page. */
const PAGES = ["turns", "schedules", "webhooks", "workers", "routing", "memory", "usage", "connections", "logs", "keys", "configuration", "server"] as const;

/** One of them. */
export type Page = (typeof PAGES)[number];

/** Grammar of session keys, as the contract has it. */
const SESSION_KEY = /^[A-Za-z0-9][A-Za-z0-9._:@~+=-]{0,127}$/;

/** True where a text can be the key of a session. */
export function isSessionKey(text: string): boolean {
  return SESSION_KEY.test(text);
}

/** Reads a hash; what can't be read is the list of sessions. */
export function parseRoute(hash: string): Route {
  const [place, rest] = split(hash.replace(/^#\/?/, ""));
  const page = PAGES.find((each) => each === place);
  if (page) return { place: page };
  const key = place === "session" ? decode(rest) : "";
  return { place: "sessions", sessionKey: isSessionKey(key) ? key : "" };
}

/** The hash of a place. */
export function hashOf(route: Route): string {
  if (route.place !== "sessions") return `#/${route.place}`;
  return route.sessionKey === "" ? "#/" : `#/session/${encodeURIComponent(route.sessionKey)}`;
}

function split(path: string): [string, string] {
  const at = path.indexOf("/");
  return at < 0 ? [path, ""] : [path.slice(0, at), path.slice(at + 1)];
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
