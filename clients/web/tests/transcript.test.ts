import { create } from "@bufbuild/protobuf";
import { BlockKind, ListMessagesResponseSchema, Role, ToolCallState, TurnState } from "@quarterdeck/client";
import { describe, expect, test } from "vitest";
import { type Entry, entriesOf } from "../src/state/entries";
import { applyEvent, endedTurn, fromState, prepend, type Transcript } from "../src/state/transcript";
import { event, session, state } from "./events";

const start = (): Transcript => fromState(state(), session("s"));
const run = (...events: ReturnType<typeof event>[]): Transcript => events.reduce(applyEvent, start());
const texts = (entries: readonly Entry[]): string[] =>
  entries.flatMap((entry) => (entry.kind === "message" ? entry.blocks.map(({ text }) => text) : []));

const began = event({ case: "messageStarted", value: { role: Role.ASSISTANT } }, { seq: 11n });
const token = (delta: string, offset: number) => event({ case: "token", value: { delta, offset: BigInt(offset) } }, { afterSeq: 11n });
const completed = (text: string, seq = 12n) =>
  event({ case: "messageCompleted", value: { role: Role.ASSISTANT, text, blocks: [{ text }] } }, { seq });

describe("text that streams", () => {
  test("grows by deltas, and the completed message replaces it", () => {
    expect(texts(run(began, token("one ", 0), token("two", 4)).entries)).toEqual(["one two"]);
    expect(texts(run(began, token("one ", 0), completed("one two three")).entries)).toEqual(["one two three"]);
  });

  test("is the same when a stream comes back with a snapshot of the open block", () => {
    const back = event({ case: "itemSnapshot", value: { block: BlockKind.TEXT, role: Role.ASSISTANT, text: "één twee" } });
    expect(texts(run(began, token("één", 0), back, token(" drie", 10)).entries)).toEqual(["één twee drie"]);
  });

  test("comes once, however often durable events come", () => {
    const twice = run(began, completed("whole"), began, completed("whole"));
    expect(texts(twice.entries)).toEqual(["whole"]);
    expect(twice.seq).toBe(12n);
  });

  test("that comes after its message was completed changes nothing", () => {
    expect(texts(run(began, completed("whole"), token("late", 0)).entries)).toEqual(["whole"]);
  });

  test("of another session, log or generation is not taken in", () => {
    const foreign = [
      event({ case: "messageStarted", value: { role: Role.USER, text: "x" } }, { sessionKey: "other", seq: 11n }),
      event({ case: "messageStarted", value: { role: Role.USER, text: "x" } }, { logId: "other", seq: 11n }),
      event({ case: "messageStarted", value: { role: Role.USER, text: "x" } }, { generation: 0n, logId: "other", seq: 11n }),
    ];
    expect(run(...foreign).entries).toEqual([]);
  });

  test("stands after thinking of the same message", () => {
    const thinking = event({ case: "thinkingCompleted", value: { text: "hm" } }, { seq: 12n });
    expect(texts(run(began, token("answer", 0), thinking).entries)).toEqual(["hm", "answer"]);
  });
});

describe("tools", () => {
  const started = event(
    { case: "toolStarted", value: { toolCallId: "c", toolName: "calc", argsJson: '{"a":1}' } },
    { itemId: "tool", seq: 12n },
  );

  test("run, tell partial results, and end", () => {
    const update = event({ case: "toolUpdate", value: { toolCallId: "c", partialResultJson: '"half"' } }, { itemId: "tool" });
    const half = run(started, update).entries[0];
    expect(half).toMatchObject({ kind: "tool", name: "calc", state: "running", result: '"half"' });
    const end = event({ case: "toolCompleted", value: { toolCallId: "c", toolName: "calc", resultJson: '"all"' } }, { itemId: "tool", seq: 13n });
    expect(run(started, update, end, update).entries).toMatchObject([{ state: "result", result: '"all"' }]);
  });

  test("have the pictures of their result beside it, live and when they are read again", () => {
    const picture = { attachmentId: "hash", name: "picture-1.png", mediaType: "image/png", size: 600_000n };
    const end = event(
      { case: "toolCompleted", value: { toolCallId: "c", resultJson: "{}", attachments: [picture] } },
      { itemId: "tool", seq: 13n },
    );
    expect(run(started, end).entries).toMatchObject([{ kind: "tool", attachments: [picture] }]);
    const call = { toolCallId: "c", toolName: "calc", argsJson: "{}", resultJson: "{}", state: ToolCallState.RESULT };
    const page = create(ListMessagesResponseSchema, {
      messages: [
        {
          itemId: "tool",
          role: Role.TOOL,
          parts: [{ part: { case: "toolCall", value: call } }, { part: { case: "attachment", value: picture } }],
        },
      ],
    });
    expect(page.messages.flatMap((message) => entriesOf(message, false))).toMatchObject([
      { kind: "tool", id: "tool", attachments: [picture] },
    ]);
  });

  test("that ran when the state was read are found again by their call", () => {
    const running = [{ toolCallId: "c", toolName: "calc", argsJson: "{}", state: ToolCallState.RUNNING }];
    const before = fromState(state({ runningTools: running }), session("s", { activeTurnId: "turn" }));
    const end = event({ case: "toolCompleted", value: { toolCallId: "c", resultJson: "1", isError: true } }, { itemId: "tool", seq: 13n });
    expect(applyEvent(before, end).entries).toMatchObject([{ kind: "tool", name: "calc", state: "error", result: "1" }]);
  });

  test("take the place of the arguments that were being written", () => {
    const input = event({ case: "toolInput", value: { delta: '{"a"', toolCallId: "c", toolName: "calc" } });
    const written = run(began, input);
    expect(texts(written.entries)).toEqual(['{"a"']);
    expect(texts(applyEvent(written, started).entries)).toEqual([]);
  });
});

describe("turns", () => {
  const ended = event(
    { case: "turnEnded", value: { turn: { turnId: "turn", state: TurnState.INTERRUPTED, endTime: { seconds: 5n } } } },
    { seq: 12n, itemId: "" },
  );

  test("leave nothing open when they end", () => {
    const after = run(began, token("half", 0), ended);
    expect(after.entries).toMatchObject([{ open: false }]);
    expect(endedTurn(after, 0)?.state).toBe(TurnState.INTERRUPTED);
  });

  test("that never started are told, but not those that somebody took away", () => {
    const gone = (reason: string) =>
      event({ case: "turnEnded", value: { turn: { turnId: "w", state: TurnState.REJECTED, error: { reason, message: "why" } } } }, { seq: 12n });
    expect(run(gone("PERMISSION_REVOKED")).entries).toMatchObject([{ kind: "notice", text: expect.stringContaining("why") as string }]);
    expect(run(gone("REMOVED")).entries).toEqual([]);
  });
});

test("a steer is shown until the agent takes it", () => {
  const accepted = event({ case: "steerAccepted", value: { steerId: "x", turnId: "turn", text: "left" } }, { seq: 11n });
  const applied = event({ case: "steerApplied", value: { steerId: "x" } }, { seq: 12n });
  expect(run(accepted).entries).toHaveLength(1);
  expect(run(accepted, applied).entries).toEqual([]);
  // A stream that tells both again must not show it again.
  expect(run(accepted, applied, accepted).entries).toEqual([]);
});

test("a reset begins afresh, and what was before stands on older pages", () => {
  const reset = event({ case: "sessionReset", value: { generation: 2n } }, { seq: 13n, generation: 2n });
  const late = event({ case: "messageStarted", value: { role: Role.USER, text: "late" } }, { seq: 14n, generation: 1n });
  const fresh = run(began, completed("old"), reset, late);
  expect(fresh.entries).toMatchObject([{ kind: "generation", generation: 2n }]);
  expect(fresh.older).toEqual({ generation: 1n, token: "" });
  const page = create(ListMessagesResponseSchema, {
    messages: [{ itemId: "item", role: Role.ASSISTANT, parts: [{ part: { case: "text", value: { text: "old" } } }] }],
  });
  const read = prepend(fresh, page);
  expect(texts(read.entries)).toEqual(["old"]);
  expect(read.older).toBeUndefined();
});

test("older pages come before, each message once", () => {
  const message = (itemId: string) => ({ itemId, role: Role.USER, parts: [{ part: { case: "text" as const, value: { text: itemId } } }] });
  const newest = fromState(state({ messages: [message("b"), message("c")], nextPageToken: "t" }), session("s"));
  const page = create(ListMessagesResponseSchema, { messages: [message("a"), message("b")] });
  expect(texts(prepend(newest, page).entries)).toEqual(["a", "b", "c"]);
});
