// The tail of the server's log. Its stream is open only while this is shown.
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { LogLevel, type LogRecord } from "@quarterdeck/client";
import { dateOf, enumName } from "../state/format";
import { LOG_RECORDS_MAX, type LogTail, startTail, stopTail, tail } from "../store/logs";
import { IconButton } from "./Button";
import { Choice } from "./Form";

const LEVELS = [
  [LogLevel.TRACE, "Trace and above"],
  [LogLevel.DEBUG, "Debug and above"],
  [LogLevel.INFO, "Info and above"],
  [LogLevel.WARN, "Warnings and errors"],
  [LogLevel.ERROR, "Errors"],
] as const;

const level = signal(LogLevel.INFO);
const target = signal("");
const words = signal("");
const held = signal<LogTail | undefined>(undefined);

/** The place of the logs. */
export function Logs() {
  const box = useRef<HTMLDivElement>(null);
  const following = useRef(true);
  useEffect(() => {
    startTail(level.value, target.value);
    return stopTail;
  }, [level.value, target.value]);
  const shown = held.value ?? tail.value;
  useEffect(() => {
    if (following.current && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [shown]);
  const wanted = words.value.toLowerCase();
  const records = shown.records.filter((record) => wanted === "" || asText(record).includes(wanted));
  return (
    <main class="page logs" aria-label="Logs">
      <header class="page-head">
        <h1>Logs</h1>
        <span class="hint">{tail.value.problem === "" ? `shows the newest ${LOG_RECORDS_MAX.toLocaleString()} records` : tail.value.problem}</span>
      </header>
      <div class="page-tools">
        <Choice
          label="Level"
          hidden
          value={String(level.value)}
          choices={LEVELS.map(([each, name]) => [String(each), name] as const)}
          onChange={(value) => (level.value = LEVELS.find(([each]) => String(each) === value)?.[0] ?? LogLevel.INFO)}
        />
        <Choice
          label="Part"
          hidden
          value={target.value}
          choices={[
            ["", "All parts"],
            ["audit", "Audit"],
            ["quarterdeck::session", "Sessions"],
            ["quarterdeck::agent", "Agents"],
            ["quarterdeck::grpc", "Calls"],
          ]}
          onChange={(value) => (target.value = value)}
        />
        <div class="search">
          <input
            data-search
            type="search"
            placeholder="Filter"
            aria-label="Filter the records"
            value={words.value}
            onInput={(event) => (words.value = event.currentTarget.value)}
          />
        </div>
        <IconButton
          icon={held.value ? "play" : "pause"}
          label={held.value ? "Resume" : "Pause"}
          onClick={() => (held.value = held.value ? undefined : tail.value)}
        />
      </div>
      <div
        class="log-lines"
        ref={box}
        tabIndex={0}
        role="region"
        aria-label="Log records"
        onScroll={(event) => {
          const it = event.currentTarget;
          following.current = it.scrollHeight - it.scrollTop - it.clientHeight < 40;
        }}
      >
        {records.map((record) => (
          <Line key={`${record.bootId}${record.number.toString()}`} record={record} />
        ))}
        {records.length === 0 ? <p class="empty-list">No records yet.</p> : null}
      </div>
    </main>
  );
}

function Line({ record }: { readonly record: LogRecord }) {
  const name = enumName(LogLevel, record.level);
  const facts = Object.entries(record.fields);
  return (
    <div class={`log-line ${name}`}>
      {record.dropped > 0n ? <p class="hint">{record.dropped.toString()} records were too fast for this page.</p> : null}
      <time>{dateOf(record.time)?.toLocaleTimeString(undefined, { hour12: false })}</time>
      <span class="log-level">{name}</span>
      <span class="log-target">{record.target.replace(/^quarterdeck::/, "")}</span>
      <span class="log-message">
        {record.message}
        {facts.map(([key, value]) => [
          " ",
          <span key={key} class="log-fact">
            <span>{key}=</span>
            {value}
          </span>,
        ])}
      </span>
    </div>
  );
}

function asText({ message, target: part, fields }: LogRecord): string {
  return [message, part, ...Object.entries(fields).flat()].join(" ").toLowerCase();
}
