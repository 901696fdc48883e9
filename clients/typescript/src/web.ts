/** gRPC-web by `fetch`: for pages, and for whatever else has `fetch` and no HTTP/2. */
import type { Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { type AddressOptions, type Target, target } from "./address.js";
import type { Connection } from "./link.js";

/** A connection to an address by gRPC-web. */
export function connectWeb(options: AddressOptions): Connection {
  const where = target(options);
  return {
    transport: createGrpcWebTransport({ baseUrl: where.baseUrl, interceptors: [authorize(where)] }),
    explain: (error) =>
      `can't reach ${where.baseUrl}: ${error.message}. Is the server running, with \`grpc_web = true\` and this page's origin among \`grpc_web_origins\`?`,
    close: () => {},
  };
}

/** Puts the key into the header of every call. */
export function authorize(where: Target): Interceptor {
  return (next) => (request) => {
    if (where.authorization !== undefined) {
      request.header.set("authorization", where.authorization);
    }
    return next(request);
  };
}
