// What runs in the page: Connect-ES speaks gRPC-web, from the contract's descriptors alone. Each function of `window.calls`
// makes calls and returns what the test looks at.
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

const ROLE_ASSISTANT = 2;
const query = new URLSearchParams(location.search);
const transport = createGrpcWebTransport({
  baseUrl: query.get("gateway"),
  interceptors: [
    (next) => (request) => {
      if (query.get("key")) request.header.set("authorization", `Bearer ${query.get("key")}`);
      return next(request);
    },
  ],
});

async function client() {
  const bytes = new Uint8Array(await (await fetch("/contract.binpb")).arrayBuffer());
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, bytes));
  return createClient(registry.getService("quarterdeck.v1.GatewayService"), transport);
}

const show = (text) => {
  const line = document.createElement("pre");
  line.textContent = text;
  document.body.append(line);
};

// How a failed call looks to a page.
const failed = (error) => {
  const { code, rawMessage, metadata } = ConnectError.from(error);
  return { code: Code[code], message: rawMessage, details: atob64(metadata.get("grpc-status-details-bin")) };
};
const atob64 = (text) => (text ? atob(text.replace(/-/g, "+").replace(/_/g, "/")) : "");

window.calls = {
  async unary(session) {
    const gateway = await client();
    const { turn } = await gateway.enqueue({ sessionKey: session, text: "hello from a page" });
    const ended = await gateway.awaitTurn({ sessionKey: session, turnId: turn.turnId });
    show(`unary: ${ended.turn.responseText}`);
    return ended.turn.responseText;
  },

  // Subscribes, then enqueues; each token is kept with the time at which the page saw it.
  async stream(session) {
    const gateway = await client();
    await gateway.createSession({ sessionKey: session });
    const tokens = [];
    let completed = "";
    for await (const { kind } of gateway.subscribe({ sessionKey: session })) {
      if (kind.case === "caughtUp") await gateway.enqueue({ sessionKey: session, text: "!delay=60ms one two three four five" });
      if (kind.case === "token") tokens.push([kind.value.delta, performance.now()]);
      if (kind.case === "messageCompleted" && kind.value.role === ROLE_ASSISTANT) completed = kind.value.text;
      if (kind.case === "turnEnded") break;
    }
    show(`stream: ${tokens.map(([text, at]) => `${text.trim()} at ${at.toFixed()} ms`).join(", ")}`);
    return { tokens, completed };
  },

  async refused() {
    const gateway = await client();
    const wrong = await gateway.enqueue({ sessionKey: "no/path", text: "x" }).catch(failed);
    show(`refused: ${wrong.code}, ${wrong.message}`);
    return wrong;
  },

  // A stream that is aborted after its first event.
  async abort(session) {
    const gateway = await client();
    await gateway.createSession({ sessionKey: session });
    const controller = new AbortController();
    try {
      for await (const _ of gateway.subscribe({ sessionKey: session }, { signal: controller.signal })) controller.abort();
      return "ended";
    } catch (error) {
      show(`abort: ${failed(error).code}`);
      return failed(error).code;
    }
  },

  async deadline(session) {
    const gateway = await client();
    const { turn } = await gateway.enqueue({ sessionKey: session, text: "!hang x" });
    const late = await gateway
      .awaitTurn({ sessionKey: session, turnId: turn.turnId }, { timeoutMs: 300 })
      .catch(failed);
    show(`deadline: ${late.code}`);
    return late.code;
  },

  async find(session) {
    const gateway = await client();
    const found = await gateway.getSession({ sessionKey: session }).catch(failed);
    return found.code ?? found.session.sessionKey;
  },

  // As a page of a stranger would try: with gRPC-web, and as a call that needs no preflight.
  async foreign(session) {
    const gateway = await client();
    const asked = await gateway.enqueue({ sessionKey: session, text: "from a stranger" }).catch(failed);
    const plain = await fetch(`${query.get("gateway")}/quarterdeck.v1.GatewayService/Enqueue`, {
      method: "POST",
      mode: "no-cors",
      headers: { "content-type": "text/plain" },
      body: "x",
    }).then(
      (response) => response.type,
      (error) => String(error),
    );
    show(`foreign: ${asked.code ?? "accepted"}, ${asked.message ?? ""}; without preflight: ${plain}`);
    return { code: asked.code, plain };
  },
};
