// What a transcript consists of, and how the contract's messages become it.
import {
  type AttachmentRef,
  type Message,
  type PlanEntry as PlanStepMessage,
  PlanStatus,
  Role,
  type ToolCallPart,
  ToolCallState,
} from "@quarterdeck/client";
import { type Block, wholeBlock } from "./blocks";
import type { QuestionEntry } from "./questions";

/** One line of the transcript. */
export type Entry = MessageEntry | ToolEntry | NoticeEntry | GenerationEntry | QuestionEntry | PlanEntry;

/** A message of the user or of the agent. */
export interface MessageEntry {
  readonly kind: "message";
  /** Its item in the log. */
  readonly id: string;
  readonly turnId: string;
  readonly role: "user" | "assistant" | "system";
  readonly blocks: readonly Block[];
  readonly attachments: readonly AttachmentRef[];
  /** True while text may still come. */
  readonly open: boolean;
  /** True where a stop or a crash cut it off. */
  readonly partial: boolean;
  readonly time: Date | undefined;
}

/** A tool call with what came of it. */
export interface ToolEntry {
  readonly kind: "tool";
  readonly id: string;
  readonly turnId: string;
  readonly callId: string;
  readonly name: string;
  readonly args: string;
  readonly result: string;
  readonly state: "running" | "result" | "error";
  /** Whole size in bytes of what was cut; 0 where nothing was. */
  readonly fullSize: number;
  /** Pictures of the result that were too large to stand in it. */
  readonly attachments: readonly AttachmentRef[];
}

/** Something that happened which nobody said. */
export interface NoticeEntry {
  readonly kind: "notice";
  readonly id: string;
  readonly turnId: string;
  readonly tone: "quiet" | "warning" | "error";
  readonly text: string;
  /** Longer text that is folded away; empty where there is none. */
  readonly detail: string;
}

/** What the agent means to do in a turn. */
export interface PlanEntry {
  readonly kind: "plan";
  readonly id: string;
  readonly turnId: string;
  readonly steps: readonly PlanStep[];
}

/** A step of a plan. */
export interface PlanStep {
  readonly text: string;
  readonly status: "pending" | "running" | "done";
}

/** Begin of a conversation. */
export interface GenerationEntry {
  readonly kind: "generation";
  readonly id: string;
  readonly turnId: "";
  readonly generation: bigint;
}

/** A plan as an agent told it. */
export function planEntry(steps: readonly PlanStepMessage[], turnId: string): PlanEntry {
  const shown = steps.map(({ text, status }) => ({ text, status: planStatus(status) }));
  return { kind: "plan", id: `plan:${turnId}`, turnId, steps: shown };
}

function planStatus(status: PlanStatus): PlanStep["status"] {
  if (status === PlanStatus.COMPLETED) return "done";
  return status === PlanStatus.IN_PROGRESS ? "running" : "pending";
}

/** The entries of a stored message: itself, or the tool call that it is. */
export function entriesOf(message: Message, open: boolean): Entry[] {
  const tools: ToolEntry[] = [];
  const blocks: Block[] = [];
  const attachments: AttachmentRef[] = [];
  for (const part of message.parts) {
    switch (part.part.case) {
      case "text":
        blocks.push(wholeBlock("text", part.contentIndex, part.part.value.text));
        break;
      case "thinking":
        blocks.push(wholeBlock("thinking", part.contentIndex, part.part.value.text));
        break;
      case "toolCall":
        tools.push(toolEntry(part.part.value, message.itemId, message.turnId));
        break;
      case "attachment":
        attachments.push(part.part.value);
        break;
      default:
    }
  }
  if (tools.length > 0 && blocks.length === 0) {
    // What a tool gave back stands with it.
    return tools.map((tool) => ({ ...tool, attachments }));
  }
  if (blocks.length === 0 && attachments.length === 0 && !open) return tools;
  const entry: MessageEntry = {
    kind: "message",
    id: message.itemId,
    turnId: message.turnId,
    role: roleOf(message.role),
    blocks,
    attachments,
    open,
    partial: message.partial,
    time: message.createTime ? new Date(Number(message.createTime.seconds) * 1000) : undefined,
  };
  return [entry, ...tools];
}

/** A tool call as an entry; `id` is its item, or empty where the server doesn't tell it. */
export function toolEntry(call: ToolCallPart, id: string, turnId: string): ToolEntry {
  return {
    kind: "tool",
    id: id || `call:${turnId}:${call.toolCallId}`,
    turnId,
    callId: call.toolCallId,
    name: call.toolName,
    args: call.argsJson,
    result: call.resultJson,
    state: toolState(call.state),
    fullSize: Number(call.fullSize),
    attachments: [],
  };
}

/** Who speaks, in the console's words. */
export function roleOf(role: Role): MessageEntry["role"] {
  if (role === Role.USER) return "user";
  return role === Role.SYSTEM ? "system" : "assistant";
}

function toolState(state: ToolCallState): ToolEntry["state"] {
  if (state === ToolCallState.RESULT) return "result";
  return state === ToolCallState.ERROR ? "error" : "running";
}
