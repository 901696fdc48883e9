// Routing: which agent, model and thinking level are used where nobody chose; the rules, their order, and trying them.
import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { type ResolveRouteResponse, type Route } from "@quarterdeck/client";
import { explain } from "../../api";
import { conditionWords, draftOf, moved, type RouteDraft, routeOf, targetWords } from "../../state/routing";
import { labelsOf, linesOf, type Pair } from "../../state/settings";
import { client } from "../../store/account";
import { complain, tell } from "../../store/notices";
import { readServerInfo, serverInfo } from "../../store/server";
import { Button, IconButton } from "../Button";
import { ask, Dialog, openDialog } from "../Dialog";
import { Choice, Field, Form } from "../Form";
import { Foot, Page, reader } from "../Page";
import { Pairs } from "../Pairs";

/** Rules that there may be, and labels that one may ask for, as the contract has them. */
const ROUTES_MAX = 32;
const LABELS_MAX = 32;

const NOTHING: RouteDraft = {
  name: "",
  textMatches: "",
  minTextBytes: "",
  attachmentType: "",
  labels: [],
  principals: "",
  sources: "",
  agent: "",
  model: "",
  thinkingLevel: "",
};

/** Names the state of the rules that is shown: what another person changed meanwhile is not written over. */
const etag = signal("");

const routes = reader<Route>(async () => {
  const found = await client().listRoutes({});
  etag.value = found.etag;
  return { rows: found.routes, next: "" };
});

/** Sets all rules. Throws where it was refused; what they are then is read. */
async function set(rules: readonly Route[]): Promise<void> {
  try {
    await client().setRoutes({ routes: [...rules], etag: etag.value });
  } finally {
    await routes.read();
  }
}

async function attempt(what: string, rules: readonly Route[], done: string): Promise<void> {
  try {
    await set(rules);
    tell(done);
  } catch (error) {
    complain(error, what);
  }
}

/** The page of the routing. */
export function Routing() {
  useEffect(() => {
    void routes.read();
    void readServerInfo();
  }, []);
  const rules = routes.rows.value;
  return (
    <Page
      title="Routing"
      hint="Which agent and model are used where nobody chose; the first rule that matches counts"
      action={
        <Button tone="primary" disabled={rules.length >= ROUTES_MAX} onClick={() => openDialog(() => <RouteForm />)}>
          New rule
        </Button>
      }
    >
      <ol class="item-cards one">
        {rules.map((rule, at) => (
          <Card key={rule.name} rule={rule} at={at} />
        ))}
      </ol>
      <Foot of={routes} empty="There are no rules: the default agent is used, with its own model." />
      <Try />
    </Page>
  );
}

function Card({ rule, at }: { readonly rule: Route; readonly at: number }) {
  const rules = routes.rows.value;
  const { name } = rule;
  const move = (to: number): void => void attempt("Not moved", moved(rules, at, to), `${name} is rule ${to + 1} now.`);
  return (
    <li class="item-card" data-testid="route" data-route={name}>
      <div class="item-head">
        <h2>
          {at + 1}. {name}
        </h2>
        <span class="row-actions">
          <IconButton icon="up" label={`Move ${name} up`} disabled={at === 0} onClick={() => move(at - 1)} />
          <IconButton icon="down" label={`Move ${name} down`} disabled={at === rules.length - 1} onClick={() => move(at + 1)} />
          <IconButton icon="pencil" label={`Change ${name}`} onClick={() => openDialog(() => <RouteForm rule={rule} />)} />
          <IconButton
            icon="trash"
            label={`Delete ${name}`}
            tone="danger"
            onClick={() =>
              ask({
                title: `Delete ${name}?`,
                text: "It counts for nothing that begins from now on; what it chose before stays.",
                yes: "Delete",
                onYes: () =>
                  void attempt(
                    "Not deleted",
                    rules.filter((each) => each.name !== name),
                    `${name} is deleted.`,
                  ),
              })
            }
          />
        </span>
      </div>
      <dl>
        <div>
          <dt>When</dt>
          <dd>{conditionWords(rule)}</dd>
        </div>
        <div>
          <dt>Then</dt>
          <dd>{targetWords(rule.use)}</dd>
        </div>
      </dl>
    </li>
  );
}

/** The form of a rule, or of a new one, which is the last. */
function RouteForm({ rule }: { readonly rule?: Route }) {
  const [draft, setDraft] = useState(rule ? draftOf(rule) : NOTHING);
  const field = (name: keyof RouteDraft) => (value: string) => setDraft({ ...draft, [name]: value });
  const submit = async (): Promise<void> => {
    const written = routeOf(draft);
    const rules = routes.rows.value;
    await set(rule ? rules.map((each) => (each.name === rule.name ? written : each)) : [...rules, written]);
    tell(`${written.name} counts from now on.`);
  };
  return (
    <Dialog title={rule ? `Change ${rule.name}` : "New rule"} wide>
      <Form submit="Save" onSubmit={submit}>
        <Field label="Name" value={draft.name} onInput={field("name")} required pattern="[A-Za-z0-9][A-Za-z0-9._\-]*" />
        <h3>When all of these hold</h3>
        <div class="columns">
          <Field label="The text matches" value={draft.textMatches} onInput={field("textMatches")} placeholder="any" hint="A regular expression, found anywhere." />
          <Field label="The text has at least, in bytes" value={draft.minTextBytes} onInput={field("minTextBytes")} placeholder="any" />
        </div>
        <div class="columns">
          <Field label="A file is" value={draft.attachmentType} onInput={field("attachmentType")} placeholder="any, such as image/*" />
          <Field label="Its source is (one a line)" value={draft.sources} onInput={field("sources")} placeholder="any" lines={2} />
        </div>
        <Field label="It comes from (one a line)" value={draft.principals} onInput={field("principals")} placeholder="anybody, such as default/alice" lines={2} />
        <Pairs name="Label of the session" columns={["Name", "Value"]} pairs={draft.labels} onChange={(labels) => setDraft({ ...draft, labels })} max={LABELS_MAX} />
        <h3>Then use</h3>
        <AgentChoice label="Agent" value={draft.agent} none="not chosen here" onChange={field("agent")} />
        <div class="columns">
          <Field label="Model" value={draft.model} onInput={field("model")} placeholder="the agent's own" hint="As provider/model." />
          <Field label="Thinking level" value={draft.thinkingLevel} onInput={field("thinkingLevel")} placeholder="the agent's own" />
        </div>
      </Form>
    </Dialog>
  );
}

interface AgentChoiceProps {
  readonly label: string;
  readonly value: string;
  readonly none: string;
  readonly onChange: (value: string) => void;
}

/** An agent of the server; one that is not there any more stands among them while it is chosen. */
function AgentChoice({ label, value, none, onChange }: AgentChoiceProps) {
  const known = serverInfo.value?.agents.map(({ name }) => name) ?? [];
  const names = value === "" || known.includes(value) ? known : [value, ...known];
  return <Choice label={label} value={value} choices={[["", none], ...names.map((name) => [name, name] as const)]} onChange={onChange} />;
}

/** Tells what the rules would do with a prompt, which is not sent. */
function Try() {
  const [text, setText] = useState("");
  const [labels, setLabels] = useState<readonly Pair[]>([]);
  const [source, setSource] = useState("");
  const [principal, setPrincipal] = useState("");
  const [files, setFiles] = useState("");
  const [agent, setAgent] = useState("");
  const [found, setFound] = useState<ResolveRouteResponse | undefined>(undefined);
  const [problem, setProblem] = useState("");
  const resolve = async (): Promise<void> => {
    try {
      const request = { text, labels: labelsOf(labels), source, principal: principal.trim(), attachmentTypes: linesOf(files), agent };
      setFound(await client().resolveRoute(request));
      setProblem("");
    } catch (error) {
      setFound(undefined);
      setProblem(explain(error));
    }
  };
  return (
    <section class="page-part" aria-label="Try the rules">
      <header class="page-head">
        <h2>Try the rules</h2>
        <span class="hint">Nothing is sent</span>
      </header>
      <form
        class="form narrow"
        onSubmit={(event) => {
          event.preventDefault();
          void resolve();
        }}
      >
        <Field label="Prompt" value={text} onInput={setText} lines={3} />
        <Pairs name="Label of the session" columns={["Name", "Value"]} pairs={labels} onChange={setLabels} max={LABELS_MAX} />
        <div class="columns">
          <Field label="Source" value={source} onInput={setSource} placeholder="none" />
          <Field label="Sent by" value={principal} onInput={setPrincipal} placeholder="you" />
        </div>
        <div class="columns">
          <Field label="Types of its files (one a line)" value={files} onInput={setFiles} placeholder="none" lines={2} />
          <AgentChoice label="Session of the agent" value={agent} none="a new session" onChange={setAgent} />
        </div>
        <p class="problem" role="alert">
          {problem}
        </p>
        <div class="dialog-buttons">
          <Button submit>Try</Button>
        </div>
      </form>
      <div role="status" data-testid="resolved">
        {found ? (
          <dl class="resolved">
            <div>
              <dt>Used</dt>
              <dd>{targetWords(found)}</dd>
            </div>
            <div>
              <dt>Rule</dt>
              <dd>{found.routing === undefined || found.routing.ruleName === "" ? "none" : found.routing.ruleName}</dd>
            </div>
            <div>
              <dt>Why</dt>
              <dd>{found.routing?.reason ?? "There are no rules."}</dd>
            </div>
            {found.routing && found.routing.skippedRules.length > 0 ? (
              <div>
                <dt>Passed over</dt>
                <dd>{found.routing.skippedRules.join(", ")}</dd>
              </div>
            ) : null}
          </dl>
        ) : null}
      </div>
    </section>
  );
}
