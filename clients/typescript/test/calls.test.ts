/** Unary calls over real connections. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { GatewayService } from "../src/gen/quarterdeck/v1/gateway_pb.js";
import { errors } from "../src/index.js";
import { createClient } from "../src/node.js";
import { forever, refusal, TestGateway, withGateway } from "./gateway.js";

test("a call is repeated with its one request id until there is an answer", async () => {
  const ids: string[] = [];
  await withGateway(
    (router) =>
      router.service(GatewayService, {
        enqueue({ requestId }) {
          ids.push(requestId);
          if (ids.length < 3) {
            throw refusal(Code.Unavailable, "DRAINING", {}, 10);
          }
          return { seq: 7n };
        },
      }),
    async (client) => {
      assert.equal((await client.enqueue({ sessionKey: "s", text: "t" })).seq, 7n);
      assert.equal(ids.length, 3);
      assert.equal(new Set(ids).size, 1);
      await client.enqueue({ sessionKey: "s", text: "t" });
      assert.notEqual(ids[3], ids[0]);
      await client.enqueue({ sessionKey: "s", text: "t", requestId: "mine" });
      assert.equal(ids[4], "mine");
    },
  );
});

test("nothing but UNAVAILABLE is repeated", async () => {
  const codes = [Code.ResourceExhausted, Code.Aborted, Code.Internal, Code.DeadlineExceeded, Code.Unknown];
  let calls = 0;
  await withGateway(
    (router) =>
      router.service(GatewayService, {
        abort() {
          throw refusal(codes[calls++] ?? Code.Unknown, "INTERNAL", {}, 1);
        },
      }),
    async (client) => {
      for (const _ of codes) {
        await assert.rejects(client.abort({ sessionKey: "s" }), errors.QuarterdeckError);
      }
      assert.equal(calls, codes.length);
    },
  );
});

test("patience ends, and the last error is told", async () => {
  await withGateway(
    (router) =>
      router.service(GatewayService, {
        abort() {
          throw refusal(Code.Unavailable, "STORE_UNAVAILABLE", {}, 20);
        },
      }),
    (client) => assert.rejects(client.abort({ sessionKey: "s" }), errors.StoreUnavailable),
    { patienceMs: 100 },
  );
});

test("a deadline and a signal end a call that hangs", async () => {
  await withGateway(
    (router) => router.service(GatewayService, { awaitTurn: (_, context) => forever(context.signal) }),
    async (client) => {
      await assert.rejects(client.awaitTurn({}, { deadlineMs: 50 }), errors.DeadlineExceeded);
      const reason = new Error("enough");
      const controller = new AbortController();
      const call = client.awaitTurn({}, { signal: controller.signal });
      controller.abort(reason);
      await assert.rejects(call, reason);
      await assert.rejects(client.awaitTurn({}, { signal: controller.signal }), reason);
    },
  );
});

test("a server that was never there is reported soon, with what to do", async () => {
  const gateway = await TestGateway.start(() => {});
  const client = createClient({ address: gateway.address, key: "" });
  await gateway[Symbol.asyncDispose]();
  const told = { name: "Unavailable", message: /can't reach http:.*quarterdeck serve/ };
  await assert.rejects(client.whoAmI({}), told);
  await assert.rejects(client.subscribe("s").next(), told);
});

test("errors without a reason of ours keep their code", async () => {
  await withGateway(
    (router) =>
      router.service(GatewayService, {
        reset() {
          throw new ConnectError("no", Code.PermissionDenied);
        },
      }),
    (client) => assert.rejects(client.reset({}), errors.PermissionDenied),
  );
});
