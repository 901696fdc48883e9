/** Where a server is, and whether a key may go there. Pure. */

/** Address of a server that was started without options. */
export const DEFAULT_ADDRESS = "http://127.0.0.1:7777";

/** How to reach a server, and as whom. */
export interface AddressOptions {
  /** `http://HOST:PORT` or `https://HOST:PORT`. Default: `http://127.0.0.1:7777`. */
  address?: string | undefined;
  /** The API key or other token that calls carry, in the `authorization` header alone. */
  key?: string | undefined;
  /** Sends the key over plain HTTP to an address that is not this machine's. Whoever sees the traffic has the key then. */
  allowPlaintextKey?: boolean | undefined;
}

/** An address that can be used, and the header that goes with it. */
export interface Target {
  /** Origin, and path where there is one; without a slash at the end. */
  baseUrl: string;
  /** True for https. */
  encrypted: boolean;
  /** Value of the `authorization` header; undefined without a key. */
  authorization: string | undefined;
}

/** Checks what was given. Throws a TypeError that says what to do, and never shows the key. */
export function target(options: AddressOptions): Target {
  const address = options.address ?? DEFAULT_ADDRESS;
  const url = parse(address);
  const encrypted = url.protocol === "https:";
  const baseUrl = url.origin + url.pathname.replace(/\/+$/, "");
  if (options.key === undefined || options.key === "") {
    return { baseUrl, encrypted, authorization: undefined };
  }
  if (!/^[\x21-\x7e]+$/.test(options.key)) {
    throw new TypeError("the key must be visible ASCII: is there a line end in it?");
  }
  if (!encrypted && !isLoopback(url.hostname) && !options.allowPlaintextKey) {
    throw new TypeError(
      `the key is not sent to ${url.origin} over plain HTTP, where others can read it: use https://, or set allowPlaintextKey`,
    );
  }
  return { baseUrl, encrypted, authorization: `Bearer ${options.key}` };
}

function parse(address: string): URL {
  let url: URL | undefined;
  try {
    url = new URL(address);
  } catch {
    // Told below.
  }
  if (!url || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new TypeError("the address can't be used: it must be http://HOST:PORT or https://HOST:PORT");
  }
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    throw new TypeError("the address must hold no user, password, query or fragment: give the key as `key`");
  }
  return url;
}

/** True for names and addresses that never leave this machine. */
export function isLoopback(hostname: string): boolean {
  return (
    hostname === "localhost" ||
    hostname.endsWith(".localhost") ||
    hostname === "[::1]" ||
    /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(hostname)
  );
}
