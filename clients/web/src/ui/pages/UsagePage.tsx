// What was used, summed up, and the budgets that bound it.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { type Usage, UsageBy, type UsageRow } from "@quarterdeck/client";
import { count, money } from "../../state/format";
import { hashOf, isSessionKey } from "../../state/route";
import { tokensOf } from "../../state/turns";
import { GROUPS, RANGES, rangeStart } from "../../state/usage";
import { client, scopes } from "../../store/account";
import { Choice } from "../Form";
import { Foot, Page, reader, Table } from "../Page";
import { Budgets } from "./Budgets";

/** Groups that are read at a time. */
const PAGE = 100;
/** Pause after a key before the use is read, in milliseconds. */
const TYPED_MS = 250;

const by = signal<UsageBy>(UsageBy.DAY);
const label = signal("");
const range = signal("7");
const total = signal<Usage | undefined>(undefined);

const rows = reader<UsageRow>(async (pageToken) => {
  const startTime = rangeStart(range.value, Date.now());
  const groupBy = [{ by: by.value, labelKey: by.value === UsageBy.LABEL ? label.value.trim() : "" }];
  const page = await client().getUsage({ filter: startTime ? { startTime } : {}, groupBy, pageSize: PAGE, pageToken });
  total.value = page.total;
  return { rows: page.rows, next: page.nextPageToken };
});

/** The page of what was used. */
export function UsagePage() {
  const missing = by.value === UsageBy.LABEL && label.value.trim() === "";
  useEffect(() => {
    if (missing) return undefined;
    const timer = setTimeout(() => void rows.read(), by.value === UsageBy.LABEL ? TYPED_MS : 0);
    return () => clearTimeout(timer);
  }, [by.value, label.value, range.value]);
  const most = rows.rows.value.reduce((top, { usage }) => (tokensOf(usage) > top ? tokensOf(usage) : top), 0n);
  return (
    <Page title="Usage" hint="Tokens and what they cost; days begin at midnight, UTC">
      <div class="page-tools">
        <Choice label="Time" hidden value={range.value} choices={RANGES} onChange={(value) => (range.value = value)} />
        <Choice
          label="Group"
          hidden
          value={String(by.value)}
          choices={GROUPS.map(([value, name]) => [String(value), name])}
          onChange={(value) => (by.value = GROUPS.find(([each]) => String(each) === value)?.[0] ?? UsageBy.DAY)}
        />
        {by.value === UsageBy.LABEL ? (
          <div class="search">
            <input
              type="search"
              placeholder="Name of the label"
              aria-label="Name of the label"
              value={label.value}
              onInput={(event) => (label.value = event.currentTarget.value)}
            />
          </div>
        ) : null}
      </div>
      <Total usage={total.value} />
      <Table name="Usage" columns={[heading(), "Tokens", "", "In", "Out", "Cached", "Model calls", "Cost"]} numbers={["Tokens", "In", "Out", "Cached", "Model calls", "Cost"]}>
        {rows.rows.value.map((row) => (
          <Row key={row.keys.join("\n")} row={row} most={most} />
        ))}
      </Table>
      <Foot of={rows} empty={missing ? "Name a label." : "Nothing was used in this time."} />
      {scopes.value.has("budget.write") ? <Budgets /> : null}
    </Page>
  );
}

function heading(): string {
  const name = GROUPS.find(([each]) => each === by.value)?.[1].slice("By ".length) ?? "";
  return name.charAt(0).toUpperCase() + name.slice(1);
}

function Total({ usage }: { readonly usage: Usage | undefined }) {
  const parts: (readonly [string, string])[] = [
    ["Cost", usage ? money(usage.costMicros, usage.unpricedCalls > 0n) : money(0n)],
    ["Tokens", tokensOf(usage).toLocaleString()],
    ["Model calls", (usage?.modelCalls ?? 0n).toLocaleString()],
  ];
  return (
    <>
      <dl class="totals" aria-label="In all">
        {parts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {usage && usage.unpricedCalls > 0n ? (
        <p class="hint">The price of {count(usage.unpricedCalls, "call")} is not known, so the cost is at least this.</p>
      ) : null}
    </>
  );
}

function Row({ row, most }: { readonly row: UsageRow; readonly most: bigint }) {
  const { usage } = row;
  const key = row.keys[0] ?? "";
  const tokens = tokensOf(usage);
  return (
    <tr data-testid="usage">
      <td class="cut-text">{by.value === UsageBy.SESSION && isSessionKey(key) ? <a href={hashOf({ place: "sessions", sessionKey: key })}>{key}</a> : key || "none"}</td>
      <td class="number">{tokens.toLocaleString()}</td>
      <td class="bar">
        <progress aria-hidden="true" max={Math.max(Number(most), 1)} value={Number(tokens)} />
      </td>
      <td class="number">{(usage?.inputTokens ?? 0n).toLocaleString()}</td>
      <td class="number">{(usage?.outputTokens ?? 0n).toLocaleString()}</td>
      <td class="number">{usage ? (usage.cacheReadTokens + usage.cacheWriteTokens).toLocaleString() : "0"}</td>
      <td class="number">{(usage?.modelCalls ?? 0n).toLocaleString()}</td>
      <td class="number">{usage ? money(usage.costMicros, usage.unpricedCalls > 0n) : ""}</td>
    </tr>
  );
}
