// What a person writes into the settings of a session, and back. Pure; what can't be read is an Error in a sentence.
import { type Duration, DurationSchema } from "@bufbuild/protobuf/wkt";
import { create } from "@bufbuild/protobuf";

/** Two texts that stand beside each other: a label and its value, a principal and its access. */
export type Pair = readonly [first: string, second: string];

/** Labels as pairs, by name. */
export function labelPairs(labels: Readonly<Record<string, string>>): Pair[] {
  return Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Pairs as labels. Throws where a name is missing or comes twice. */
export function labelsOf(pairs: readonly Pair[]): Record<string, string> {
  const labels = new Map<string, string>();
  for (const [name, value] of pairs) {
    const key = name.trim();
    if (key === "" && value.trim() === "") continue;
    if (key === "") throw new Error(`The label with the value ${value} needs a name.`);
    if (labels.has(key)) throw new Error(`The label ${key} is there twice.`);
    labels.set(key, value.trim());
  }
  return Object.fromEntries(labels);
}

/** Lines that hold something. */
export function linesOf(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);
}

const UNITS = { s: 1, m: 60, h: 3600, d: 86_400 } as const;

/** A time such as `90s`, `15m`, `12h` or `7d`; undefined where nothing is written. Throws where it is none. */
export function durationOf(text: string): Duration | undefined {
  const written = text.trim();
  if (written === "") return undefined;
  const found = /^(\d{1,9})\s*([smhd])$/.exec(written);
  const amount = Number(found?.[1] ?? 0);
  if (!found || amount === 0) throw new Error(`${written} is no time; write it like 90s, 15m, 12h or 7d.`);
  return create(DurationSchema, { seconds: BigInt(amount * UNITS[found[2] as keyof typeof UNITS]) });
}

/** Such a time, in the largest unit that holds it whole. */
export function durationText(duration: Duration | undefined): string {
  if (!duration) return "";
  const seconds = Number(duration.seconds);
  const [unit, size] = (Object.entries(UNITS).reverse() as [string, number][]).find(([, each]) => seconds % each === 0) ?? ["s", 1];
  return `${seconds / size}${unit}`;
}
