// What runs here, its limits, and what the caller may do.
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
import { SCOPES } from "../state/scopes";
import { clockTime, dateOf, duration, size } from "../state/format";
import { account } from "../store/account";
import { readServerInfo, serverInfo } from "../store/server";
import { Fact } from "./Page";

/** The page of the server. */
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

/** How somebody is known, in words. */
const CREDENTIALS: Readonly<Partial<Record<CredentialKind, string>>> = {
  [CredentialKind.NONE]: "nothing: the server asks for no key",
  [CredentialKind.API_KEY]: "an API key",
  [CredentialKind.JWT]: "a token",
  [CredentialKind.CERTIFICATE]: "a client certificate",
  [CredentialKind.LOCAL_USER]: "the user who runs the server",
};

function WhoCard({ who }: { readonly who: WhoAmIResponse }) {
  const expires = dateOf(who.expireTime);
  return (
    <section class="card" aria-label="You">
      <h2>You</h2>
      <dl>
        <Fact name="Signed in as" value={who.principal} />
        <Fact name="Signed in with" value={CREDENTIALS[who.credential] ?? "unknown"} />
        {who.keyId === "" ? null : <Fact name="Key id" value={who.keyId} />}
        <Fact name="Sign-in ends" value={expires ? clockTime(expires, new Date()) : "never"} />
      </dl>
      <h3>What you may do</h3>
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
        <h2>How long data is kept</h2>
        <dl>
          <Fact name="Events of each session" value={retention?.events ? `the newest ${retention.events.toLocaleString()}` : "all"} />
          <Fact name="Events, for" value={duration(retention?.eventAge) || "ever"} />
          <Fact name="Turns and messages, for" value={duration(retention?.historyAge) || "ever"} />
        </dl>
      </section>
      <section class="card" aria-label="Limits">
        <h2>Limits</h2>
        <dl>
          <Fact name="Turns that wait in a session" value={amount(limits?.queueTurnsPerSession)} />
          <Fact name="Their prompts and files together" value={bytes(limits?.queueBytesPerSession)} />
          <Fact name="Length of a prompt" value={bytes(limits?.textBytes)} />
          <Fact name="Size of an attachment" value={bytes(limits?.attachmentBytes)} />
          <Fact name="Turns that run at once" value={amount(limits?.runningTurns)} />
          <Fact name="Time of a turn" value={duration(limits?.turnTimeout) || "no limit"} />
          <Fact name="Time that a caller may ask for" value={duration(limits?.maxTurnTimeout) || "no limit"} />
        </dl>
        <LimitsOf name="Of each user" limits={limits?.principal} />
        <LimitsOf name="Of all users of a tenant together" limits={limits?.tenant} />
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

function LimitsOf({ name, limits }: { readonly name: string; readonly limits: AccountLimits | undefined }) {
  if (!limits) return null;
  return (
    <>
      <h3>{name}</h3>
      <dl>
        <Fact name="Calls a second" value={amount(limits.requestsPerSecond)} />
        <Fact name="Open connections" value={amount(limits.streams)} />
        <Fact name="Turns that run at once" value={amount(limits.runningTurns)} />
        <Fact name="Agent processes at once" value={amount(limits.awakeAgents)} />
        <Fact name="Sessions" value={amount(limits.sessions)} />
        <Fact name="Prompts and files that wait" value={bytes(limits.queueBytes)} />
        <Fact name="Stored data" value={bytes(limits.storedBytes)} />
        <Fact name="Calls that wait for news" value={amount(limits.waits)} />
      </dl>
    </>
  );
}

function amount(value: bigint | undefined): string {
  return !value ? "no limit" : value.toLocaleString();
}

function bytes(value: bigint | undefined): string {
  return !value ? "no limit" : size(Number(value));
}
