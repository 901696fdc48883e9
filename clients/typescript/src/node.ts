/** The client for Node.js: gRPC over HTTP/2, TLS, and what the environment says. */
import type { ClientSessionOptions, SecureClientSessionOptions } from "node:http2";
import { connect as connectSocket } from "node:net";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { type AddressOptions, type Target, target } from "./address.js";
import { type Client, clientOver } from "./client.js";
import { type QuarterdeckError, Unavailable } from "./codes.js";
import type { ClientTuning, Connection } from "./link.js";
import { authorize } from "./web.js";

export * from "./core.js";

/** Time to connect, in milliseconds. */
const CONNECT_MS = 5_000;
/** Silence after which the server is asked whether it is there, and time for its answer, in milliseconds. */
const PING_MS = 10_000;
/** Largest answer, in bytes: the longest reply of a turn, and a page of messages. */
const ANSWER_MAX_BYTES = 64 * 1024 * 1024;

/** What calls over a unix socket name as their origin. */
const SOCKET_ORIGIN = "http://localhost";

/** What Node.js calls a certificate whose signer is not trusted. */
const CERTIFICATE_PROBLEMS: ReadonlySet<string> = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

/** Certificates for `https://` addresses, in PEM. */
export interface TlsOptions {
  /** CA certificates that the server's is checked against. Default: those that Node.js trusts. */
  ca?: string | Uint8Array | undefined;
  /** Our own certificate, for servers that ask for one. */
  cert?: string | Uint8Array | undefined;
  /** Its private key. */
  key?: string | Uint8Array | undefined;
}

/** How to reach a server. What is not given comes from `QUARTERDECK_ADDR` and `QUARTERDECK_KEY`. */
export interface NodeClientOptions extends AddressOptions, ClientTuning {
  /**
   * `http://HOST:PORT`, `https://HOST:PORT`, or `unix:PATH` for the server's socket, where its own user needs no key.
   * Default: `QUARTERDECK_ADDR`, or `http://127.0.0.1:7777`.
   */
  address?: string | undefined;
  /** For `https://` addresses. */
  tls?: TlsOptions | undefined;
}

/** Makes a client. It connects at its first call. Throws a TypeError where address, key or certificates can't be used. */
export function createClient(options: NodeClientOptions = {}): Client {
  const given: NodeClientOptions = {
    ...options,
    address: options.address ?? process.env.QUARTERDECK_ADDR,
    key: options.key ?? process.env.QUARTERDECK_KEY,
  };
  return clientOver(connectNode(given), given);
}

function connectNode(options: NodeClientOptions): Connection {
  const socket = socketOf(options.address);
  const where = target(socket === undefined ? options : { ...options, address: SOCKET_ORIGIN });
  if (options.tls && !where.encrypted) {
    throw new TypeError("certificates are for https:// addresses");
  }
  if (options.tls && (options.tls.cert === undefined) !== (options.tls.key === undefined)) {
    throw new TypeError("a client certificate and its key go together: give both");
  }
  const session: ClientSessionOptions | SecureClientSessionOptions =
    socket === undefined ? secure(options.tls) : { createConnection: () => connectSocket(socket) };
  const ping = { pingIntervalMs: PING_MS, pingTimeoutMs: PING_MS };
  const manager = new Http2SessionManager(where.baseUrl, ping, session);
  const transport = createGrpcTransport({
    baseUrl: where.baseUrl,
    sessionManager: manager,
    interceptors: [authorize(where), connectInTime(manager)],
    readMaxBytes: ANSWER_MAX_BYTES,
  });
  return {
    transport,
    explain: (error) => explain(where, options.address ?? where.baseUrl, error),
    close: () => manager.abort(),
  };
}

/** The path of a `unix:PATH` address. */
function socketOf(address: string | undefined): string | undefined {
  if (!address?.startsWith("unix:")) {
    return undefined;
  }
  const path = address.slice("unix:".length).replace(/^\/\/(?=\/)/, "");
  if (path === "") {
    throw new TypeError("the address can't be used: unix: needs the path of the server's socket");
  }
  return path;
}

function secure(tls: TlsOptions | undefined): SecureClientSessionOptions {
  const pem = (given: string | Uint8Array) => (typeof given === "string" ? given : Buffer.from(given));
  return {
    ...(tls?.ca === undefined ? {} : { ca: pem(tls.ca) }),
    ...(tls?.cert === undefined ? {} : { cert: pem(tls.cert) }),
    ...(tls?.key === undefined ? {} : { key: pem(tls.key) }),
  };
}

/** Gives up a connection that does not come to be; the transport itself would wait as long as the system does. */
function connectInTime(manager: Http2SessionManager): Interceptor {
  return (next) => async (request) => {
    const timer = setTimeout(() => {
      const message = `no connection within ${CONNECT_MS / 1000} s`;
      manager.abort(new Unavailable({ code: "UNAVAILABLE", message }));
    }, CONNECT_MS);
    try {
      if ((await manager.connect()) === "error") {
        throw ConnectError.from(manager.error() ?? "the connection was lost", Code.Unavailable);
      }
    } finally {
      clearTimeout(timer);
    }
    return next(request);
  };
}

function explain(where: Target, address: string, error: QuarterdeckError): string {
  return `can't reach ${address}: ${error.message}. ${advice(where, error)}`;
}

/** What to do, by what Node.js calls the problem. */
function advice(where: Target, error: QuarterdeckError): string {
  const code = codeBelow(error);
  if (code?.startsWith("ERR_TLS_CERT_ALTNAME")) {
    return "The server's certificate is for another name than the address has.";
  }
  if (code && CERTIFICATE_PROBLEMS.has(code)) {
    return "Nobody that is trusted here has signed the server's certificate: give its CA as `tls.ca`.";
  }
  return where.encrypted
    ? "Is the server running there, with TLS?"
    : "Is the server running there (`quarterdeck serve`), without TLS? Another address is given as `address` or QUARTERDECK_ADDR.";
}

/** The code that Node.js gave the innermost cause that has one. */
function codeBelow(error: unknown): string | undefined {
  if (!(error instanceof Error)) {
    return undefined;
  }
  const code = "code" in error && typeof error.code === "string" ? error.code : undefined;
  return codeBelow(error.cause) ?? code;
}
