// Makes a webhook, or changes one. A new one's secret is shown once and kept nowhere.
import { useEffect, useRef, useState } from "preact/hooks";
import { type Webhook, WebhookPayload } from "@quarterdeck/client";
import { labelPairs, labelsOf, linesOf, type Pair } from "../../state/settings";
import { KINDS, USUAL_KINDS, webhookName } from "../../state/webhooks";
import { client } from "../../store/account";
import { tell } from "../../store/notices";
import { readServerInfo, serverInfo } from "../../store/server";
import { Dialog, openDialog } from "../Dialog";
import { Choice, Field, Form } from "../Form";
import { NewSecret } from "../NewSecret";
import { Pairs } from "../Pairs";

/** Labels that a filter may ask for, as the contract has them. */
const LABELS_MAX = 16;
/** What the form changes. */
const PATHS = ["url", "kinds", "filter", "payload", "display_name"];

/** Opens the form of a new webhook, or of `webhook`; `onDone` is called when it was made or changed. */
export function openWebhookForm(onDone: () => Promise<void>, webhook?: Webhook): void {
  openDialog(() => <WebhookForm onDone={onDone} webhook={webhook} />);
}

/** Which kinds are chosen, as a word. */
function choiceOf(kinds: readonly string[]): "all" | "usual" | "some" {
  if (kinds.length === 0) return "all";
  return kinds.length === USUAL_KINDS.length && USUAL_KINDS.every((kind) => kinds.includes(kind)) ? "usual" : "some";
}

interface WebhookFormProps {
  readonly onDone: () => Promise<void>;
  readonly webhook: Webhook | undefined;
}

function WebhookForm({ onDone, webhook }: WebhookFormProps) {
  useEffect(() => void readServerInfo(), []);
  const before = webhook?.filter;
  const [name, setName] = useState(webhook?.displayName ?? "");
  const [url, setUrl] = useState(webhook?.url ?? "");
  const [which, setWhich] = useState<string>(webhook ? choiceOf(webhook.kinds) : "usual");
  const [kinds, setKinds] = useState<readonly string[]>(webhook?.kinds ?? []);
  const [payload, setPayload] = useState(String(webhook?.payload === WebhookPayload.FULL ? WebhookPayload.FULL : WebhookPayload.THIN));
  const [session, setSession] = useState(before?.sessionKey ?? "");
  const [prefix, setPrefix] = useState(before?.sessionKeyPrefix ?? "");
  const [agent, setAgent] = useState(before?.agent ?? "");
  const [labels, setLabels] = useState<readonly Pair[]>(labelPairs(before?.labels ?? {}));
  const [secrets, setSecrets] = useState("");
  const made = useRef("");
  const submit = async (): Promise<void> => {
    if (which === "some" && kinds.length === 0) throw new Error("Choose an event.");
    const filter = { sessionKey: session.trim(), sessionKeyPrefix: prefix.trim(), agent, labels: labelsOf(labels) };
    const value = {
      url: url.trim(),
      displayName: name.trim(),
      kinds: which === "all" ? [] : which === "usual" ? [...USUAL_KINDS] : [...kinds],
      payload: payload === String(WebhookPayload.FULL) ? WebhookPayload.FULL : WebhookPayload.THIN,
      ...(filter.sessionKey || filter.sessionKeyPrefix || filter.agent || Object.keys(filter.labels).length > 0 ? { filter } : {}),
    };
    if (webhook) {
      const request = { webhookId: webhook.webhookId, webhook: value, updateMask: { paths: PATHS }, secrets: linesOf(secrets) };
      const changed = await client().updateWebhook(request);
      tell(`${changed.webhook ? webhookName(changed.webhook) : value.url} is changed.`);
    } else {
      made.current = (await client().createWebhook({ webhook: value, secrets: linesOf(secrets) })).secret;
    }
    await onDone();
  };
  const showSecret = (): void => {
    if (made.current !== "") openDialog(() => <NewSecret title="The secret that signs its deliveries" copy="Copy the secret" secret={made.current} />);
  };
  const toggle = (kind: string, on: boolean): void => setKinds(on ? [...kinds, kind].sort() : kinds.filter((each) => each !== kind));
  const agents = serverInfo.value?.agents.map((each) => [each.name, each.name] as const) ?? [];
  return (
    <Dialog title={webhook ? `Change ${webhookName(webhook)}` : "New webhook"} wide>
      <Form submit={webhook ? "Save" : "Make"} onSubmit={submit} onClosed={showSecret}>
        <Field label="Address" value={url} onInput={setUrl} required placeholder="https://…" hint="Is posted to; https, on no private network unless the server allows it." />
        <Field label="Name (optional)" value={name} onInput={setName} hint="For people." />
        <div class="columns">
          <Choice
            label="Events"
            value={which}
            choices={[
              ["usual", "ends of turns, and questions"],
              ["some", "those that I choose"],
              ["all", "all"],
            ]}
            onChange={setWhich}
          />
          <Choice
            label="What is told of them"
            value={payload}
            choices={[
              [String(WebhookPayload.THIN), "where the event stands"],
              [String(WebhookPayload.FULL), "the whole event"],
            ]}
            onChange={setPayload}
          />
        </div>
        {which === "some" ? (
          <fieldset class="field scopes-chosen narrow-ticks">
            <legend>Which events</legend>
            {KINDS.map((kind) => (
              <label key={kind} class="tick">
                <input type="checkbox" checked={kinds.includes(kind)} onChange={(event) => toggle(kind, event.currentTarget.checked)} />
                <code>{kind}</code>
              </label>
            ))}
          </fieldset>
        ) : null}
        <div class="columns">
          <Field label="Only the session" value={session} onInput={setSession} placeholder="any" />
          <Field label="Only keys that begin with" value={prefix} onInput={setPrefix} placeholder="any" />
        </div>
        <Choice label="Only the agent" value={agent} choices={[["", "any"], ...agents]} onChange={setAgent} />
        <Pairs name="Label of the session" columns={["Name", "Value"]} pairs={labels} onChange={setLabels} max={LABELS_MAX} />
        <Field
          label={webhook ? "New secrets (optional)" : "Your own secrets (optional)"}
          value={secrets}
          onInput={setSecrets}
          lines={2}
          hint={
            webhook
              ? "One a line, at most 2. They sign in place of those before: give the new one and the old one, later the new one alone."
              : "One a line, at most 2: whsec_ and base64. Empty: the server makes one, which is shown once."
          }
        />
      </Form>
    </Dialog>
  );
}
