/** Unary calls over real connections. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { BadRequestSchema, ErrorInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";
import { AdminService } from "../src/gen/quarterdeck/v1/admin_pb.js";
import { GatewayService } from "../src/gen/quarterdeck/v1/gateway_pb.js";
import { ScheduleService } from "../src/gen/quarterdeck/v1/schedule_pb.js";
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

test("a list is one loop, which asks for no page that it does not need", async () => {
  const asked: string[] = [];
  await withGateway(
    (router) => {
      router.service(GatewayService, {
        listSessions({ pageToken, pageSize, filter }) {
          asked.push(`${filter?.keyPrefix} ${pageSize} ${pageToken}`);
          const last = pageToken === "b";
          return {
            sessions: [{ sessionKey: pageToken || "first" }, {}],
            nextPageToken: last ? "" : pageToken ? "b" : "a",
          };
        },
      });
      router.service(ScheduleService, {
        listSchedules: () => ({ schedules: [{ scheduleName: "nightly" }] }),
      });
    },
    async (client) => {
      const keys: string[] = [];
      for await (const { sessionKey } of client.allSessions({ pageSize: 2, filter: { keyPrefix: "x" } })) {
        keys.push(sessionKey);
      }
      assert.deepEqual(keys, ["first", "", "a", "", "b", ""]);
      assert.deepEqual(asked, ["x 2 ", "x 2 a", "x 2 b"]);
      for await (const _ of client.allSessions({})) {
        break;
      }
      assert.equal(asked.length, 4);
      for await (const { scheduleName } of client.allSchedules()) {
        assert.equal(scheduleName, "nightly");
      }
    },
  );
});

test("a server is reached by its socket, and a missing one is named", async () => {
  const directory = await mkdtemp(join(tmpdir(), "quarterdeck-"));
  const path = join(directory, "server.sock");
  const routes = (router: ConnectRouter) =>
    router.service(AdminService, {
      whoAmI: (_, { requestHeader }) => ({ principal: requestHeader.get("authorization") ?? "by its socket" }),
    });
  const server = createServer(connectNodeAdapter({ routes }));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const client = createClient({ address: `unix:${path}`, key: "" });
  assert.equal((await client.whoAmI({})).principal, "by its socket");
  client.close();
  await new Promise((resolve) => server.close(resolve));
  const nobody = createClient({ address: `unix:${path}`, key: "" });
  await assert.rejects(nobody.whoAmI({}), { name: "Unavailable", message: /can't reach unix:/ });
  nobody.close();
  await rm(directory, { recursive: true });
  assert.throws(() => createClient({ address: "unix:", key: "" }), /needs the path/);
});

test("errors are printed with their reason", async () => {
  const violations = {
    desc: BadRequestSchema,
    value: { fieldViolations: [{ field: "text", description: "is empty" }] },
  };
  const info = { desc: ErrorInfoSchema, value: { reason: "INVALID_FIELD", domain: "quarterdeck" } };
  await withGateway(
    (router) =>
      router.service(GatewayService, {
        enqueue() {
          throw new ConnectError("a field is wrong", Code.InvalidArgument, undefined, [info, violations]);
        },
      }),
    (client) =>
      assert.rejects(client.enqueue({}), (error) => {
        assert.equal(String(error), "INVALID_FIELD: a field is wrong; text: is empty");
        return true;
      }),
  );
});
