// Times, sizes and JSON for people.
import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";

/** A date, or undefined where the time is not set. */
export function dateOf(time: Timestamp | undefined): Date | undefined {
  return time ? new Date(Number(time.seconds) * 1000 + time.nanos / 1e6) : undefined;
}

/** Time of day, with the date where it was another day. */
export function clockTime(date: Date | undefined, now: Date): string {
  if (!date) return "";
  const time = date.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
  if (date.toDateString() === now.toDateString()) return time;
  const sameYear = date.getFullYear() === now.getFullYear();
  const day = date.toLocaleDateString(undefined, { day: "numeric", month: "short", ...(sameYear ? {} : { year: "numeric" }) });
  return `${day}, ${time}`;
}

/** How long ago in a few characters: `now`, `5 m`, `3 h`, `2 d`. */
export function ago(milliseconds: number, now: number): string {
  const seconds = Math.max(0, Math.round((now - milliseconds) / 1000));
  if (seconds < 45) return "now";
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} m`;
  if (seconds < 86_400) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** A span of time: `350 ms`, `4.2 s`, `3 min 5 s`, `2 h`. */
export function span(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return join(minutes, "min", Math.round(seconds % 60), "s");
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? join(hours, "h", minutes % 60, "min") : join(Math.floor(hours / 24), "d", hours % 24, "h");
}

/** A duration of the contract. */
export function duration(value: Duration | undefined): string {
  return value ? span(Number(value.seconds) * 1000 + value.nanos / 1e6) : "";
}

/** A size in bytes: `512 B`, `1.4 KiB`, `3 MiB`. */
export function size(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 10 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)} ${units[unit] ?? ""}`;
}

/** Millionths of a US dollar: `$0.0042`, `$12.50`; `≥` where more was spent that nobody knows the price of. */
export function money(micros: bigint, atLeast = false): string {
  const dollars = Number(micros) / 1e6;
  const digits = dollars === 0 || dollars >= 1 ? 2 : 4;
  return `${atLeast ? "≥ " : ""}$${dollars.toLocaleString(undefined, { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
}

/** JSON text with line breaks; text that is not JSON stays as it is. Numbers keep the digits that the agent wrote. */
export function prettyJson(text: string): string {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "string") return value;
    const pretty = JSON.stringify(value, null, 2);
    // Parsing rounds long numbers. Where that changed anything the text is shown as it came.
    return squeeze(pretty) === squeeze(text) ? pretty : text;
  } catch {
    return text;
  }
}

/** Name of an enum's value in words; a value that this console doesn't know is `unknown`. */
export function enumName(names: Readonly<Record<number, string>>, value: number): string {
  return (names[value] ?? "unknown").toLowerCase().replaceAll("_", " ");
}

/** One line of a text, for a heading. */
export function oneLine(text: string, length: number): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > length ? `${line.slice(0, length - 1)}…` : line;
}

/** `one thing`, `3 things`. */
export function count(number: number | bigint, one: string, many = `${one}s`): string {
  return `${number.toLocaleString()} ${Number(number) === 1 ? one : many}`;
}

function join(big: number, bigUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${big} ${bigUnit}` : `${big} ${bigUnit} ${small} ${smallUnit}`;
}

/** JSON without blanks and with its escapes undone, for a comparison of what two texts say. */
function squeeze(text: string): string {
  return text.replace(/\\u([0-9a-f]{4})/gi, (_, code: string) => String.fromCharCode(parseInt(code, 16))).replace(/\\\//g, "/").replace(/\s+/g, "");
}
