/** Every unary call of a service as a method: repeated safely, with a deadline, with typed errors. */
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  type DescService,
  type Message,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import type { CallOptions, Link } from "./link.js";

/** The unary calls of a service: request in, response out. */
export type UnaryCalls<Service extends DescService> = {
  [
    Name in keyof Service["method"] as Service["method"][Name] extends DescMethodUnary ? Name : never
  ]: Service["method"][Name] extends DescMethodUnary<infer Input, infer Output>
    ? (request: MessageInitShape<Input>, options?: CallOptions) => Promise<MessageShape<Output>>
    : never;
};

/** Makes them. */
export function unaryCalls<Service extends DescService>(link: Link, service: Service): UnaryCalls<Service> {
  const calls: Record<string, unknown> = {};
  for (const method of service.methods) {
    if (method.methodKind === "unary") {
      calls[method.localName] = (request: Record<string, unknown>, options?: CallOptions) =>
        callUnary(link, method as DescMethodUnary, request, options);
    }
  }
  return calls as UnaryCalls<Service>;
}

/** Makes one call. A request that can have a `request_id` gets it here, once, so that no try works twice. */
export async function callUnary<Input extends DescMessage, Output extends DescMessage>(
  link: Link,
  method: DescMethodUnary<Input, Output>,
  request: MessageInitShape<Input>,
  options: CallOptions = {},
): Promise<MessageShape<Output>> {
  const message = create(method.input, request);
  identify(method.input, message);
  const scope = link.scope(options, options.deadlineMs ?? link.deadlineMs);
  try {
    return await link.repeat(scope, async (signal, timeoutMs) => {
      const response = await link.transport.unary(method, signal, timeoutMs, undefined, message as never);
      return response.message;
    });
  } finally {
    scope.end();
  }
}

/** Gives the message a `request_id` where it has the field and nobody set it. */
export function identify(schema: DescMessage, message: Message): void {
  const fields = message as Message & { requestId?: string };
  if (schema.field.requestId && !fields.requestId) {
    fields.requestId = newRequestId();
  }
}

/** A random UUID. `crypto.randomUUID` is missing on pages that came over plain HTTP. */
export function newRequestId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
