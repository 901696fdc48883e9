/** A gateway for tests: real sockets, answers as each test wants them, connections that can be cut. */
import { createServer, type Http2Server } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { ErrorInfoSchema, RetryInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";
import type { GatewayEvent, GatewayEventSchema } from "../src/gen/quarterdeck/v1/event_pb.js";
import { type Client, createClient, type NodeClientOptions } from "../src/node.js";

/** An event as the fake gateway sends it. */
export type EventInit = Exclude<MessageInitShape<typeof GatewayEventSchema>, GatewayEvent>;

/** A server on a port of its own. */
export class TestGateway {
  readonly #sockets = new Set<Socket>();

  private constructor(readonly server: Http2Server) {
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    server.on("session", (session) => session.on("error", () => {}));
  }

  static async start(routes: (router: ConnectRouter) => void): Promise<TestGateway> {
    const gateway = new TestGateway(createServer(connectNodeAdapter({ routes })));
    await new Promise<void>((resolve) => gateway.server.listen(0, "127.0.0.1", resolve));
    return gateway;
  }

  get address(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Ends all connections without a word, after what was written. */
  cut(): void {
    for (const socket of this.#sockets) {
      socket.destroySoon();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** A refusal as the server makes it. */
export function refusal(
  code: Code,
  reason: string,
  metadata: Record<string, string> = {},
  retryMs?: number,
): ConnectError {
  const info = { desc: ErrorInfoSchema, value: { reason, domain: "quarterdeck", metadata } };
  const retry = { desc: RetryInfoSchema, value: { retryDelay: { nanos: (retryMs ?? 0) * 1_000_000 } } };
  return new ConnectError(reason, code, undefined, retryMs === undefined ? [info] : [info, retry]);
}

/** Never ends until the call is given up. */
export function forever(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(new ConnectError("gone", Code.Canceled)), { once: true });
  });
}

/** Plays a story with a client of such a gateway, and ends both. */
export async function withGateway(
  routes: (router: ConnectRouter) => void,
  story: (client: Client, gateway: TestGateway) => Promise<void>,
  options: NodeClientOptions = {},
): Promise<void> {
  const gateway = await TestGateway.start(routes);
  const client = createClient({ address: gateway.address, key: "", ...options });
  try {
    await story(client, gateway);
  } finally {
    client.close();
    await gateway[Symbol.asyncDispose]();
  }
}
