import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { OptionEffect, PlanStatus, type Question, QuestionKind, QuestionResolution, QuestionSchema, QuestionState } from "@quarterdeck/client";
import { describe, expect, test } from "vitest";
import { asJson, contentOf, fieldsOf, isPending, outcome, type QuestionEntry, toneOf, webLink } from "../src/state/questions";
import { NO_SESSIONS, applyReports, pendingQuestions } from "../src/state/sessions";
import { applyEvent, fromState, type Transcript } from "../src/state/transcript";
import { event, session, state } from "./events";

const question = (more: MessageInitShape<typeof QuestionSchema> = {}): Question =>
  create(QuestionSchema, {
    questionId: "q",
    sessionKey: "s",
    turnId: "turn",
    kind: QuestionKind.PERMISSION,
    state: QuestionState.PENDING,
    title: "Run bash?",
    options: [
      { optionId: "yes", label: "Allow once", effect: OptionEffect.ALLOW_ONCE },
      { optionId: "no", label: "Deny", effect: OptionEffect.DENY_ONCE },
    ],
    ...more,
  });
const asked = (seq = 11n) => event({ case: "questionAsked", value: { question: question() } }, { seq });
const pending = () => event({ case: "questionPending", value: { question: question() } });
const resolved = event(
  {
    case: "questionResolved",
    value: {
      questionId: "q",
      state: QuestionState.ANSWERED,
      resolution: QuestionResolution.ANSWERED,
      answeredBy: "default/ada",
      answer: { optionId: "yes" },
    },
  },
  { seq: 12n },
);
const delivered = event({ case: "answerDelivered", value: { questionId: "q" } }, { seq: 13n });
const run = (...events: ReturnType<typeof event>[]): Transcript => events.reduce(applyEvent, fromState(state(), session("s")));
const questions = (transcript: Transcript): QuestionEntry[] => transcript.entries.filter((entry) => entry.kind === "question");

describe("a question in the transcript", () => {
  test("stands once, however it came", () => {
    expect(questions(run(asked(), pending(), asked(12n))).map(isPending)).toEqual([true]);
    const read = fromState(state({ questions: [question()] }), session("s"));
    expect(questions([pending(), asked()].reduce(applyEvent, read)).length).toBe(1);
  });

  test("says who answered what, and whether the agent has it", () => {
    const [open] = questions(run(asked(), resolved));
    const [done] = questions(run(asked(), resolved, delivered));
    expect(open && outcome(open)).toBe("“Allow once” by default/ada, not yet with the agent");
    expect(done && outcome(done)).toBe("“Allow once” by default/ada");
    expect(done && isPending(done)).toBe(false);
  });

  test("that was closed is not opened again by a late report", () => {
    expect(questions(run(asked(), resolved, pending())).map(isPending)).toEqual([false]);
  });

  test("waits no more after its turn's end", () => {
    const ended = event({ case: "turnEnded", value: { turn: { turnId: "turn" } } }, { seq: 14n });
    expect(questions(run(asked(), ended)).map(outcome)).toEqual(["no longer needed: the turn ended"]);
  });
});

test("a plan stands once a turn, as it is now", () => {
  const plan = (status: PlanStatus, seq: bigint) =>
    event({ case: "planUpdated", value: { entries: [{ text: "look", status }] } }, { seq });
  const { entries } = run(plan(PlanStatus.IN_PROGRESS, 11n), plan(PlanStatus.COMPLETED, 12n));
  expect(entries).toEqual([{ kind: "plan", id: "plan:turn", turnId: "turn", steps: [{ text: "look", status: "done" }] }]);
});

test("questions are counted over all sessions", () => {
  const list = applyReports(NO_SESSIONS, [session("a", { pendingQuestions: 2 }), session("b", { pendingQuestions: 1 }), session("c")]);
  expect(pendingQuestions(list)).toBe(3);
});

describe("a form", () => {
  const schema = JSON.stringify({
    type: "object",
    required: ["name"],
    properties: {
      name: { type: "string", title: "Your name" },
      token: { type: "string", "x-secret": true },
      age: { type: "integer" },
      sure: { type: "boolean", default: true },
      day: { type: "string", enum: ["mon", "tue"] },
      days: { type: "array", items: { type: "string", enum: ["mon", "tue"] } },
    },
  });

  test("has a field for each property", () => {
    const fields = fieldsOf(schema)?.map(({ name, label, type, required }) => [name, label, type, required]);
    expect(fields).toEqual([
      ["name", "Your name", "text", true],
      ["token", "token", "secret", false],
      ["age", "age", "number", false],
      ["sure", "sure", "boolean", false],
      ["day", "day", "choice", false],
      ["days", "days", "choices", false],
    ]);
  });

  test("gives values of their types, and leaves out what is empty", () => {
    const fields = fieldsOf(schema) ?? [];
    const values = new Map([["name", "Ada"], ["age", "36"], ["days", '["tue"]']]);
    expect(contentOf(fields, values)).toBe('{"name":"Ada","age":36,"sure":true,"days":["tue"]}');
    expect(contentOf(fields, new Map([["sure", "false"]]))).toBe('{"name":"","sure":false,"days":[]}');
  });

  test("whose schema is none is no form", () => {
    expect(fieldsOf("nonsense")).toBeUndefined();
    expect(fieldsOf('{"properties":[]}')).toBeUndefined();
  });
});

test("only the web is opened", () => {
  expect(webLink("https://example.com:8443/a?b")).toEqual({ href: "https://example.com:8443/a?b", host: "example.com:8443" });
  for (const url of ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "nothing"]) expect(webLink(url)).toBeUndefined();
});

test("a result that is no JSON is a text", () => {
  expect([asJson("[1]"), asJson("42 fish")]).toEqual(["[1]", '"42 fish"']);
});

test("what denies stands back, also for ever", () => {
  expect([OptionEffect.ALLOW_ONCE, OptionEffect.ALLOW_ALWAYS, OptionEffect.DENY_ALWAYS].map(toneOf)).toEqual(["primary", "plain", "danger"]);
});
