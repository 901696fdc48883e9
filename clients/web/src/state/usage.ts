// Use and budgets in words. Pure.
import { type Budget, BudgetPeriod, BudgetScope, UsageBy } from "@quarterdeck/client";
import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";

/** By what use is put together, as a person chooses it. */
export const GROUPS: readonly (readonly [value: UsageBy, name: string])[] = [
  [UsageBy.DAY, "By day"],
  [UsageBy.MODEL, "By model"],
  [UsageBy.AGENT, "By agent"],
  [UsageBy.SESSION, "By session"],
  [UsageBy.PRINCIPAL, "By user"],
  [UsageBy.LABEL, "By label"],
];

/** Times that a person chooses from; days back from today, none for all. */
export const RANGES: readonly (readonly [days: string, name: string])[] = [
  ["1", "Today"],
  ["7", "Last 7 days"],
  ["30", "Last 30 days"],
  ["", "All time"],
];

/** When a range of so many days begins: days are whole ones, UTC. */
export function rangeStart(days: string, now: number): Timestamp | undefined {
  return days === "" ? undefined : timestampFromMs(now - (Number(days) - 1) * 86_400_000);
}

/** Whom a budget bounds. */
export function budgetName({ scope, key }: Budget): string {
  switch (scope) {
    case BudgetScope.TENANT:
      return "The whole tenant";
    case BudgetScope.PRINCIPAL:
      return `User ${key}`;
    case BudgetScope.LABEL:
      return `Label ${key}`;
    default:
      return `Session ${key}`;
  }
}

/** A period in words. */
export function periodName(period: BudgetPeriod): string {
  if (period === BudgetPeriod.DAY) return "a day";
  return period === BudgetPeriod.MONTH ? "a month" : "in all";
}

/** Dollars that a person wrote as millionths; undefined where nothing is written. Throws where it is no amount. */
export function microsOf(text: string): bigint | undefined {
  const written = text.trim().replace(/^\$/, "");
  if (written === "") return undefined;
  if (!/^\d{1,9}(?:\.\d{1,6})?$/.test(written)) throw new Error(`${text.trim()} is no amount; write it like 12.50.`);
  return BigInt(Math.round(Number(written) * 1e6));
}

/** A whole number that a person wrote; undefined where nothing is written. Throws where it is none. */
export function amountOf(text: string): bigint | undefined {
  const written = text.trim().replace(/[_ ,]/g, "");
  if (written === "") return undefined;
  if (!/^\d{1,15}$/.test(written)) throw new Error(`${text.trim()} is no whole number.`);
  return BigInt(written);
}
