// Workers: who is connected and what they run, and which turns wait for one, and why.
import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import type { Worker, WorkerWanted } from "@quarterdeck/client";
import { clockTime, count, dateOf, duration } from "../../state/format";
import { hashOf } from "../../state/route";
import { labelWords, neededLabels, waitingForWorker, whyWaiting, workerState } from "../../state/workers";
import { client, scopes } from "../../store/account";
import { sessions } from "../../store/live";
import { tell } from "../../store/notices";
import { IconButton } from "../Button";
import { Dialog, openDialog } from "../Dialog";
import { Field, Form } from "../Form";
import { Fact, Foot, Page, reader, Table } from "../Page";

/** Workers that are read at a time. */
const PAGE = 500;
/** How often they are read while they are shown, in milliseconds. */
const READ_MS = 3000;

const wanted = signal<readonly WorkerWanted[]>([]);

const workers = reader<Worker>(async (pageToken) => {
  const page = await client().listWorkers({ pageSize: PAGE, pageToken });
  wanted.value = page.wanted;
  return { rows: page.workers, next: page.nextPageToken };
});

/** The page of the workers. */
export function Workers() {
  useEffect(() => {
    void workers.read();
    const timer = setInterval(() => void workers.read(), READ_MS);
    return () => clearInterval(timer);
  }, []);
  return (
    <Page title="Workers" hint="Other machines that run agents" action={<IconButton icon="again" label="Read again" onClick={() => void workers.read()} />}>
      <ul class="item-cards">
        {workers.rows.value.map((worker) => (
          <Card key={`${worker.principal} ${worker.workerName}`} worker={worker} />
        ))}
      </ul>
      <Foot of={workers} empty="No worker is connected." />
      <Waiting />
    </Page>
  );
}

function Card({ worker }: { readonly worker: Worker }) {
  const name = worker.workerName;
  const [word, tone] = workerState(worker);
  return (
    <li class="item-card" data-testid="worker" data-worker={name}>
      <div class="item-head">
        <h2>{name}</h2>
        <span class={`state ${tone}`}>{word}</span>
        <span class="hint">{worker.version}</span>
        {scopes.value.has("admin.config") ? (
          <span class="row-actions">
            <IconButton icon="stop" label={`End ${name}`} tone="danger" onClick={() => openDialog(() => <Terminate worker={worker} />)} />
          </span>
        ) : null}
      </div>
      <dl>
        <Fact name="Calls as" value={worker.principal} />
        <Fact name="Agents" value={worker.agents.join(", ")} />
        <Fact name="Labels" value={labelWords(worker.labels) || "none"} />
        <Fact name="Room" value={`${worker.leases.length} of ${count(worker.capacity, "turn")} in use`} />
        <div>
          <dt>Runs</dt>
          <dd>
            {worker.leases.length === 0 ? "nothing" : null}
            {worker.leases.map(({ turnId, sessionKey, agent, attempt }, at) => (
              <span key={turnId} data-testid="lease">
                {at > 0 ? ", " : ""}
                <a href={hashOf({ place: "sessions", sessionKey })}>{sessionKey}</a> ({agent}
                {attempt > 1 ? `, try ${attempt}` : ""})
              </span>
            ))}
          </dd>
        </div>
        <Fact name="Connected" value={`since ${clockTime(dateOf(worker.connectTime), new Date())}; heard from ${duration(worker.idle) || "0 ms"} ago`} />
      </dl>
    </li>
  );
}

/** Turns that wait: the sessions that one may see, and how many there are in all, which the operator is told. */
function Waiting() {
  const waiting = waitingForWorker(sessions.value.sessions.values());
  return (
    <section class="page-part" aria-label="Turns that wait for a worker">
      <header class="page-head">
        <h2>Turns that wait for a worker</h2>
      </header>
      {wanted.value.length === 0 ? null : (
        <p data-testid="wanted">
          {wanted.value.map((each) => `${count(each.waiting, "session")} for ${each.agent}${labelWords(each.labels) === "" ? "" : ` with ${labelWords(each.labels)}`}`).join("; ")}, of all
          tenants.
        </p>
      )}
      {waiting.length === 0 ? (
        <p class="empty-list">No turn of a session that you may see waits.</p>
      ) : (
        <Table name="Sessions that wait" columns={["Session", "Agent", "Why"]}>
          {waiting.map(({ sessionKey, agent }) => (
            <tr key={sessionKey} data-testid="waiting">
              <td>
                <a href={hashOf({ place: "sessions", sessionKey })}>{sessionKey}</a>
              </td>
              <td>{agent}</td>
              <td class="wrapped long">{whyWaiting(agent, neededLabels(agent, wanted.value), workers.rows.value)}</td>
            </tr>
          ))}
        </Table>
      )}
    </section>
  );
}

function Terminate({ worker }: { readonly worker: Worker }) {
  const name = worker.workerName;
  const [reason, setReason] = useState("");
  return (
    <Dialog title={`End ${name}?`}>
      <Form
        submit="End it"
        onSubmit={async () => {
          await client().terminateWorker({ workerName: name, reason });
          tell(`${name} is told to end.`);
          await workers.read();
        }}
      >
        <p>
          {worker.leases.length === 0
            ? "It leaves, and does not connect again until somebody starts it."
            : `It ends what it runs: ${count(worker.leases.length, "turn")}, as if the worker was lost. It does not connect again until somebody starts it.`}
        </p>
        <Field label="Why" value={reason} onInput={setReason} placeholder="for who reads its log" />
      </Form>
    </Dialog>
  );
}
