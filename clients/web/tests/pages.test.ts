// What pages and forms make of what they get: folding, exports, settings, turns, usage, schedules.
import { create } from "@bufbuild/protobuf";
import { DurationSchema, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Message,
  MessageSchema,
  Role,
  ScheduleOutcome,
  ScheduleRunSchema,
  ScheduleSchema,
  ScheduleSpecSchema,
  SessionSnapshotSchema,
  ToolCallState,
  TurnSchema,
  TurnState,
} from "@quarterdeck/client";
import { expect, test } from "vitest";
import { asJson, asMarkdown, fileName } from "../src/state/export";
import { foldedPrompt } from "../src/state/fold";
import { money } from "../src/state/format";
import { runState, scheduleState, specWords } from "../src/state/schedules";
import { durationOf, durationText, labelPairs, labelsOf, linesOf } from "../src/state/settings";
import { passesTurnFilter, statesOf, turnBefore, turnWord } from "../src/state/turns";
import { amountOf, microsOf, rangeStart } from "../src/state/usage";

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
