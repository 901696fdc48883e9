/** The client for Node.js: gRPC over HTTP/2, TLS, and what the environment says. */
import type { SecureClientSessionOptions } from "node:http2";
import type { Interceptor } from "@connectrpc/connect";
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
  const where = target(options);
  if (options.tls && !where.encrypted) {
    throw new TypeError("certificates are for https:// addresses");
  }
  if (options.tls && (options.tls.cert === undefined) !== (options.tls.key === undefined)) {
    throw new TypeError("a client certificate and its key go together: give both");
  }
  const ping = { pingIntervalMs: PING_MS, pingTimeoutMs: PING_MS };
  const manager = new Http2SessionManager(where.baseUrl, ping, secure(options.tls));
  const transport = createGrpcTransport({
    baseUrl: where.baseUrl,
    sessionManager: manager,
    interceptors: [authorize(where), connectInTime(manager)],
    readMaxBytes: ANSWER_MAX_BYTES,
  });
  return {
    transport,
    explain: (error) => explain(where, error),
    close: () => manager.abort(),
  };
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
        throw manager.error() ?? new Unavailable({ code: "UNAVAILABLE", message: "the connection was lost" });
      }
    } finally {
      clearTimeout(timer);
    }
    return next(request);
  };
}

function explain(where: Target, error: QuarterdeckError): string {
  const hint = where.encrypted
    ? "Is the server running there with TLS, and is its CA given in `tls.ca`?"
    : "Is the server running there (`quarterdeck serve`)? Another address is given as `address` or QUARTERDECK_ADDR.";
  return `can't reach ${where.baseUrl}: ${error.message}. ${hint}`;
}
