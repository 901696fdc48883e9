/** What needs no server: offsets of text, errors by reason, pauses, addresses, numbers. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { isLoopback, target } from "../src/address.js";
import * as answers from "../src/answers.js";
import { Backoff } from "../src/backoff.js";
import { CODE_CLASSES, Unavailable } from "../src/codes.js";
import { fromConnect } from "../src/errors.js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";
import { GatewayEventSchema } from "../src/gen/quarterdeck/v1/event_pb.js";
import { BlockKind, Role } from "../src/gen/quarterdeck/v1/message_pb.js";
import { OptionEffect, QuestionKind, QuestionSchema } from "../src/gen/quarterdeck/v1/question_pb.js";
import { durationToMs, msToDuration, toNumber, toPlain } from "../src/numbers.js";
import { readable } from "../src/readable.js";
import { REASON_CLASSES } from "../src/reasons.js";
import { advance } from "../src/subscribe.js";
import { ScheduleSchema } from "../src/gen/quarterdeck/v1/schedule_pb.js";
import { TurnSchema, TurnState } from "../src/gen/quarterdeck/v1/turn_pb.js";
import { applyDelta, applySnapshot, EMPTY_BLOCK, TextPieces, utf8Length } from "../src/text.js";
import { newRequestId } from "../src/unary.js";

type EventInit = MessageInitShape<typeof GatewayEventSchema>;
const event = (init: EventInit) => create(GatewayEventSchema, { itemId: "i", ...init });
const token = (offset: number, delta: string, contentIndex = 0) =>
  event({ kind: { case: "token", value: { offset: BigInt(offset), delta, contentIndex } } });
const snapshot = (offset: number, text: string, block = BlockKind.TEXT) =>
  event({ kind: { case: "itemSnapshot", value: { offset: BigInt(offset), text, block, role: Role.ASSISTANT } } });
const completed = (text: string, role = Role.ASSISTANT) =>
  event({ kind: { case: "messageCompleted", value: { role, text, blocks: [{ contentIndex: 0, text }] } } });

test("pieces join to the text, whatever was cut and sent again", () => {
  const cases: [string, ReturnType<typeof event>[], string][] = [
    ["in order", [token(0, "a "), token(2, "b"), completed("a b")], "a b"],
    ["a delta twice", [token(0, "a "), token(0, "a "), token(2, "b"), completed("a b")], "a b"],
    ["a delta that overlaps", [token(0, "ab"), token(1, "bcd"), completed("abcd")], "abcd"],
    ["a snapshot of all", [token(0, "ab"), snapshot(0, "abcd"), token(4, "e"), completed("abcde")], "abcde"],
    ["a snapshot of the rest", [token(0, "ab"), snapshot(2, "cd"), completed("abcd")], "abcd"],
    ["missing deltas", [token(0, "ab"), token(5, "fg"), completed("abcdefg")], "abcdefg"],
    ["no deltas", [completed("abc")], "abc"],
    ["bytes are not characters", [token(0, "é😀"), token(6, "x"), snapshot(2, "😀xy"), completed("é😀xy")], "é😀xy"],
    ["a crash took text back", [token(0, "abcd"), completed("abc")], "abcd"],
    ["thinking is no answer", [snapshot(0, "hm", BlockKind.THINKING), token(0, "a"), completed("a")], "a"],
    ["the prompt is no answer", [completed("prompt", Role.USER)], ""],
  ];
  for (const [name, events, expected] of cases) {
    const pieces = new TextPieces();
    assert.equal(events.map((event) => pieces.add(event)).join(""), expected, name);
  }
});

test("blocks of one message are apart, and so are messages", () => {
  const pieces = new TextPieces();
  const blocks = [
    { contentIndex: 0, text: "ab" },
    { contentIndex: 2, text: "cd" },
  ];
  const whole = event({ kind: { case: "messageCompleted", value: { role: Role.ASSISTANT, text: "abcd", blocks } } });
  const given = [token(0, "ab"), token(0, "c", 2), whole, { ...token(0, "next"), itemId: "j" }];
  assert.equal(given.map((event) => pieces.add(event)).join("|"), "ab|c|d|next");
});

test("a block keeps what a snapshot keeps, and never grows over a hole", () => {
  let block = applyDelta(EMPTY_BLOCK, { delta: "é1", offset: 0n });
  block = applyDelta(block, { delta: "hole", offset: 9n });
  assert.deepEqual(block, { text: "é1", bytes: 3 });
  block = applySnapshot(block, { text: "2", offset: 2n });
  assert.deepEqual(block, { text: "é2", bytes: 3 });
  assert.equal(utf8Length("aé€😀\ud800"), Buffer.byteLength("aé€😀\ud800"));
});

test("every reason of the server has a class of its name and code, and no other has one", () => {
  const reasons: { reason: string; code: string }[] = JSON.parse(
    readFileSync("../reasons.json", "utf8"),
  ) as typeof reasons;
  assert.deepEqual([...REASON_CLASSES.keys()].sort(), reasons.map(({ reason }) => reason).sort());
  for (const { reason, code } of reasons) {
    const name = reason.toLowerCase().replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
    const ErrorClass = REASON_CLASSES.get(reason);
    assert.ok(ErrorClass);
    const error = new ErrorClass({ code: code as keyof typeof CODE_CLASSES, message: "" });
    assert.equal(error.name, name);
    assert.ok(error instanceof CODE_CLASSES[code as keyof typeof CODE_CLASSES], `${name} is a ${code}`);
  }
});

test("an error tells all that the server said", () => {
  const refused = new ConnectError("full", Code.ResourceExhausted, undefined, [
    { desc: ErrorInfoSchema, value: { reason: "QUEUE_FULL", domain: "quarterdeck", metadata: { limit: "3" } } },
    { desc: RetryInfoSchema, value: { retryDelay: { seconds: 1n, nanos: 500_000_000 } } },
    { desc: BadRequestSchema, value: { fieldViolations: [{ field: "text", description: "is blank" }] } },
  ]);
  const error = fromConnect(refused);
  assert.equal(error.name, "QueueFull");
  assert.equal(error.code, "RESOURCE_EXHAUSTED");
  assert.deepEqual(error.metadata, { limit: "3" });
  assert.equal(error.retryAfterMs, 1500);
  assert.deepEqual(error.fieldViolations, [{ field: "text", description: "is blank" }]);
});

test("what has no reason of ours is of its code, and a lost connection is UNAVAILABLE", () => {
  const unknown = { reason: "NEW_ONE", domain: "quarterdeck" };
  const newer = new ConnectError("new", Code.NotFound, undefined, [{ desc: ErrorInfoSchema, value: unknown }]);
  const cases: [ConnectError | Error, string][] = [
    [newer, "NotFound"],
    [new ConnectError("HTTP 403", Code.PermissionDenied), "PermissionDenied"],
    [new ConnectError("HTTP 421", Code.Unknown), "Unknown"],
    [new ConnectError("HTTP 503", Code.Unavailable), "Unavailable"],
    [new ConnectError("late", Code.DeadlineExceeded), "DeadlineExceeded"],
    [new ConnectError("read ECONNRESET", Code.Aborted), "Unavailable"],
    [new ConnectError("missing status", Code.Internal), "Unavailable"],
    [new TypeError("Failed to fetch"), "Unavailable"],
  ];
  for (const [thrown, name] of cases) {
    assert.equal(fromConnect(thrown).name, name, thrown.message);
  }
  assert.equal(fromConnect(newer).reason, "NEW_ONE");
  const unavailable = new Unavailable({ code: "UNAVAILABLE", message: "as it is" });
  assert.equal(fromConnect(unavailable), unavailable);
});

test("pauses double up to their bound, are never shorter than asked for, and begin anew", () => {
  const longest = new Backoff(() => 1);
  assert.deepEqual(
    [1, 2, 3, 4, 5, 6, 7, 8].map(() => longest.next()),
    [100, 200, 400, 800, 1600, 3200, 5000, 5000],
  );
  const shortest = new Backoff(() => 0);
  assert.equal(shortest.next(), 50);
  assert.equal(shortest.next(2_000), 2_000);
  shortest.reset();
  assert.equal(shortest.next(), 50);
});

test("the key goes nowhere where others can read it, and is in no message", () => {
  const key = "qdk_secret";
  const authorization = `Bearer ${key}`;
  for (const address of ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1", "https://example.org/"]) {
    assert.equal(target({ address, key }).authorization, authorization, address);
  }
  const far = { address: "http://example.org", key };
  assert.throws(() => target(far), { name: "TypeError", message: /plain HTTP/ });
  assert.equal(target({ ...far, allowPlaintextKey: true }).authorization, authorization);
  assert.equal(target({ address: far.address }).authorization, undefined);
  for (const wrong of [
    { key: `${key}\n` },
    { address: `http://${key}@127.0.0.1:1` },
    { address: `http://127.0.0.1:1?key=${key}` },
    { address: `unix:/${key}` },
    { address: key },
    far,
  ]) {
    assert.throws(
      () => target(wrong),
      (error: Error) => error instanceof TypeError && !error.message.includes(key),
    );
  }
  assert.deepEqual(["127.1.2.3", "a.localhost", "10.0.0.1", "localhost.example.org"].map(isLoopback), [
    true,
    true,
    false,
    false,
  ]);
});

test("numbers of 64 bits survive", () => {
  assert.equal(toNumber(42n), 42);
  assert.throws(() => toNumber(2n ** 53n), RangeError);
  assert.equal(durationToMs(msToDuration(1_234)), 1_234);
  assert.deepEqual(msToDuration(1_234), { seconds: 1n, nanos: 234_000_000 });
  const plain = toPlain(event({ seq: 2n ** 60n, kind: { case: "sessionDeleted", value: {} } }));
  assert.equal(JSON.stringify(plain), '{"seq":"1152921504606846976","itemId":"i","sessionDeleted":{}}');
});

test("request ids are UUIDs, each another one", () => {
  assert.match(newRequestId(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.notEqual(newRequestId(), newRequestId());
});

test("a place moves with what was handed on, never back", () => {
  const place = { cursor: undefined as { logId: string; afterSeq: bigint } | undefined };
  const logId = "l";
  const steps: [EventInit, boolean, bigint | undefined][] = [
    [{ logId, seq: 0n, afterSeq: 4n, kind: { case: "hello", value: { headSeq: 9n } } }, true, 4n],
    [{ logId, seq: 5n, kind: { case: "turnQueued", value: {} } }, true, 5n],
    [{ logId, seq: 5n, kind: { case: "turnQueued", value: {} } }, false, 5n],
    [{ logId, seq: 0n, afterSeq: 5n, kind: { case: "token", value: {} } }, true, 5n],
    [{ logId, seq: 0n, kind: { case: "progress", value: { seq: 8n } } }, true, 8n],
    [{ logId, seq: 7n, kind: { case: "turnEnded", value: {} } }, false, 8n],
    [{ logId, seq: 0n, afterSeq: 2n, kind: { case: "hello", value: {} } }, true, 8n],
    [{ logId, seq: 0n, kind: { case: "caughtUp", value: { seq: 6n } } }, true, 8n],
  ];
  for (const [init, fresh, afterSeq] of steps) {
    assert.equal(advance(place, event(init)), fresh);
    assert.equal(place.cursor?.afterSeq, afterSeq);
  }
});

test("answers choose what holds once, and nothing that is not offered", () => {
  const permission = (...effects: OptionEffect[]) =>
    create(QuestionSchema, {
      kind: QuestionKind.PERMISSION,
      options: effects.map((effect) => ({ optionId: OptionEffect[effect], effect })),
    });
  const { ALLOW_ALWAYS, ALLOW_ONCE, DENY_ALWAYS, DENY_ONCE } = OptionEffect;
  const question = permission(ALLOW_ALWAYS, ALLOW_ONCE, DENY_ALWAYS, DENY_ONCE);
  assert.deepEqual(answers.allow(question), { optionId: "ALLOW_ONCE" });
  assert.deepEqual(answers.deny(question), { optionId: "DENY_ONCE" });
  assert.throws(() => answers.allow(permission(ALLOW_ALWAYS)), TypeError);
  assert.deepEqual(answers.deny(permission(ALLOW_ALWAYS)), { declined: true });
  assert.throws(() => answers.content(undefined), TypeError);
});

test("a question can be made plain", () => {
  assert.deepEqual(toPlain(create(QuestionSchema, { questionId: "q" })), { questionId: "q" });
});

test("messages are readable: names, dates, milliseconds, numbers", () => {
  const turn = create(TurnSchema, { turnId: "t", state: TurnState.COMPLETED, createTime: { seconds: 1_764_493_200n } });
  assert.deepEqual(readable(turn), {
    turnId: "t",
    state: "COMPLETED",
    createTime: new Date(1_764_493_200_000),
  });
  assert.equal(readable(create(TurnSchema, JSON.parse(`{"state": 99}`) as object)).state, 99);
  const schedule = create(ScheduleSchema, {
    spec: { when: { case: "every", value: { seconds: 90n } } },
    remainingRuns: 3n,
    nextTimes: [{ seconds: 1n }],
    enqueue: { metadata: { ticket: "7" } },
  });
  assert.deepEqual(readable(schedule), {
    spec: { every: 90_000 },
    remainingRuns: 3,
    nextTimes: [new Date(1000)],
    enqueue: { metadata: { ticket: "7" } },
  });
});
