// One entry of the transcript. Entries never change, so one that is the same is not drawn again.
import { Component } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { AttachmentRef } from "@quarterdeck/client";
import type { Block } from "../state/blocks";
import type { Entry, MessageEntry, NoticeEntry } from "../state/entries";
import { clockTime, count, oneLine, size } from "../state/format";
import { attachmentAddress, isImage } from "../store/images";
import { Icon } from "./Icons";
import { Markdown } from "./Markdown";
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
        return <ToolCall entry={entry} />;
      case "notice":
        return <NoticeLine entry={entry} />;
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
      {entry.attachments.length > 0 ? (
        <div class="attachments">
          {entry.attachments.map((attachment) => (
            <AttachmentView key={attachment.attachmentId} attachment={attachment} sessionKey={sessionKey} />
          ))}
        </div>
      ) : null}
      {entry.partial ? <p class="cut-off">Cut off here.</p> : null}
      {entry.time && entry.role === "user" ? <time class="message-time">{clockTime(entry.time, new Date())}</time> : null}
    </article>
  );
}

function BlockView({ block, role, open }: { readonly block: Block; readonly role: MessageEntry["role"]; readonly open: boolean }) {
  if (block.kind === "thinking") return <Thinking block={block} open={open} />;
  if (block.kind === "tool_input") return <ToolInput block={block} />;
  // What a person wrote is shown as it was written.
  if (role === "user") return <div class="plain-text">{block.text}</div>;
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

function AttachmentView({ attachment, sessionKey }: { readonly attachment: AttachmentRef; readonly sessionKey: string }) {
  const image = isImage(attachment.mediaType);
  const [address, setAddress] = useState("");
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    if (!image) return;
    attachmentAddress(sessionKey, attachment.attachmentId).then(setAddress, () => setFailed(true));
  }, [sessionKey, attachment.attachmentId]);
  const name = attachment.name === "" ? "attachment" : attachment.name;
  const save = (): void => {
    attachmentAddress(sessionKey, attachment.attachmentId).then(
      (href) => {
        const link = document.createElement("a");
        link.href = href;
        link.download = name;
        link.click();
      },
      () => setFailed(true),
    );
  };
  return (
    <button type="button" class={image ? "attachment image" : "attachment"} onClick={save} title={`Save ${name}`}>
      {address === "" ? <Icon name="file" /> : <img src={address} alt={name} />}
      {address === "" ? (
        <span>
          {name} <span class="hint">{failed ? "can't be read" : size(Number(attachment.size))}</span>
        </span>
      ) : null}
    </button>
  );
}
