// What pages and forms make of what they get: folding, exports, settings, turns, usage, schedules.
import { create } from "@bufbuild/protobuf";
import { DurationSchema, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  DeliverySchema,
  DeliveryState,
  type Message,
  MessageSchema,
  OverlapPolicy,
  Role,
  RouteSchema,
  ScheduleOutcome,
  ScheduleRunSchema,
  ScheduleSchema,
  ScheduleSpecSchema,
  SessionSnapshotSchema,
  ToolCallState,
  TurnSchema,
  TurnState,
  WebhookSchema,
  WorkerSchema,
  WorkerState,
} from "@quarterdeck/client";
import { expect, test } from "vitest";
import { asJson, asMarkdown, fileName } from "../src/state/export";
import { foldedPrompt } from "../src/state/fold";
import { money } from "../src/state/format";
import { conditionWords, draftOf, moved, routeOf, targetWords } from "../src/state/routing";
import { changedPaths, runState, scheduleState, specOf, specWords, whenOf } from "../src/state/schedules";
import { durationOf, durationText, labelPairs, labelsOf, linesOf } from "../src/state/settings";
import { passesTurnFilter, statesOf, turnBefore, turnWord } from "../src/state/turns";
import { amountOf, microsOf, rangeStart } from "../src/state/usage";
import { answerWords, deliveryState, filterWords, KINDS, pauseWords, USUAL_KINDS, webhookState } from "../src/state/webhooks";
import { waitingForWorker, whyWaiting } from "../src/state/workers";

test("long prompts are folded, short ones and those that are hardly longer are not", () => {
  expect(foldedPrompt("short")).toBeUndefined();
  expect(foldedPrompt("line\n".repeat(24).trim())).toBeUndefined();
  expect(foldedPrompt(Array.from({ length: 40 }, (_, at) => String(at)).join("\n"))).toBe(Array.from({ length: 20 }, (_, at) => String(at)).join("\n"));
  expect(foldedPrompt("x".repeat(5000))?.length).toBe(1200);
  expect(foldedPrompt(`${"x".repeat(1199)}${"😀".repeat(500)}`)).toBe("x".repeat(1199));
});

const session = create(SessionSnapshotSchema, { sessionKey: "a:b/c".replace("/", "@"), displayName: "Two\nlines", agent: "echo", generation: 2n });

function message(role: Role, text: string, more: Partial<Message> = {}): Message {
  return { ...create(MessageSchema, { role, parts: [{ part: { case: "text", value: { text } } }] }), ...more };
}

test("a conversation becomes Markdown whose fences nothing ends", () => {
  const tool = create(MessageSchema, {
    role: Role.TOOL,
    parts: [{ part: { case: "toolCall", value: { toolName: "run", argsJson: '{"a":"````"}', resultJson: "```", state: ToolCallState.ERROR } } }],
  });
  const text = asMarkdown(session, [message(Role.USER, "hello"), tool, message(Role.ASSISTANT, "there", { partial: true })]);
  expect(text).toBe(
    "# Two lines\n\nSession `a:b@c`, agent `echo`, 3 messages.\n\n## You\n\nhello\n\n### Tool run, failed\n\n" +
      '`````json\n{"a":"````"}\n`````\n\n````json\n```\n````\n\n## echo\n\nthere\n\n(Cut off here.)\n',
  );
});

test("a conversation becomes the contract's JSON", () => {
  const { session: about, messages } = JSON.parse(asJson(session, [message(Role.USER, "hello")])) as {
    session: unknown;
    messages: { role: string; parts: unknown[] }[];
  };
  expect(about).toMatchObject({ sessionKey: "a:b@c", generation: "2", agent: "echo" });
  expect(messages[0]).toMatchObject({ role: "ROLE_USER", parts: [{ text: { text: "hello" } }] });
  expect(fileName("a:b@c", "json")).toBe("a_b_c.json");
  expect(fileName("..", "markdown")).toBe("...md");
});

test("settings are read as they are written", () => {
  expect(labelPairs({ b: "2", a: "1" })).toEqual([
    ["a", "1"],
    ["b", "2"],
  ]);
  expect(labelsOf([[" a ", " 1 "], ["", ""], ["__proto__", "x"]])).toEqual(Object.fromEntries([["a", "1"], ["__proto__", "x"]]));
  expect(() => labelsOf([["", "1"]])).toThrow("needs a name");
  expect(() => labelsOf([["a", "1"], ["a", "2"]])).toThrow("twice");
  expect(linesOf(" a \n\n b")).toEqual(["a", "b"]);
  for (const text of ["90s", "15m", "12h", "7d"]) expect(durationText(durationOf(text))).toBe(text);
  expect(durationText(durationOf("120s"))).toBe("2m");
  expect(durationOf(" ")).toBeUndefined();
  for (const odd of ["0s", "7", "d", "1.5h", "-1s", "soon"]) expect(() => durationOf(odd)).toThrow("write it like");
});

test("every state of a turn has a word, and a label or an agent chooses", () => {
  expect(turnWord(TurnState.FAILED)).toEqual(["Failed", "error"]);
  expect(turnWord(TurnState.UNSPECIFIED)).toEqual(["Running", "busy"]);
  for (const state of Object.values(TurnState)) if (typeof state === "number") expect(turnWord(state)[0]).not.toBe("");
  expect(statesOf("failed")).toEqual([TurnState.FAILED]);
  expect(statesOf("other")).toEqual([]);
  const turn = create(TurnSchema, { agent: "echo" });
  const labelled = create(SessionSnapshotSchema, { labels: { team: "search" } });
  for (const [filter, passes] of [
    [{ agent: "", label: "" }, true],
    [{ agent: "echo", label: "team" }, true],
    [{ agent: "echo", label: " team=search " }, true],
    [{ agent: "pi", label: "" }, false],
    [{ agent: "", label: "team=other" }, false],
    [{ agent: "", label: "toString" }, false],
  ] as const) {
    expect(passesTurnFilter(turn, labelled, filter)).toBe(passes);
  }
  expect(passesTurnFilter(turn, undefined, { agent: "", label: "team" })).toBe(false);
});

test("the turn before is the last that started before, in the same conversation", () => {
  const turn = (turnId: string, start: number, generation = 1n) =>
    create(TurnSchema, { turnId, generation, startTime: timestampFromMs(start), endTime: timestampFromMs(start + 1) });
  const never = create(TurnSchema, { turnId: "never", generation: 1n, endTime: timestampFromMs(2500) });
  const [a, b, c, other] = [turn("a", 1000), turn("b", 2000), turn("c", 3000), turn("other", 2900, 2n)];
  expect(turnBefore(c, [c, other, never, b, a])?.turnId).toBe("b");
  expect(turnBefore(a, [c, b, a])).toBeUndefined();
});

test("money, amounts and days are read and told exactly", () => {
  expect(money(0n)).toBe("$0.00");
  expect(money(4200n)).toBe("$0.0042");
  expect(money(12_500_000n, true)).toBe("≥ $12.50");
  expect(microsOf("$12.50")).toBe(12_500_000n);
  expect(microsOf("0.000001")).toBe(1n);
  expect(microsOf("")).toBeUndefined();
  for (const odd of ["1,5", "-1", "a", "1.0000001"]) expect(() => microsOf(odd)).toThrow("no amount");
  expect(amountOf("1 000_000")).toBe(1_000_000n);
  expect(() => amountOf("1.5")).toThrow("whole number");
  expect(rangeStart("", 0)).toBeUndefined();
  expect(rangeStart("1", 86_400_000)?.seconds).toBe(86_400n);
  expect(rangeStart("7", 7 * 86_400_000)?.seconds).toBe(86_400n);
});

test("schedules say when they run, how they stand and what came of their runs", () => {
  const spec = (init: Parameters<typeof create<typeof ScheduleSpecSchema>>[1]) => create(ScheduleSpecSchema, init);
  expect(specWords(spec({ when: { case: "cron", value: "0 9 * * *" } }))).toBe("0 9 * * * (UTC)");
  expect(specWords(spec({ when: { case: "every", value: create(DurationSchema, { seconds: 900n }) } }))).toBe("every 15 min");
  expect(specWords(undefined)).toBe("never");
  expect(scheduleState(create(ScheduleSchema, { paused: true, pauseReason: "FAILURES" }))).toEqual(["Paused after failures", "error"]);
  expect(scheduleState(create(ScheduleSchema, { nextTimes: [timestampFromMs(1)] }))[0]).toBe("Active");
  expect(scheduleState(create(ScheduleSchema, {}))[0]).toBe("Finished");
  expect(runState(create(ScheduleRunSchema, { outcome: ScheduleOutcome.SKIPPED, reason: "MISSED" }))).toEqual([
    "Skipped: the server did not run then",
    "warning",
  ]);
  expect(runState(create(ScheduleRunSchema, { outcome: ScheduleOutcome.REFUSED, reason: "QUEUE_FULL" }))).toEqual(["Refused: QUEUE_FULL", "error"]);
});

test("a schedule's form gives back what it began with, and an update names what differs alone", () => {
  const spec = create(ScheduleSpecSchema, { when: { case: "cron", value: "0 9 * * *" }, timeZone: "Europe/Berlin", startTime: timestampFromMs(5000) });
  expect(specOf(whenOf(spec, "UTC"), spec)).toEqual(spec);
  for (const when of [
    { case: "every", value: create(DurationSchema, { seconds: 5400n }) },
    { case: "at", value: timestampFromMs(1_800_000_007_000) },
  ] as const) {
    const other = create(ScheduleSpecSchema, { when });
    expect(specOf(whenOf(other, "UTC"), other)).toEqual(other);
  }
  expect(whenOf(undefined, "Asia/Tokyo").zone).toBe("Asia/Tokyo");
  expect(() => specOf({ ...whenOf(undefined, ""), kind: "at", at: "soon" }, undefined)).toThrow("Say when");
  const before = create(ScheduleSchema, { spec, enqueue: { text: "hello" }, pauseAfterFailures: 5, overlap: OverlapPolicy.SKIP });
  expect(changedPaths(before, create(ScheduleSchema, { ...before }))).toEqual([]);
  const after = create(ScheduleSchema, { spec, enqueue: { text: "other" }, pauseAfterFailures: 5, overlap: OverlapPolicy.BUFFER_ONE, remainingRuns: 3n });
  expect(changedPaths(before, after)).toEqual(["enqueue", "overlap", "remaining_runs"]);
});

test("webhooks say how they stand, what they tell and what became of it", () => {
  expect(KINDS).toContain("turn_ended");
  expect(KINDS).not.toContain("token");
  expect(USUAL_KINDS.every((kind) => KINDS.includes(kind))).toBe(true);
  const webhook = (init: Parameters<typeof create<typeof WebhookSchema>>[1]) => create(WebhookSchema, init);
  expect(webhookState(webhook({}))).toEqual(["Active", "busy"]);
  expect(webhookState(webhook({ failingSince: timestampFromMs(1) }))[1]).toBe("error");
  expect(webhookState(webhook({ paused: true, pauseReason: "GONE" }))).toEqual(["Paused: the address is gone", "error"]);
  expect(webhookState(webhook({ paused: true, pauseReason: "holidays" }))).toEqual(["Paused", "warning"]);
  expect(pauseWords(webhook({ paused: true, pauseReason: "holidays" }))).toBe("holidays");
  expect(pauseWords(webhook({ paused: true, pauseReason: "GONE" }))).toBe("");
  expect(filterWords(undefined)).toBe("all that you may read");
  expect(filterWords(webhook({ filter: { sessionKeyPrefix: "ci:", labels: { b: "2", a: "1" } } }).filter)).toBe("keys that begin with ci:; labelled a=1, b=2");
  const delivery = create(DeliverySchema, { state: DeliveryState.FAILED, statusCode: 503, problem: "it is not 2xx" });
  expect(deliveryState(delivery)).toEqual(["Failed, is tried again", "error"]);
  expect(answerWords(delivery)).toBe("503: it is not 2xx");
  expect(answerWords(create(DeliverySchema, { problem: "refused" }))).toBe("refused");
});

test("why a turn waits for a worker is told as far as the workers tell it", () => {
  const worker = (init: Parameters<typeof create<typeof WorkerSchema>>[1]) => create(WorkerSchema, { agents: ["far"], capacity: 1, state: WorkerState.CONNECTED, ...init });
  for (const [workers, needed, words] of [
    [[], {}, "No worker that has the agent far is connected."],
    [[worker({ agents: ["other"] })], {}, "No worker that has the agent far is connected."],
    [[worker({ labels: { gpu: "none" } })], { gpu: "a100" }, "No worker of far has the labels gpu=a100."],
    [[worker({ state: WorkerState.LOST })], {}, "The workers of far are lost or take no more."],
    [[worker({ leases: [{ turnId: "t" }] })], {}, "All workers of far are full."],
  ] as const) {
    expect(whyWaiting("far", needed, workers)).toBe(words);
  }
  expect(whyWaiting("far", {}, [worker({})])).toContain("has room");
  const session = (sessionKey: string, waitReason: string) => create(SessionSnapshotSchema, { sessionKey, waitReason });
  expect(waitingForWorker([session("b", "NO_WORKER"), session("c", ""), session("a", "NO_WORKER")]).map(({ sessionKey }) => sessionKey)).toEqual(["a", "b"]);
});

test("a rule of routing is read as it is written, and told in words", () => {
  const rule = create(RouteSchema, {
    name: "long",
    when: { minTextBytes: 4000n, labels: { team: "search" }, principals: ["default/a", "default/b"] },
    use: { provider: "acme", modelId: "big/one", thinkingLevel: "high" },
  });
  expect(routeOf(draftOf(rule))).toEqual(rule);
  expect(conditionWords(rule)).toBe(`the text has at least ${(4000).toLocaleString()} bytes, and the session is labelled team=search, and it comes from default/a or default/b`);
  expect(targetWords(rule.use)).toBe("model acme/big/one, thinking level high");
  expect(conditionWords(create(RouteSchema, { when: {} }))).toBe("always");
  expect(() => routeOf({ ...draftOf(rule), model: "", thinkingLevel: "" })).toThrow("Say what is used");
  expect(() => routeOf({ ...draftOf(rule), minTextBytes: "many" })).toThrow("whole number");
  expect(moved(["a", "b", "c"], 2, 0)).toEqual(["c", "a", "b"]);
  expect(moved(["a", "b"], 0, 2)).toEqual(["a", "b"]);
});
