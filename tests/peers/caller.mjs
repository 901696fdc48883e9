// Calls a running server with Node's @grpc/grpc-js, from the proto files as they stand.
//
//     caller.mjs HOST:PORT PROTO-DIRECTORY [KEY]
import assert from "node:assert/strict";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const [address, protos, key] = process.argv.slice(2);
const PATIENCE = 30_000; // milliseconds
const GZIP = 2; // as grpc-js numbers compressions

const definition = loader.loadSync("quarterdeck/v1/gateway.proto", {
  includeDirs: [protos],
  keepCase: true,
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
});
const { GatewayService } = grpc.loadPackageDefinition(definition).quarterdeck.v1;
const plain = new GatewayService(address, grpc.credentials.createInsecure());
const gzip = new GatewayService(address, grpc.credentials.createInsecure(), {
  "grpc.default_compression_algorithm": GZIP,
});

const metadata = () => {
  const all = new grpc.Metadata();
  if (key) all.set("authorization", `Bearer ${key}`);
  return all;
};
const within = (milliseconds) => ({ deadline: Date.now() + milliseconds });
const call = (method, request, milliseconds = PATIENCE, client = plain) =>
  new Promise((resolve, reject) =>
    client[method](request, metadata(), within(milliseconds), (error, answer) => (error ? reject(error) : resolve(answer))),
  );

let checks = 0;
const check = (name) => {
  checks += 1;
  console.log(`  ok ${name}`);
};

const accepted = await call("Enqueue", { session_key: "grpc-js", text: "hello from grpc-js", request_id: "once" });
const again = await call("Enqueue", { session_key: "grpc-js", text: "hello from grpc-js", request_id: "once" });
assert.equal(again.turn.turn_id, accepted.turn.turn_id);
assert.equal(again.replayed, true);
check("Enqueue, and the same once more");

let text = "";
const story = plain.Subscribe({ session_key: "grpc-js", from_oldest: true }, metadata());
for await (const event of story) {
  if (event.kind === "message_completed" && event.message_completed.role === "ROLE_ASSISTANT")
    text = event.message_completed.text;
  if (event.kind === "turn_ended") break;
}
story.on("error", () => {}); // says that it was cancelled
story.cancel();
assert.equal(text, "hello from grpc-js");
check("Subscribe from the oldest event to the turn's end");

const wrong = await call("Enqueue", { session_key: "no/path", text: "x" }).catch((error) => error);
assert.equal(wrong.code, grpc.status.INVALID_ARGUMENT);
const [details] = wrong.metadata.get("grpc-status-details-bin");
assert.ok(details.includes("INVALID_FIELD") && details.includes("google.rpc.BadRequest"), details.toString());
check("an error's details");

const hanging = await call("Enqueue", { session_key: "grpc-js-hangs", text: "!hang x" });
const late = await call("AwaitTurn", { session_key: "grpc-js-hangs", turn_id: hanging.turn.turn_id }, 300).catch(
  (error) => error,
);
assert.equal(late.code, grpc.status.DEADLINE_EXCEEDED);
check("a deadline");

const events = plain.Subscribe({ session_key: "grpc-js-hangs", from_oldest: true }, metadata());
const ended = new Promise((resolve) => events.once("error", resolve));
events.once("data", () => events.cancel());
assert.equal((await ended).code, grpc.status.CANCELLED);
const { aborted } = await call("Abort", { session_key: "grpc-js-hangs" });
assert.equal(aborted, true);
check("a cancelled stream; the connection goes on");

const large = "word ".repeat(80_000); // 400 000 bytes; gzip makes few of it
const compressed = await call("Enqueue", { session_key: "grpc-js-gzip", text: large }, PATIENCE, gzip);
const done = await call(
  "AwaitTurn",
  { session_key: "grpc-js-gzip", turn_id: compressed.turn.turn_id },
  PATIENCE,
  gzip,
);
assert.equal(done.turn.text, large);
check("a request compressed with gzip, and its answer");

console.log(`${checks} checks passed`);
plain.close();
gzip.close();
