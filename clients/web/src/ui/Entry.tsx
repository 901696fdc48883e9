// One entry of the transcript. Entries never change, so one that is the same is not drawn again.
import { Component } from "preact";
import { useState } from "preact/hooks";
import type { Block } from "../state/blocks";
import type { Entry, MessageEntry, NoticeEntry } from "../state/entries";
import { clockTime, count, oneLine } from "../state/format";
import { foldedPrompt } from "../state/fold";
import { Attachments } from "./Attachments";
import { CopyButton } from "./Copy";
import { Icon } from "./Icons";
import { Markdown } from "./Markdown";
import { PlanView } from "./Plan";
import { QuestionView } from "./Question";
import { ToolCall } from "./ToolCall";

interface EntryProps {
  readonly entry: Entry;
  readonly sessionKey: string;
  readonly agent: string;
}

/** Draws an entry. */
export class EntryView extends Component<EntryProps> {
  override shouldComponentUpdate(next: EntryProps): boolean {
    return next.entry !== this.props.entry || next.agent !== this.props.agent;
  }

  override render({ entry, sessionKey, agent }: EntryProps) {
    switch (entry.kind) {
      case "message":
        return <MessageView entry={entry} sessionKey={sessionKey} agent={agent} />;
      case "tool":
        return <ToolCall entry={entry} sessionKey={sessionKey} />;
      case "notice":
        return <NoticeLine entry={entry} />;
      case "question":
        return <QuestionView entry={entry} />;
      case "plan":
        return <PlanView entry={entry} />;
      case "generation":
        return (
          <div class="generation" role="separator">
            <span>{entry.generation === 1n ? "The first conversation" : `Conversation ${entry.generation.toString()}`}</span>
          </div>
        );
    }
  }
}

function MessageView({ entry, sessionKey, agent }: { readonly entry: MessageEntry; readonly sessionKey: string; readonly agent: string }) {
  const speaker = { user: "You", assistant: agent, system: "System" }[entry.role];
  if (entry.blocks.length === 0 && entry.attachments.length === 0 && !entry.partial) return null;
  return (
    <article class={`message ${entry.role}`} aria-label={speaker} aria-busy={entry.open} data-item={entry.id}>
      {entry.blocks.map((block) => (
        <BlockView key={`${block.kind}:${block.index}`} block={block} role={entry.role} open={entry.open} />
      ))}
      <Attachments attachments={entry.attachments} sessionKey={sessionKey} />
      {entry.partial ? <p class="cut-off">Cut off here.</p> : null}
      <MessageFoot entry={entry} />
    </article>
  );
}

/** The time of what a person wrote, and copying. */
function MessageFoot({ entry }: { readonly entry: MessageEntry }) {
  const text = (): string => textOf(entry);
  const copies = !entry.open && text() !== "";
  if (!copies && entry.role !== "user") return null;
  return (
    <div class="message-foot">
      {copies ? <CopyButton label="Copy message" text={text} /> : null}
      {entry.time && entry.role === "user" ? <time class="message-time">{clockTime(entry.time, new Date())}</time> : null}
    </div>
  );
}

/** What a message says, as it was written. */
function textOf(entry: MessageEntry): string {
  return entry.blocks
    .filter(({ kind }) => kind === "text")
    .map(({ text }) => text)
    .join("\n\n");
}

/** What a person wrote is shown as it was written, a long text folded. */
function Prompt({ text }: { readonly text: string }) {
  const [whole, setWhole] = useState(false);
  const folded = foldedPrompt(text);
  if (folded === undefined) return <div class="plain-text">{text}</div>;
  return (
    <>
      <div class="plain-text">{whole ? text : `${folded}…`}</div>
      <button type="button" class="text-button unfold" aria-expanded={whole} onClick={() => setWhole(!whole)}>
        {whole ? "Show less" : `Show all (${count(text.split("\n").length, "line")}, ${count(text.length, "character")})`}
      </button>
    </>
  );
}

function BlockView({ block, role, open }: { readonly block: Block; readonly role: MessageEntry["role"]; readonly open: boolean }) {
  if (block.kind === "thinking") return <Thinking block={block} open={open} />;
  if (block.kind === "tool_input") return <ToolInput block={block} />;
  if (role === "user") return <Prompt text={block.text} />;
  return <Markdown text={block.text} open={open} />;
}

function Thinking({ block, open }: { readonly block: Block; readonly open: boolean }) {
  return (
    <details class="thinking">
      <summary>
        <Icon name="thought" />
        <span class={open ? "shimmer" : ""}>Thinking</span>
        <span class="fold-hint">{oneLine(block.text, 80)}</span>
      </summary>
      <div class="plain-text">{block.text}</div>
    </details>
  );
}

function ToolInput({ block }: { readonly block: Block }) {
  return (
    <details class="tool preparing">
      <summary>
        <Icon name="tool" />
        <code>{block.toolName || "tool"}</code>
        <span class="fold-hint">{count(block.text.length, "character")} of arguments</span>
        <span class="tool-state running">
          <span class="spinner" /> writing
        </span>
      </summary>
      <pre tabIndex={0}>{block.text}</pre>
    </details>
  );
}

function NoticeLine({ entry }: { readonly entry: NoticeEntry }) {
  if (entry.detail === "") return <p class={`event ${entry.tone}`}>{entry.text}</p>;
  return (
    <details class={`event ${entry.tone}`}>
      <summary>{entry.text}</summary>
      <pre tabIndex={0}>{entry.detail}</pre>
    </details>
  );
}
