// What is known of a session, beside its transcript, with what can be changed of it.
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { NoApprover, type SessionSnapshot, ShareAccess, ToolAction } from "@quarterdeck/client";
import { clockTime, count, dateOf, enumName, money } from "../state/format";
import { durationText, labelPairs } from "../state/settings";
import { tokensOf } from "../state/turns";
import { scopes } from "../store/account";
import { CopyButton } from "./Copy";
import { Button, IconButton } from "./Button";
import { openChoices } from "./Choices";
import {
  editAgent,
  editDirectory,
  editIdle,
  editLabels,
  editMemory,
  editName,
  editQuestions,
  editRules,
  editShares,
} from "./DetailsForms";

/** Whether the panel is open. */
export const detailsOpen = signal(false);

/** The panel of a session. */
export function Details({ session }: { readonly session: SessionSnapshot }) {
  const write = scopes.value.has("session.write");
  const edit = (label: string, open: (session: SessionSnapshot) => void): ComponentChildren =>
    write ? <IconButton icon="pencil" label={label} onClick={() => open(session)} /> : null;
  const time = (of: SessionSnapshot["createTime"]): string => clockTime(dateOf(of), new Date()) || "never";
  return (
    <aside class="details" aria-label="Details" tabIndex={0}>
      <header>
        <h2>Details</h2>
        <IconButton icon="close" label="Close details" onClick={() => (detailsOpen.value = false)} />
      </header>
      <Part title="Model" action={write ? <Button onClick={() => openChoices(session)}>Change</Button> : null}>
        <Row name="Model">{session.model || "The agent's own"}</Row>
        <Row name="Thinking level">{session.thinkingLevel || "The agent's own"}</Row>
      </Part>
      <UsagePart session={session} />
      <Part title="Session">
        <Row name="Name" action={edit("Change name", editName)}>
          {session.displayName || "none"}
        </Row>
        <Row name="Labels" action={edit("Change labels", editLabels)}>
          {labelPairs(session.labels).map(([name, value]) => (
            <span key={name} class="tag">
              {name}={value}
            </span>
          ))}
          {Object.keys(session.labels).length === 0 ? "none" : null}
        </Row>
        <Row name="Agent" action={edit("Change agent", editAgent)}>
          {session.agent}
          {session.nextAgent === "" ? null : `, ${session.nextAgent} after the next reset`}
        </Row>
        <Row name="Messages">{session.messageCount.toLocaleString()}</Row>
        <Row name="Created">{time(session.createTime)}</Row>
        <Row name="Last active">{time(session.lastActiveTime)}</Row>
        <Row name="Deleted when idle for" action={edit("Change idle time", editIdle)}>
          {durationText(session.expireAfterIdle) || "never"}
        </Row>
      </Part>
      <Part title="Access">
        <Row name="Owner">{session.owner}</Row>
        <Row name="Shared with" action={edit("Change sharing", editShares)}>
          {session.shares.map(({ principal, access }) => (
            <span key={principal}>
              {principal} ({access === ShareAccess.WRITE ? "read and write" : "read"}){" "}
            </span>
          ))}
          {session.shares.length === 0 ? "nobody" : null}
        </Row>
      </Part>
      <Part title="What the agent can reach">
        <Row name="Directory" action={edit("Change directory", editDirectory)}>
          {session.cwd === "" ? "the session's own" : <code>{session.cwd}</code>}
        </Row>
        <Row name="Memory" action={scopes.value.has("memory.read") && scopes.value.has("memory.write") ? edit("Change memory", editMemory) : null}>
          {memoryWords(session)}
        </Row>
        <Row name="Tool rules" action={edit("Change tool rules", editRules)}>
          {session.toolPolicy.map(({ tool, action }, at) => (
            <span key={at} class="tag">
              {tool}: {enumName(ToolAction, action)}
            </span>
          ))}
          {session.toolPolicy.length === 0 ? "the agent's own" : null}
        </Row>
        <Row name="Unanswered questions" action={edit("Change questions", editQuestions)}>
          {approverWords(session)}
        </Row>
      </Part>
      <Part title="Ids">
        <Id name="Key" value={session.sessionKey} />
        <Id name="Session id" value={session.sessionId} />
        <Id name="Log id" value={session.logId} />
        {session.activeTurnId === "" ? null : <Id name="Running turn" value={session.activeTurnId} />}
        <Row name="Conversation">{session.generation.toLocaleString()}</Row>
        <Row name="Newest event">{session.headSeq.toLocaleString()}</Row>
      </Part>
    </aside>
  );
}

function UsagePart({ session }: { readonly session: SessionSnapshot }) {
  const { usage, contextTokens, contextWindow } = session;
  return (
    <Part title="Usage" below={<UsageNotes session={session} />}>
      <Row name="Tokens">{usage ? tokensOf(usage).toLocaleString() : "0"}</Row>
      {usage ? (
        <Row name="Of these">
          {usage.inputTokens.toLocaleString()} in, {usage.outputTokens.toLocaleString()} out,{" "}
          {(usage.cacheReadTokens + usage.cacheWriteTokens).toLocaleString()} cached
        </Row>
      ) : null}
      <Row name="Model calls">{(usage?.modelCalls ?? 0n).toLocaleString()}</Row>
      <Row name="Cost">{usage ? money(usage.costMicros, usage.unpricedCalls > 0n) : money(0n)}</Row>
      <Row name="Context">
        {contextTokens === 0n ? "not known" : contextWindow === 0n ? count(contextTokens, "token") : `${contextTokens.toLocaleString()} of ${contextWindow.toLocaleString()}`}
      </Row>
    </Part>
  );
}

function UsageNotes({ session }: { readonly session: SessionSnapshot }) {
  const { usage, contextTokens, contextWindow } = session;
  return (
    <>
      {contextWindow > 0n ? (
        <progress aria-label="Context that is used" max={Number(contextWindow)} value={Math.min(Number(contextTokens), Number(contextWindow))} />
      ) : null}
      {usage && usage.unpricedCalls > 0n ? <p class="hint">The price of {count(usage.unpricedCalls, "call")} is not known.</p> : null}
    </>
  );
}

function memoryWords({ memoryNamespaces, primary }: SessionSnapshot): string {
  if (memoryNamespaces.length === 0) return primary ? "all of the tenant" : "the session's own";
  const words: Readonly<Record<string, string>> = { "@session": "the session's own", "@tenant": "all of the tenant" };
  return memoryNamespaces.map((name) => words[name] ?? name).join(", ");
}

function approverWords({ noApprover, questionTtl }: SessionSnapshot): string {
  if (noApprover === NoApprover.DENY) return "denied at once";
  const wait = questionTtl ? `wait ${durationText(questionTtl)}` : "wait";
  return noApprover === NoApprover.WAIT ? wait : questionTtl ? wait : "as the agent is configured";
}

interface PartProps {
  readonly title: string;
  readonly action?: ComponentChildren;
  /** What stands below the facts. */
  readonly below?: ComponentChildren;
  readonly children: ComponentChildren;
}

function Part({ title, action, below, children }: PartProps) {
  return (
    <section class="details-part" aria-label={title}>
      <div class="details-title">
        <h3>{title}</h3>
        {action}
      </div>
      <dl>{children}</dl>
      {below}
    </section>
  );
}

interface RowProps {
  readonly name: string;
  readonly action?: ComponentChildren;
  readonly children: ComponentChildren;
}

function Row({ name, action, children }: RowProps) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        <span>{children}</span>
        {action}
      </dd>
    </div>
  );
}

function Id({ name, value }: { readonly name: string; readonly value: string }) {
  return (
    <Row name={name} action={<CopyButton label={`Copy ${name.toLowerCase()}`} text={() => value} />}>
      <code>{value}</code>
    </Row>
  );
}
