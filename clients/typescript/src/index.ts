/** The client for browsers, by gRPC-web; or over any transport of Connect. */
import type { Transport } from "@connectrpc/connect";
import type { AddressOptions } from "./address.js";
import { type Client, clientOver } from "./client.js";
import type { ClientTuning } from "./link.js";
import { connectWeb } from "./web.js";

export * from "./core.js";

/** A server by its address, or a transport that brings its own key. */
export type ClientOptions = ClientTuning & (AddressOptions | { transport: Transport });

/** Makes a client. It connects at its first call. Throws a TypeError where address or key can't be used. */
export function createClient(options: ClientOptions = {}): Client {
  if ("transport" in options) {
    const explain = (error: Error) => `can't reach the server: ${error.message}`;
    return clientOver({ transport: options.transport, explain, close: () => {} }, options);
  }
  return clientOver(connectWeb(options), options);
}
