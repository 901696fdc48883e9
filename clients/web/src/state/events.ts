// What each kind of event does to a transcript.
import {
  applyDelta,
  applySnapshot,
  BlockKind as WireBlock,
  type GatewayEvent,
  type ItemSnapshot,
  type Question,
  QuestionResolution,
  QuestionState,
  TurnState,
} from "@quarterdeck/client";
import { type Block, type BlockKind, emptyBlock, wholeBlock } from "./blocks";
import { type Entry, type MessageEntry, type NoticeEntry, planEntry, roleOf, type ToolEntry } from "./entries";
import { isPending, type QuestionEntry, questionEntry, questionEntryId } from "./questions";
import type { Transcript } from "./transcript";

/** Reasons of turns that a person took from the queue: that needs no notice. */
const TAKEN_AWAY = new Set(["REMOVED", "QUEUE_CLEARED", "SESSION_RESET", "RESET"]);

/** The transcript after an event of its present generation. */
export function applyKind(transcript: Transcript, event: GatewayEvent): Transcript {
  const { kind } = event;
  switch (kind.case) {
    case "sessionState":
    case "sessionUpdated":
      return kind.value.session ? { ...transcript, session: kind.value.session } : transcript;
    case "sessionReset":
      return beginAgain(transcript, kind.value.generation);
    case "sessionDeleted":
      return { ...transcript, deleted: true };
    case "turnStarted":
    case "turnEnded": {
      const { turn } = kind.value;
      if (!turn) return transcript;
      const turns = new Map(transcript.turns).set(turn.turnId, turn);
      const ended = kind.case === "turnEnded" ? settleTurn(transcript.entries, turn.turnId) : transcript.entries;
      const next = { ...transcript, turns, entries: ended };
      if (turn.attempt > 1 && kind.case === "turnStarted") {
        return notice(next, event, "warning", `The turn is run again, attempt ${turn.attempt}.`);
      }
      const never = turn.state === TurnState.REJECTED || turn.state === TurnState.EXPIRED;
      if (never && !TAKEN_AWAY.has(turn.error?.reason ?? "")) {
        return notice(next, event, "warning", `A waiting turn did not start: ${turn.error?.message ?? "no reason given"}`);
      }
      return next;
    }
    case "messageStarted": {
      const { role, text, attachments } = kind.value;
      const user = roleOf(role) === "user";
      return put(transcript, {
        ...openMessage(event, roleOf(role)),
        blocks: text === "" ? [] : [wholeBlock("text", 0, text)],
        attachments,
        open: !user,
      });
    }
    case "messageCompleted": {
      const { blocks, text, partial } = kind.value;
      const whole =
        blocks.length === 0 && text !== ""
          ? [wholeBlock("text", 0, text)]
          : blocks.map((block) => wholeBlock("text", block.contentIndex, block.text));
      return changeMessage(transcript, event, roleOf(kind.value.role), (entry) => ({
        ...entry,
        blocks: inOrder([...entry.blocks.filter((block) => block.kind !== "text"), ...whole]),
        open: false,
        partial,
      }));
    }
    case "thinkingCompleted":
      return changeMessage(transcript, event, "assistant", (entry) => ({
        ...entry,
        blocks: setBlock(entry.blocks, wholeBlock("thinking", kind.value.contentIndex, kind.value.text)),
      }));
    case "token":
    case "thinking":
      return changeMessage(transcript, event, "assistant", (entry) =>
        grow(entry, kind.case === "token" ? "text" : "thinking", kind.value),
      );
    case "toolInput":
      return changeMessage(transcript, event, "assistant", (entry) => grow(entry, "tool_input", kind.value));
    case "itemSnapshot":
      return snapshot(transcript, event, kind.value);
    case "toolStarted": {
      const { toolCallId, toolName, argsJson, fullSize } = kind.value;
      const entry: ToolEntry = {
        kind: "tool",
        id: event.itemId,
        turnId: event.turnId,
        callId: toolCallId,
        name: toolName,
        args: argsJson,
        result: "",
        state: "running",
        fullSize: Number(fullSize),
        attachments: [],
      };
      return put({ ...transcript, entries: withoutInput(transcript.entries, event.turnId, toolCallId) }, entry);
    }
    case "toolUpdate":
      return changeTool(transcript, event, kind.value.toolCallId, (entry) => ({
        ...entry,
        result: kind.value.partialResultJson,
      }));
    case "toolCompleted": {
      const { toolCallId, toolName, resultJson, isError, fullSize, attachments } = kind.value;
      return changeTool(transcript, event, toolCallId, (entry) => ({
        ...entry,
        name: toolName || entry.name,
        result: resultJson,
        state: isError ? "error" : "result",
        fullSize: Math.max(entry.fullSize, Number(fullSize)),
        attachments,
      }));
    }
    case "steerAccepted":
      return put(transcript, {
        kind: "notice",
        id: `steer:${kind.value.steerId}`,
        turnId: kind.value.turnId,
        tone: "quiet",
        text: `Steering with: ${kind.value.text}`,
        detail: "",
      });
    case "steerApplied":
    case "steerRequeued": {
      const id = `steer:${kind.value.steerId}`;
      return { ...transcript, entries: transcript.entries.filter((entry) => entry.id !== id) };
    }
    case "compactionStarted":
      return notice(transcript, event, "quiet", "The agent shortens its context…");
    case "compactionCompleted": {
      const { errorMessage, aborted, summary } = kind.value;
      if (errorMessage !== "") return notice(transcript, event, "warning", `The context was not shortened: ${errorMessage}`);
      if (aborted) return notice(transcript, event, "warning", "The agent gave up shortening its context.");
      return notice(transcript, event, "quiet", "The agent shortened its context.", summary);
    }
    case "questionAsked":
    case "questionPending": {
      const { question } = kind.value;
      const known = question && transcript.entries.some(({ id }) => id === questionEntryId(question.questionId));
      return !question || known ? transcript : put(transcript, questionEntry(question));
    }
    case "questionResolved": {
      const { state, resolution, answeredBy, answer } = kind.value;
      return changeQuestion(transcript, kind.value.questionId, (entry) => ({
        ...entry,
        question: closed(entry.question, { state, resolution, answeredBy, answer }),
      }));
    }
    case "answerDelivered":
      return changeQuestion(transcript, kind.value.questionId, (entry) => ({ ...entry, delivered: true }));
    case "planUpdated": {
      return put(transcript, planEntry(kind.value.entries, event.turnId));
    }
    case "contextRebuilt": {
      const { messageCount, truncated } = kind.value;
      const which = truncated ? `the newest ${messageCount} messages` : `${messageCount} messages`;
      return notice(transcript, event, "warning", `The agent had lost its conversation and was told ${which} of it.`);
    }
    case "retryScheduled": {
      const { attempt, maxAttempts, errorMessage } = kind.value;
      return notice(transcript, event, "warning", `Attempt ${attempt} of ${maxAttempts} follows: ${errorMessage}`);
    }
    case "agentExited":
      return notice(transcript, event, "warning", "The agent's process ended.", kind.value.message);
    default:
      return transcript;
  }
}

function changeQuestion(
  transcript: Transcript,
  questionId: string,
  change: (entry: QuestionEntry) => QuestionEntry,
): Transcript {
  const found = transcript.entries.find(({ id }) => id === questionEntryId(questionId));
  return found?.kind === "question" ? put(transcript, change(found)) : transcript;
}

/** A question after it was closed. */
function closed(question: Question, end: Pick<Question, "state" | "resolution" | "answeredBy" | "answer">): Question {
  return { ...question, ...end };
}

function beginAgain(transcript: Transcript, generation: bigint): Transcript {
  const id = `generation:${generation.toString()}`;
  return {
    ...transcript,
    session: { ...transcript.session, generation },
    entries: [{ kind: "generation", id, turnId: "", generation }],
    older: { generation: generation - 1n, token: "" },
  };
}

function notice(
  transcript: Transcript,
  event: GatewayEvent,
  tone: NoticeEntry["tone"],
  text: string,
  detail = "",
): Transcript {
  return put(transcript, { kind: "notice", id: `event:${event.seq.toString()}`, turnId: event.turnId, tone, text, detail });
}

/** Adds an entry, or puts it in the place of the one with its id. */
function put(transcript: Transcript, entry: Entry): Transcript {
  const at = transcript.entries.findLastIndex((other) => other.id === entry.id);
  const entries = at < 0 ? [...transcript.entries, entry] : transcript.entries.with(at, entry);
  return { ...transcript, entries };
}

function openMessage(event: GatewayEvent, role: MessageEntry["role"]): MessageEntry {
  return {
    kind: "message",
    id: event.itemId,
    turnId: event.turnId,
    role,
    blocks: [],
    attachments: [],
    open: true,
    partial: false,
    time: event.eventTime ? new Date(Number(event.eventTime.seconds) * 1000) : undefined,
  };
}

function changeMessage(
  transcript: Transcript,
  event: GatewayEvent,
  role: MessageEntry["role"],
  change: (entry: MessageEntry) => MessageEntry,
): Transcript {
  const found = transcript.entries.findLast((entry) => entry.id === event.itemId);
  const entry = found?.kind === "message" ? found : openMessage(event, role);
  // A delta that comes after its message was completed is late; the whole text is there.
  if (!entry.open && event.seq === 0n) return transcript;
  return put(transcript, change(entry));
}

function changeTool(
  transcript: Transcript,
  event: GatewayEvent,
  callId: string,
  change: (entry: ToolEntry) => ToolEntry,
): Transcript {
  const found = transcript.entries.findLast(
    (entry) => entry.kind === "tool" && (entry.id === event.itemId || (entry.turnId === event.turnId && entry.callId === callId)),
  );
  if (found?.kind === "tool") {
    if (found.state !== "running" && event.seq === 0n) return transcript;
    return put(transcript, change(found));
  }
  const { turnId, itemId: id } = event;
  return put(
    transcript,
    change({ kind: "tool", id, turnId, callId, name: "", args: "", result: "", state: "running", fullSize: 0, attachments: [] }),
  );
}

function grow(
  entry: MessageEntry,
  kind: BlockKind,
  delta: { delta: string; contentIndex: number; offset: bigint; toolCallId?: string; toolName?: string },
): MessageEntry {
  const block = findBlock(entry, kind, delta.contentIndex, delta.toolCallId, delta.toolName);
  return { ...entry, blocks: setBlock(entry.blocks, { ...block, ...applyDelta(block, delta) }) };
}

function snapshot(transcript: Transcript, event: GatewayEvent, value: ItemSnapshot): Transcript {
  if (value.block === WireBlock.TOOL_RESULT) {
    return changeTool(transcript, event, value.toolCallId, (entry) => ({
      ...entry,
      name: value.toolName || entry.name,
      result: value.text,
    }));
  }
  const kind = blockKind(value.block);
  if (!kind) return transcript;
  return changeMessage(transcript, event, roleOf(value.role), (entry) => {
    const block = findBlock(entry, kind, value.contentIndex, value.toolCallId, value.toolName);
    return { ...entry, blocks: setBlock(entry.blocks, { ...block, ...applySnapshot(block, value) }) };
  });
}

function blockKind(block: WireBlock): BlockKind | undefined {
  if (block === WireBlock.TEXT) return "text";
  if (block === WireBlock.THINKING) return "thinking";
  return block === WireBlock.TOOL_INPUT ? "tool_input" : undefined;
}

function findBlock(entry: MessageEntry, kind: BlockKind, index: number, callId = "", toolName = ""): Block {
  const found = entry.blocks.find((block) => block.kind === kind && block.index === index);
  const block = found ?? emptyBlock(kind, index);
  return { ...block, toolCallId: callId || block.toolCallId, toolName: toolName || block.toolName };
}

function setBlock(blocks: readonly Block[], block: Block): readonly Block[] {
  const others = blocks.filter((other) => other.kind !== block.kind || other.index !== block.index);
  return inOrder([...others, block]);
}

/** Blocks by their place; at the same place thinking comes before text. */
function inOrder(blocks: Block[]): readonly Block[] {
  const rank = { thinking: 0, text: 1, tool_input: 2 };
  return blocks.sort((a, b) => a.index - b.index || rank[a.kind] - rank[b.kind]);
}

/** Arguments that were being written go once the tool runs, since its entry shows them whole. */
function withoutInput(entries: readonly Entry[], turnId: string, callId: string): readonly Entry[] {
  return entries.map((entry) => {
    if (entry.kind !== "message" || entry.turnId !== turnId) return entry;
    const blocks = entry.blocks.filter((block) => block.kind !== "tool_input" || (block.toolCallId !== "" && block.toolCallId !== callId));
    return blocks.length === entry.blocks.length ? entry : { ...entry, blocks };
  });
}

/** Nothing of a turn comes after its end, so that nothing of it stays open. */
function settleTurn(entries: readonly Entry[], turnId: string): readonly Entry[] {
  return entries
    .filter((entry) => entry.turnId !== turnId || !entry.id.startsWith("steer:"))
    .map((entry) => {
      if (entry.turnId !== turnId) return entry;
      if (entry.kind === "message" && entry.open) {
        return { ...entry, open: false, blocks: entry.blocks.filter((block) => block.kind !== "tool_input") };
      }
      if (entry.kind === "question" && isPending(entry)) {
        const resolution = QuestionResolution.TURN_ENDED;
        const end = { state: QuestionState.CANCELED, resolution, answeredBy: "", answer: undefined };
        return { ...entry, question: closed(entry.question, end) };
      }
      return entry.kind === "tool" && entry.state === "running" ? { ...entry, state: "error" as const } : entry;
    });
}
