// What runs here, its bounds, and what the caller may do.
import { useEffect } from "preact/hooks";
import {
  type AccountLimits,
  type AgentCapabilities,
  CredentialKind,
  type GetServerInfoResponse,
  ToolPolicySupport,
  UsageReports,
  type WhoAmIResponse,
} from "@quarterdeck/client";
import { clockTime, dateOf, duration, enumName, size } from "../state/format";
import { account } from "../store/account";
import { readServerInfo, serverInfo } from "../store/server";

/** All scopes that there are, with what they are for. */
const SCOPES: readonly (readonly [string, string])[] = [
  ["session.read", "reading sessions, following events"],
  ["session.write", "sessions and their work"],
  ["session.steer", "steering"],
  ["session.abort", "stopping"],
  ["session.reset", "resetting and deleting"],
  ["tenant.sessions", "every session of the tenant"],
  ["memory.read", "reading memory"],
  ["memory.write", "changing memory"],
  ["workspace.read", "files that agents work with"],
  ["budget.write", "budgets of the tenant"],
  ["admin.keys", "API keys"],
  ["admin.config", "configuration"],
  ["admin.logs", "logs, and who is connected"],
];

/** The place of the server's facts. */
export function ServerFacts() {
  useEffect(() => void readServerInfo(), []);
  const info = serverInfo.value;
  // It scrolls, also by keys, and holds nothing else to focus.
  return (
    <main class="page" aria-label="Server" tabindex={0}>
      <header class="page-head">
        <h1>Server</h1>
        {info ? (
          <span class="hint">
            Quarterdeck {info.version}, since {clockTime(dateOf(info.startTime), new Date())}
            {info.draining ? ", going to stop" : ""}
          </span>
        ) : null}
      </header>
      <div class="cards">
        {account.value.state === "in" ? <WhoCard who={account.value.who} /> : null}
        {info ? <InfoCards info={info} /> : null}
      </div>
    </main>
  );
}

function WhoCard({ who }: { readonly who: WhoAmIResponse }) {
  const expires = dateOf(who.expireTime);
  return (
    <section class="card" aria-label="You">
      <h2>You</h2>
      <dl>
        <Fact name="Principal" value={who.principal} />
        <Fact name="Credential" value={enumName(CredentialKind, who.credential)} />
        {who.keyId === "" ? null : <Fact name="Key" value={who.keyId} />}
        <Fact name="Ends" value={expires ? clockTime(expires, new Date()) : "never"} />
      </dl>
      <ul class="scopes">
        {SCOPES.map(([scope, what]) => {
          const has = who.scopes.includes(scope);
          return (
            <li key={scope} class={has ? "" : "missing"}>
              <code>{scope}</code> <span>{has ? what : "missing"}</span>
            </li>
          );
        })}
      </ul>
    </section>
  );
}

function InfoCards({ info }: { readonly info: GetServerInfoResponse }) {
  const { limits, retention } = info;
  return (
    <>
      <section class="card" aria-label="Agents">
        <h2>Agents</h2>
        <ul class="agents">
          {info.agents.map((agent) => (
            <li key={agent.name}>
              <strong>{agent.name}</strong>
              <span class="hint">
                {agent.driver} {agent.version}
              </span>
              {agent.name === info.defaultAgent ? <span class="tag strong">default</span> : null}
              {abilities(agent.capabilities).map((word) => (
                <span key={word} class="tag">
                  {word}
                </span>
              ))}
              <span class="hint">
                {agent.asOf ? `as of ${clockTime(dateOf(agent.asOf), new Date())}` : "not started yet: at most these"}
                {agent.revision === "" ? "" : `, revision ${agent.revision}`}
              </span>
            </li>
          ))}
        </ul>
        <h2>Kept</h2>
        <dl>
          <Fact name="Events of a session" value={amount(retention?.events)} />
          <Fact name="Events up to" value={duration(retention?.eventAge) || "for ever"} />
          <Fact name="Messages up to" value={duration(retention?.historyAge) || "for ever"} />
        </dl>
      </section>
      <section class="card" aria-label="Bounds">
        <h2>Bounds</h2>
        <dl>
          <Fact name="Waiting turns of a session" value={amount(limits?.queueTurnsPerSession)} />
          <Fact name="Waiting bytes of a session" value={bytes(limits?.queueBytesPerSession)} />
          <Fact name="Prompt" value={bytes(limits?.textBytes)} />
          <Fact name="Attachment" value={bytes(limits?.attachmentBytes)} />
          <Fact name="Turns running at once" value={amount(limits?.runningTurns)} />
          <Fact name="A turn takes at most" value={duration(limits?.turnTimeout) || "any time"} />
          <Fact name="A turn may ask for" value={duration(limits?.maxTurnTimeout) || "any time"} />
        </dl>
        <BoundsOf name="Of one principal" limits={limits?.principal} />
        <BoundsOf name="Of one tenant" limits={limits?.tenant} />
      </section>
    </>
  );
}

/** What an agent can do, in words. */
function abilities(can: AgentCapabilities | undefined): string[] {
  if (!can) return [];
  const words: (readonly [boolean, string])[] = [
    [can.steer, "steer"],
    [can.images, "images"],
    [can.thinking, "thinking"],
    [can.models, "models"],
    [can.fork, "fork"],
    [can.compaction, "compaction"],
    [can.commands, "commands"],
    [can.questions, "questions"],
    [can.denyContinues, "goes on after a denial"],
    [can.resume, "resume"],
    [can.workspace, "files"],
    [can.toolPolicy === ToolPolicySupport.ENFORCED, "tool policy"],
    [can.toolPolicy === ToolPolicySupport.ON_REQUEST, "tool policy for what it asks"],
    [can.usage === UsageReports.CALL, "usage by call"],
    [can.usage === UsageReports.TURN, "usage by turn"],
  ];
  return words.filter(([has]) => has).map(([, word]) => word);
}

function BoundsOf({ name, limits }: { readonly name: string; readonly limits: AccountLimits | undefined }) {
  if (!limits) return null;
  return (
    <>
      <h3>{name}</h3>
      <dl>
        <Fact name="Calls a second" value={amount(limits.requestsPerSecond)} />
        <Fact name="Open streams" value={amount(limits.streams)} />
        <Fact name="Running turns" value={amount(limits.runningTurns)} />
        <Fact name="Awake agents" value={amount(limits.awakeAgents)} />
        <Fact name="Sessions" value={amount(limits.sessions)} />
        <Fact name="Waiting bytes" value={bytes(limits.queueBytes)} />
        <Fact name="Stored bytes" value={bytes(limits.storedBytes)} />
        <Fact name="Waiting calls" value={amount(limits.waits)} />
      </dl>
    </>
  );
}

function Fact({ name, value }: { readonly name: string; readonly value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function amount(value: bigint | undefined): string {
  return !value ? "no bound" : value.toLocaleString();
}

function bytes(value: bigint | undefined): string {
  return !value ? "no bound" : size(Number(value));
}
