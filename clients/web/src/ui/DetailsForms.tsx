// The forms in which settings of a session are changed, one for each.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { NoApprover, type SessionSnapshot, ShareAccess, ToolAction } from "@quarterdeck/client";
import { durationOf, durationText, labelPairs, labelsOf, linesOf, type Pair } from "../state/settings";
import { readServerInfo, serverInfo } from "../store/server";
import { type Setting, type Settings, updateSettings } from "../store/settings";
import { Dialog, openDialog } from "./Dialog";
import { Choice, Field, Form } from "./Form";
import { Pairs } from "./Pairs";

/** Pairs that a session may have, as the contract has them. */
const LABELS_MAX = 32;
const SHARES_MAX = 64;
const RULES_MAX = 64;

interface EditProps {
  readonly title: string;
  readonly session: SessionSnapshot;
  readonly named: readonly Setting[];
  /** The new values. Throws where what is written can't be read. */
  readonly read: () => Settings;
  readonly children: ComponentChildren;
}

function Edit({ title, session, named, read, children }: EditProps) {
  return (
    <Dialog title={title}>
      <Form submit="Save" onSubmit={async () => updateSettings(session.sessionKey, read(), named)}>
        {children}
      </Form>
    </Dialog>
  );
}

/** Changes the name. */
export function editName(session: SessionSnapshot): void {
  openDialog(() => <Name session={session} />);
}

function Name({ session }: { readonly session: SessionSnapshot }) {
  const [name, setName] = useState(session.displayName);
  return (
    <Edit title="Rename" session={session} named={["displayName"]} read={() => ({ displayName: name })}>
      <Field label="Name" value={name} onInput={setName} hint={`For people. Empty shows the key, ${session.sessionKey}.`} />
    </Edit>
  );
}

/** Changes the labels. */
export function editLabels(session: SessionSnapshot): void {
  openDialog(() => <Labels session={session} />);
}

function Labels({ session }: { readonly session: SessionSnapshot }) {
  const [pairs, setPairs] = useState<readonly Pair[]>(labelPairs(session.labels));
  return (
    <Edit title="Change labels" session={session} named={["labels"]} read={() => ({ labels: labelsOf(pairs) })}>
      <p>Facts by which sessions are found, such as team=search.</p>
      <Pairs name="Label" columns={["Name", "Value"]} pairs={pairs} onChange={setPairs} max={LABELS_MAX} />
    </Edit>
  );
}

/** Changes the agent. */
export function editAgent(session: SessionSnapshot): void {
  void readServerInfo();
  openDialog(() => <Agent session={session} />);
}

function Agent({ session }: { readonly session: SessionSnapshot }) {
  const [agent, setAgent] = useState(session.nextAgent || session.agent);
  const choices = serverInfo.value?.agents.map(({ name }) => [name, name] as const) ?? [[agent, agent] as const];
  return (
    <Edit title="Change the agent" session={session} named={["agent"]} read={() => ({ agent })}>
      <p>Another agent takes over at the next reset; the present conversation stays with {session.agent}.</p>
      <Choice label="Agent" value={agent} choices={choices} onChange={setAgent} />
    </Edit>
  );
}

/** Changes after which time the session is deleted. */
export function editIdle(session: SessionSnapshot): void {
  openDialog(() => <Idle session={session} />);
}

function Idle({ session }: { readonly session: SessionSnapshot }) {
  const [text, setText] = useState(durationText(session.expireAfterIdle));
  const read = (): Settings => withDuration("expireAfterIdle", text);
  return (
    <Edit title="Delete when idle" session={session} named={["expireAfterIdle"]} read={read}>
      <Field label="Delete after" value={text} onInput={setText} placeholder="never" hint="Without a turn for so long: 90s, 15m, 12h or 7d. Empty: never." />
    </Edit>
  );
}

function withDuration(name: "expireAfterIdle" | "questionTtl", text: string): Settings {
  const duration = durationOf(text);
  return duration ? { [name]: duration } : {};
}

/** Changes with whom the session is shared. */
export function editShares(session: SessionSnapshot): void {
  openDialog(() => <Shares session={session} />);
}

const ACCESS: readonly (readonly [value: string, name: string])[] = [
  [String(ShareAccess.READ), "may read"],
  [String(ShareAccess.WRITE), "may read and write"],
];

function Shares({ session }: { readonly session: SessionSnapshot }) {
  const [pairs, setPairs] = useState<readonly Pair[]>(
    session.shares.map(({ principal, access }) => [principal, String(access === ShareAccess.WRITE ? ShareAccess.WRITE : ShareAccess.READ)]),
  );
  const read = (): Settings => ({
    shares: pairs
      .filter(([principal]) => principal.trim() !== "")
      .map(([principal, access]) => ({
        $typeName: "quarterdeck.v1.SessionShare",
        principal: principal.trim(),
        access: access === String(ShareAccess.WRITE) ? ShareAccess.WRITE : ShareAccess.READ,
      })),
  });
  return (
    <Edit title="Change sharing" session={session} named={["shares"]} read={read}>
      <p>Others of the same tenant who may use this session, each as tenant/name.</p>
      <Pairs name="Person" columns={["tenant/name", "Access"]} pairs={pairs} onChange={setPairs} choices={ACCESS} max={SHARES_MAX} />
    </Edit>
  );
}

/** Changes the directory. */
export function editDirectory(session: SessionSnapshot): void {
  openDialog(() => <Directory session={session} />);
}

function Directory({ session }: { readonly session: SessionSnapshot }) {
  const [cwd, setCwd] = useState(session.cwd);
  return (
    <Edit title="Change the directory" session={session} named={["cwd"]} read={() => ({ cwd: cwd.trim() })}>
      <Field
        label="Directory on the server"
        value={cwd}
        onInput={setCwd}
        placeholder="the session's own"
        hint="From the next turn on. It must lie below one of the agent's cwd_roots. Empty: the session's own."
      />
    </Edit>
  );
}

/** Changes what memory the agent reaches. */
export function editMemory(session: SessionSnapshot): void {
  openDialog(() => <MemoryReach session={session} />);
}

function MemoryReach({ session }: { readonly session: SessionSnapshot }) {
  const [text, setText] = useState(session.memoryNamespaces.join("\n"));
  return (
    <Edit title="Change memory" session={session} named={["memoryNamespaces"]} read={() => ({ memoryNamespaces: linesOf(text) })}>
      <Field
        label="Memory that the agent reaches"
        value={text}
        onInput={setText}
        lines={4}
        hint="One a line: @session (its own), @tenant (all of the tenant), or the name of a namespace. The agent writes to the first. Empty: the default."
      />
    </Edit>
  );
}

/** Changes the rules for tools. */
export function editRules(session: SessionSnapshot): void {
  openDialog(() => <Rules session={session} />);
}

const ACTIONS: readonly (readonly [value: string, name: string])[] = [
  [String(ToolAction.ASK), "ask somebody"],
  [String(ToolAction.ALLOW), "run without asking"],
  [String(ToolAction.DENY), "never run"],
];

function Rules({ session }: { readonly session: SessionSnapshot }) {
  const [pairs, setPairs] = useState<readonly Pair[]>(session.toolPolicy.map(({ tool, action }) => [tool, String(action)]));
  const read = (): Settings => ({
    toolPolicy: pairs
      .filter(([tool]) => tool.trim() !== "")
      .map(([tool, action]) => ({
        $typeName: "quarterdeck.v1.ToolRule",
        tool: tool.trim(),
        action: [ToolAction.ALLOW, ToolAction.DENY].find((each) => String(each) === action) ?? ToolAction.ASK,
      })),
  });
  return (
    <Edit title="Change tool rules" session={session} named={["toolPolicy"]} read={read}>
      <p>The first rule that fits a tool's name counts; * stands for any characters. A rule that forbids in the agent's configuration holds in any case.</p>
      <Pairs name="Rule" columns={["Tool", "What happens"]} pairs={pairs} onChange={setPairs} choices={ACTIONS} max={RULES_MAX} />
    </Edit>
  );
}

/** Changes what becomes of questions that nobody answers. */
export function editQuestions(session: SessionSnapshot): void {
  openDialog(() => <Questions session={session} />);
}

function Questions({ session }: { readonly session: SessionSnapshot }) {
  const [approver, setApprover] = useState(String(session.noApprover));
  const [wait, setWait] = useState(durationText(session.questionTtl));
  const read = (): Settings => ({
    noApprover: [NoApprover.WAIT, NoApprover.DENY].find((each) => String(each) === approver) ?? NoApprover.UNSPECIFIED,
    ...withDuration("questionTtl", wait),
  });
  return (
    <Edit title="Unanswered questions" session={session} named={["noApprover", "questionTtl"]} read={read}>
      <Choice
        label="Where nobody is there to answer"
        value={approver}
        choices={[
          [String(NoApprover.UNSPECIFIED), "As the agent is configured"],
          [String(NoApprover.WAIT), "The question waits"],
          [String(NoApprover.DENY), "It is denied at once"],
        ]}
        onChange={setApprover}
      />
      <Field label="A question waits at most" value={wait} onInput={setWait} placeholder="as the agent is configured" hint="Like 90s, 15m, 12h or 7d; at most 7d." />
    </Edit>
  );
}
