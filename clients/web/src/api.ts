// Calls to the server that this page came from. There is no way to name another one.
import { type Client, Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { AdminService, GatewayService, MemoryService } from "./proto";

/** The services, called with one key. */
export interface Api {
  readonly gateway: Client<typeof GatewayService>;
  readonly memory: Client<typeof MemoryService>;
  readonly admin: Client<typeof AdminService>;
}

/** How a call of the console may take at most, in milliseconds. Streams have no bound. */
export const CALL_TIMEOUT_MS = 30_000;

/** Calls with `key`; an empty one calls without. */
export function connect(key: string): Api {
  const authorize: Interceptor = (next) => (request) => {
    if (key !== "") request.header.set("authorization", `Bearer ${key}`);
    return next(request);
  };
  const transport = createGrpcWebTransport({
    baseUrl: window.location.origin,
    interceptors: [authorize],
    fetch: (input, init) => fetch(input, { ...init, credentials: "omit", redirect: "error", cache: "no-store" }),
  });
  return {
    gateway: createClient(GatewayService, transport),
    memory: createClient(MemoryService, transport),
    admin: createClient(AdminService, transport),
  };
}

/** Why the server refused, or why it wasn't reached. */
export interface Failure {
  readonly code: Code;
  readonly reason: string;
  readonly message: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Reads an error of a call. */
export function failureOf(error: unknown): Failure {
  const refusal = ConnectError.from(error);
  const info = refusal.findDetails(ErrorInfoSchema)[0];
  return {
    code: refusal.code,
    reason: info?.reason ?? "",
    message: refusal.rawMessage,
    metadata: info?.metadata ?? {},
  };
}

/** An error in a sentence. */
export function explain(error: unknown): string {
  const { code, reason, message } = failureOf(error);
  if (code === Code.Unavailable && reason === "") return "The server can't be reached.";
  return message === "" ? "The call failed." : message;
}
