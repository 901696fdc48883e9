// A tool call: what was asked in a line, arguments and result folded.
import { useState } from "preact/hooks";
import type { ToolEntry } from "../state/entries";
import { oneLine, prettyJson, size } from "../state/format";
import { readResult } from "../state/toolResult";
import { Attachments } from "./Attachments";
import { Icon } from "./Icons";

/** Draws a tool call. What is folded is not drawn, since results can be long. */
export function ToolCall({ entry, sessionKey }: { readonly entry: ToolEntry; readonly sessionKey: string }) {
  const [open, setOpen] = useState(false);
  return (
    <details
      class={`tool ${entry.state}`}
      open={open}
      onToggle={(event) => setOpen(event.currentTarget.open)}
      data-testid="tool-call"
    >
      <summary>
        <Icon name="tool" />
        <code>{entry.name || "tool"}</code>
        <span class="fold-hint">{oneLine(shortArgs(entry.args), 100)}</span>
        <State state={entry.state} />
      </summary>
      {open ? <Inside entry={entry} sessionKey={sessionKey} /> : null}
    </details>
  );
}

function Inside({ entry, sessionKey }: { readonly entry: ToolEntry; readonly sessionKey: string }) {
  const result = entry.result === "" ? undefined : readResult(entry.result);
  return (
    <div class="tool-inside">
      <p class="label">Arguments</p>
      <pre tabIndex={0}>{prettyJson(entry.args) || "none"}</pre>
      <p class="label">{entry.state === "running" ? "Result so far" : entry.state === "error" ? "Error" : "Result"}</p>
      {result ? (
        <>
          {result.text === "" ? null : <pre tabIndex={0}>{result.text}</pre>}
          {result.images.map((address) => (
            <img key={address} src={address} alt={`Image from ${entry.name}`} />
          ))}
        </>
      ) : (
        <p class="hint">{entry.state === "running" ? "Nothing yet." : "None."}</p>
      )}
      <Attachments attachments={entry.attachments} sessionKey={sessionKey} />
      {entry.fullSize > 0 ? <p class="hint">Cut: the whole is {size(entry.fullSize)}.</p> : null}
    </div>
  );
}

function State({ state }: { readonly state: ToolEntry["state"] }) {
  if (state === "running") {
    return (
      <span class="tool-state running">
        <span class="spinner" /> running
      </span>
    );
  }
  return <span class={`tool-state ${state}`}>{state === "error" ? "failed" : "done"}</span>;
}

/** Arguments in a line: values alone where there is one, since its name says little. */
function shortArgs(json: string): string {
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      const entries = Object.entries(value as Record<string, unknown>);
      const [only] = entries;
      if (entries.length === 1 && only) return typeof only[1] === "string" ? only[1] : JSON.stringify(only[1]);
      return entries.map(([key, each]) => `${key}: ${typeof each === "string" ? each : JSON.stringify(each)}`).join(", ");
    }
    return json;
  } catch {
    return json;
  }
}
