/** Streams over real connections that break. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Code } from "@connectrpc/connect";
import { GatewayService, type SubscribeRequest } from "../src/gen/quarterdeck/v1/gateway_pb.js";
import { Role } from "../src/gen/quarterdeck/v1/message_pb.js";
import { SessionState } from "../src/gen/quarterdeck/v1/session_pb.js";
import { TurnState } from "../src/gen/quarterdeck/v1/turn_pb.js";
import { errors, TurnFailed } from "../src/index.js";
import { type EventInit, forever, refusal, withGateway } from "./gateway.js";

const logId = "log";
const durable = (seq: number): EventInit => ({
  sessionKey: "s",
  logId,
  seq: BigInt(seq),
  kind: { case: "usageRecorded", value: {} },
});

test("a subscription resumes after each cut, with every durable event once", async () => {
  const asked: (bigint | undefined)[] = [];
  const changes: string[] = [];
  await withGateway(
    (router) =>
      router.service(GatewayService, {
        async *subscribe({ cursor }: SubscribeRequest, context) {
          asked.push(cursor?.afterSeq);
          const after = Number(cursor?.afterSeq ?? 0n);
          yield { sessionKey: "s", logId, afterSeq: BigInt(after), kind: { case: "hello" as const, value: {} } };
          // What the reader has already is sent again, as a server must not, to see that it is passed over.
          for (let seq = Math.max(1, after); seq <= after + 2; seq++) {
            yield durable(seq);
          }
          if (asked.length === 2) {
            throw refusal(Code.Unavailable, "DRAINING");
          }
          await forever(context.signal);
        },
      }),
    async (client, gateway) => {
      const onConnection = ({ state }: { state: string }) => changes.push(state);
      const subscription = client.subscribe("s", { fromOldest: true, onConnection });
      const seen: bigint[] = [];
      for await (const event of subscription) {
        if (event.seq === 0n) {
          continue;
        }
        seen.push(event.seq);
        if (event.seq === 8n) {
          break;
        }
        if (event.seq % 2n === 0n && event.seq !== 4n) {
          gateway.cut();
        }
      }
      assert.deepEqual(seen, [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n]);
      assert.deepEqual(asked, [undefined, 2n, 4n, 6n]);
      assert.deepEqual(subscription.cursor, { logId, afterSeq: 8n });
      assert.deepEqual(changes, ["attached", "lost", "attached", "lost", "attached", "lost", "attached"]);
    },
  );
});

test("a silent stream is dead", async () => {
  let opened = 0;
  await withGateway(
    (router) =>
      router.service(GatewayService, {
        async *subscribe({ cursor }, context) {
          opened += 1;
          yield durable(Number(cursor?.afterSeq ?? 0n) + 1);
          await forever(context.signal);
        },
      }),
    async (client) => {
      const subscription = client.subscribe("s", { fromOldest: true, progressIntervalMs: 50 });
      await subscription.next();
      const { value } = await subscription.next();
      assert.equal(value?.seq, 2n);
      assert.equal(opened, 2);
    },
  );
});

test("a void cursor is thrown with the state that takes its place", async () => {
  const session = { sessionKey: "s", sessionId: "id", generation: 2n };
  await withGateway(
    (router) =>
      router.service(GatewayService, {
        async *subscribe() {
          throw refusal(Code.OutOfRange, "CURSOR_EXPIRED");
        },
        async *subscribeMany() {
          throw refusal(Code.FailedPrecondition, "LOG_CHANGED", { session_key: "s" });
        },
        getSessionState: () => ({ session, seq: 40n, logId: "new" }),
      }),
    async (client) => {
      const cursor = { logId: "new", afterSeq: 40n };
      const one = client.subscribe("s", { after: { logId, afterSeq: 3n } });
      await assert.rejects(one.next(), (error) => {
        assert.ok(error instanceof errors.CursorExpired);
        assert.deepEqual(error.resync?.cursor, cursor);
        assert.equal(error.resync.snapshot.session?.sessionId, "id");
        return true;
      });
      assert.equal((await one.next()).done, true);
      const many = client.subscribeMany({ sessions: [{ sessionKey: "s", logId, afterSeq: 3n }, { sessionKey: "t" }] });
      await assert.rejects(many.next(), errors.LogChanged);
      assert.deepEqual(many.cursors, [{ sessionKey: "s", ...cursor }]);
    },
  );
});

test("many sessions resume each at its place; a deleted one is not asked for again", async () => {
  const asked: string[][] = [];
  const of = (sessionKey: string, seq: number): EventInit => ({ ...durable(seq), sessionKey });
  await withGateway(
    (router) =>
      router.service(GatewayService, {
        async *subscribeMany({ cursors }, context) {
          asked.push(
            cursors.map(({ sessionKey, afterSeq, events }) => `${sessionKey}${afterSeq}${events?.kinds ?? []}`),
          );
          if (asked.length === 1) {
            yield of("a", 1);
            yield of("b", 1);
            yield { ...of("c", 1), kind: { case: "sessionDeleted" as const, value: {} } };
            yield of("a", 2);
            await forever(context.signal);
          }
          yield of("a", 2);
          yield of("a", 3);
          yield of("b", 2);
        },
      }),
    async (client, gateway) => {
      const seen: string[] = [];
      const sessions = [
        { sessionKey: "a" },
        { sessionKey: "b", events: { kinds: ["usage_recorded"] } },
        { sessionKey: "c" },
      ];
      for await (const event of client.subscribeMany({
        sessions: [...sessions, { sessionKey: "d", fromHead: true }],
      })) {
        seen.push(`${event.sessionKey}${event.seq}`);
        if (seen.length === 4) {
          gateway.cut();
        }
      }
      assert.deepEqual(seen, ["a1", "b1", "c1", "a2", "a3", "b2"]);
      assert.deepEqual(asked[1]?.sort(), ["a2", "b1usage_recorded", "d0"]);
    },
  );
});

test("a session that went while the connection was away ends the stream for who named it alone", async () => {
  let opened = 0;
  const of = (sessionKey: string, seq: number): EventInit => ({ ...durable(seq), sessionKey });
  await withGateway(
    (router) =>
      router.service(GatewayService, {
        async *subscribeMany({ cursors }, context) {
          opened += 1;
          if (opened === 1) {
            yield of("named", 1);
            yield of("matched", 1);
            await forever(context.signal);
          }
          for (const gone of ["matched", "named"]) {
            if (cursors.some(({ sessionKey }) => sessionKey === gone)) {
              throw refusal(Code.NotFound, "SESSION_DELETED", { session_key: gone });
            }
          }
          yield of("other", 1);
        },
      }),
    async (client, gateway) => {
      const many = client.subscribeMany({ filter: {}, sessions: [{ sessionKey: "named" }] });
      await many.next();
      await many.next();
      gateway.cut();
      await assert.rejects(many.next(), errors.SessionDeleted);
      assert.equal(opened, 3);
      assert.deepEqual(many.cursors, []);
    },
  );
});

test("a reader that leaves, closes or waits in vain ends its stream on the server", async () => {
  let open = 0;
  let changed = () => {};
  await withGateway(
    (router) =>
      router.service(GatewayService, {
        async *subscribe(_, context) {
          open += 1;
          context.signal.addEventListener("abort", () => {
            open -= 1;
            changed();
          });
          yield durable(1);
          await forever(context.signal);
        },
      }),
    async (client) => {
      const allEnded = () =>
        new Promise<void>((resolve) => {
          changed = () => open === 0 && resolve();
          changed();
        });
      for await (const _ of client.subscribe("s", { fromOldest: true })) {
        break;
      }
      await allEnded();
      const closed = client.subscribe("s", { fromOldest: true });
      await closed.next();
      const waiting = closed.next();
      closed.close();
      assert.equal((await waiting).done, true);
      await allEnded();
      const controller = new AbortController();
      const aborted = client.subscribe("s", { fromOldest: true, signal: controller.signal });
      await aborted.next();
      const inVain = aborted.next();
      controller.abort();
      await assert.rejects(inVain, { name: "AbortError" });
      await allEnded();
    },
  );
});

test("what a slow reader leaves stays with the server", async () => {
  let sent = 0;
  let stands = () => {};
  const standing = new Promise<void>((resolve) => {
    stands = resolve;
  });
  const text = "x".repeat(16 * 1024);
  await withGateway(
    (router) =>
      router.service(GatewayService, {
        async *subscribe(_, context) {
          while (!context.signal.aborted) {
            // Each write waits for the one before; the first that waits for its reader is not done for long.
            const timer = setTimeout(stands, 500);
            sent += 1;
            yield { ...durable(sent), kind: { case: "messageCompleted", value: { role: Role.ASSISTANT, text } } };
            clearTimeout(timer);
          }
        },
      }),
    async (client) => {
      const subscription = client.subscribe("s", { fromOldest: true });
      await subscription.next();
      await standing;
      const before = sent;
      while (sent < before + 10) {
        await subscription.next();
      }
    },
  );
});

test("a chat goes on after a cut, with each byte once, and fails as its turn does", async () => {
  const requests: { requestId: string; afterSeq: bigint }[] = [];
  const item = (init: EventInit): EventInit => ({ sessionKey: "s", logId, itemId: "i", ...init });
  const token = (offset: number, delta: string) =>
    item({ kind: { case: "token", value: { offset: BigInt(offset), delta } } });
  const ended = (state: TurnState): EventInit => ({
    ...durable(9),
    kind: { case: "turnEnded", value: { turn: { state, error: { reason: "AGENT_ERROR", message: "broken" } } } },
  });
  await withGateway(
    (router) =>
      router.service(GatewayService, {
        async *run({ enqueue, afterSeq }, context) {
          requests.push({ requestId: enqueue?.requestId ?? "", afterSeq });
          if (enqueue?.text === "fail") {
            yield ended(TurnState.FAILED);
            return;
          }
          if (requests.length === 1) {
            yield durable(4);
            yield token(0, "one ");
            yield token(4, "two ");
            await forever(context.signal);
          }
          yield token(4, "two three ");
          yield item({
            ...durable(5),
            kind: { case: "messageCompleted", value: { role: Role.ASSISTANT, text: "one two three four" } },
          });
          yield ended(TurnState.COMPLETED);
        },
      }),
    async (client, gateway) => {
      const pieces: string[] = [];
      for await (const piece of client.chat("s", "count")) {
        pieces.push(piece);
        if (piece === "two ") {
          gateway.cut();
        }
      }
      assert.equal(pieces.join(""), "one two three four");
      assert.equal(requests[1]?.afterSeq, 4n);
      assert.equal(requests[0]?.requestId, requests[1].requestId);
      await assert.rejects(client.chat("s", "fail").next(), (error) => {
        assert.ok(error instanceof TurnFailed);
        assert.deepEqual(
          [error.state, error.reason, error.message],
          ["FAILED", "AGENT_ERROR", "turn  ended FAILED: AGENT_ERROR: broken"],
        );
        return true;
      });
    },
  );
});

test("a watch comes back with a new list", async () => {
  let opened = 0;
  await withGateway(
    (router) =>
      router.service(GatewayService, {
        async *watchSessions(_, context) {
          opened += 1;
          yield { sessionKey: `a${opened}` };
          yield {};
          yield { sessionKey: "b", state: SessionState.RUNNING };
          yield {};
          await forever(context.signal);
        },
      }),
    async (client, gateway) => {
      const told: string[] = [];
      for await (const update of client.watchSessions()) {
        told.push(
          update.kind === "list"
            ? `list ${update.sessions.map((session) => session.sessionKey)}`
            : `changed ${update.session.sessionKey}`,
        );
        if (told.length === 2) {
          gateway.cut();
        }
        if (told.length === 4) {
          break;
        }
      }
      assert.deepEqual(told, ["list a1", "changed b", "list a2", "changed b"]);
    },
  );
});
