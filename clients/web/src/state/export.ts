// A conversation as a file. Pure.
import { type Message, Role, type SessionSnapshot, toPlain, ToolCallState } from "@quarterdeck/client";
import { dateOf } from "./format";

/** Which file. */
export type ExportFormat = "markdown" | "json";

/** A conversation as Markdown: who said what, tools with arguments and results in fences that they can't end. */
export function asMarkdown(session: SessionSnapshot, messages: readonly Message[]): string {
  const name = session.displayName === "" ? session.sessionKey : session.displayName;
  const head = [`# ${oneLine(name)}`, `Session \`${session.sessionKey}\`, agent \`${oneLine(session.agent)}\`, ${messages.length} messages.`];
  return `${[...head, ...messages.flatMap((message) => messageLines(message, session.agent))].join("\n\n")}\n`;
}

/** A conversation as JSON: the messages as the contract has them. */
export function asJson(session: SessionSnapshot, messages: readonly Message[]): string {
  const { sessionKey, sessionId, generation, displayName, agent, model, labels } = session;
  const about = { sessionKey, sessionId, generation: generation.toString(), displayName, agent, model, labels };
  return `${JSON.stringify({ session: about, messages: messages.map(toPlain) }, null, 2)}\n`;
}

/** A name that every file system takes. */
export function fileName(sessionKey: string, format: ExportFormat): string {
  return `${sessionKey.replace(/[^A-Za-z0-9._-]/g, "_")}.${format === "json" ? "json" : "md"}`;
}

function messageLines(message: Message, agent: string): string[] {
  const time = dateOf(message.createTime)?.toISOString();
  const speaker = message.role === Role.USER ? "You" : message.role === Role.TOOL ? "" : message.role === Role.SYSTEM ? "System" : agent;
  const lines = speaker === "" ? [] : [`## ${oneLine(speaker)}${time ? ` (${time})` : ""}`];
  for (const { part } of message.parts) {
    if (part.case === "text") lines.push(part.value.text);
    if (part.case === "thinking") lines.push(`Thinking:\n\n${fence(part.value.text, "")}`);
    if (part.case === "attachment") lines.push(`Attachment: ${oneLine(part.value.name || part.value.attachmentId)} (${oneLine(part.value.mediaType)})`);
    if (part.case === "toolCall") {
      const { toolName, argsJson, resultJson, state } = part.value;
      lines.push(`### Tool ${oneLine(toolName)}${state === ToolCallState.ERROR ? ", failed" : ""}`);
      if (argsJson !== "") lines.push(fence(argsJson, "json"));
      if (resultJson !== "") lines.push(fence(resultJson, "json"));
    }
  }
  if (message.partial) lines.push("(Cut off here.)");
  return lines;
}

/** A fence longer than any in the text. */
function fence(text: string, language: string): string {
  const longest = [...text.matchAll(/`{3,}/g)].reduce((most, [ticks]) => Math.max(most, ticks.length), 2);
  const ticks = "`".repeat(longest + 1);
  return `${ticks}${language}\n${text}\n${ticks}`;
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ");
}
