// All turns that one may see, the newest first: what failed stands out, and agent, label and state choose.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Turn } from "@quarterdeck/client";
import { ago, dateOf, money, oneLine, span } from "../../state/format";
import { hashOf } from "../../state/route";
import { passesTurnFilter, STATE_FILTERS, statesOf, tokensOf, turnWord } from "../../state/turns";
import { client } from "../../store/account";
import { sessions } from "../../store/live";
import { serverInfo } from "../../store/server";
import { IconButton } from "../Button";
import { Choice } from "../Form";
import { Foot, Page, reader, Table } from "../Page";

/** Turns that are read at a time. */
const PAGE = 100;
/** Pages that are read at most to find some that fit. */
const PAGES_MAX = 10;
/** Pause after a key before the turns are read, in milliseconds. */
const TYPED_MS = 200;

const agent = signal("");
const label = signal("");
const state = signal("");

const turns = reader<Turn>(async (token) => {
  const rows: Turn[] = [];
  let next = token;
  for (let pages = 0; pages < PAGES_MAX; pages += 1) {
    const page = await client().listTurns({ states: statesOf(state.value), pageSize: PAGE, pageToken: next });
    const filter = { agent: agent.value, label: label.value };
    rows.push(...page.turns.filter((turn) => passesTurnFilter(turn, sessions.value.sessions.get(turn.sessionKey), filter)));
    next = page.nextPageToken;
    if (next === "" || rows.length >= PAGE) break;
  }
  return { rows, next };
});

/** The page of the turns. */
export function Turns() {
  // Labels are the sessions' own, which come by the stream.
  const ready = sessions.value.complete;
  useEffect(() => {
    if (!ready) return undefined;
    const timer = setTimeout(() => void turns.read(), label.value === "" ? 0 : TYPED_MS);
    return () => clearTimeout(timer);
  }, [ready, agent.value, label.value, state.value]);
  const agents = serverInfo.value?.agents.map(({ name }) => [name, name] as const) ?? [];
  return (
    <Page
      title="Turns"
      hint="Every prompt and what came of it, the newest first"
      action={<IconButton icon="again" label="Read again" onClick={() => void turns.read()} />}
    >
      <div class="page-tools">
        <Choice label="State" hidden value={state.value} choices={STATE_FILTERS.map(([key, name]) => [key, name])} onChange={(value) => (state.value = value)} />
        <Choice label="Agent" hidden value={agent.value} choices={[["", "Any agent"], ...agents]} onChange={(value) => (agent.value = value)} />
        <div class="search">
          <input
            data-search
            type="search"
            placeholder="Label, such as team=search"
            aria-label="Label of the session"
            value={label.value}
            onInput={(event) => (label.value = event.currentTarget.value)}
          />
        </div>
      </div>
      <Table name="Turns" columns={["State", "Session", "Prompt", "Agent", "Sent", "Took", "Tokens", "Cost"]} numbers={["Took", "Tokens", "Cost"]}>
        {turns.rows.value.map((turn) => (
          <Row key={turn.turnId} turn={turn} />
        ))}
      </Table>
      <Foot of={turns} empty="No turn matches." />
    </Page>
  );
}

function Row({ turn }: { readonly turn: Turn }) {
  const [word, tone] = turnWord(turn.state);
  const [created, started, ended] = [dateOf(turn.createTime), dateOf(turn.startTime), dateOf(turn.endTime)];
  const tokens = tokensOf(turn.usage);
  return (
    <tr class={tone} data-testid="turn" data-turn={turn.turnId}>
      <td>
        <span class={`state ${tone}`}>{word}</span>
        {turn.error ? (
          <span class="state-reason" title={turn.error.message}>
            {oneLine(turn.error.message, 60)}
          </span>
        ) : null}
      </td>
      <td>
        <a href={hashOf({ place: "sessions", sessionKey: turn.sessionKey })}>{turn.sessionKey}</a>
      </td>
      <td class="cut-text" title={oneLine(turn.text, 400)}>
        {oneLine(turn.text, 120)}
      </td>
      <td>{turn.agent}</td>
      <td title={created?.toLocaleString()}>{created ? ago(created.getTime(), Date.now()) : ""}</td>
      <td class="number">{started && ended ? span(ended.getTime() - started.getTime()) : ""}</td>
      <td class="number">{tokens > 0n ? tokens.toLocaleString() : ""}</td>
      <td class="number">{turn.usage && turn.usage.costMicros > 0n ? money(turn.usage.costMicros, turn.usage.unpricedCalls > 0n) : ""}</td>
    </tr>
  );
}
