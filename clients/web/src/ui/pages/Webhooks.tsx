// Webhooks: where what happens in sessions is posted to, how that goes, and what was delivered.
import { useEffect, useState } from "preact/hooks";
import type { Delivery, Webhook } from "@quarterdeck/client";
import { explain } from "../../api";
import { clockTime, count, dateOf } from "../../state/format";
import { hashOf } from "../../state/route";
import { answerWords, deliveryState, filterWords, kindsWords, pauseWords, payloadWords, webhookName, webhookState } from "../../state/webhooks";
import { client, scopes } from "../../store/account";
import { complain, tell } from "../../store/notices";
import { Button, IconButton } from "../Button";
import { ask, Dialog, openDialog } from "../Dialog";
import { Fact, Foot, Page, reader, Table } from "../Page";
import { openWebhookForm } from "./WebhookForm";

/** Webhooks that are read at a time. */
const PAGE = 100;
/** Deliveries that are shown; so many are kept. */
const DELIVERIES_MAX = 200;
/** How often what is shown is read, in milliseconds. */
const READ_MS = 5000;

const webhooks = reader<Webhook>(async (pageToken) => {
  const page = await client().listWebhooks({ pageSize: PAGE, pageToken });
  return { rows: page.webhooks, next: page.nextPageToken };
});

/** The page of the webhooks. */
export function Webhooks() {
  useEffect(() => {
    void webhooks.read();
    const timer = setInterval(() => void webhooks.read(), READ_MS);
    return () => clearInterval(timer);
  }, []);
  const write = scopes.value.has("webhook.write");
  return (
    <Page
      title="Webhooks"
      hint="Addresses that are told what happens in sessions; these are your own"
      action={
        write ? (
          <Button tone="primary" onClick={() => openWebhookForm(() => webhooks.read())}>
            New webhook
          </Button>
        ) : null
      }
    >
      <ul class="item-cards">
        {webhooks.rows.value.map((webhook) => (
          <Card key={webhook.webhookId} webhook={webhook} write={write} />
        ))}
      </ul>
      <Foot of={webhooks} empty="There are no webhooks yet." />
    </Page>
  );
}

function Card({ webhook, write }: { readonly webhook: Webhook; readonly write: boolean }) {
  const name = webhookName(webhook);
  const [word, tone] = webhookState(webhook);
  const [failing, next] = [dateOf(webhook.failingSince), dateOf(webhook.nextTryTime)];
  const now = new Date();
  return (
    <li class="item-card" data-testid="webhook">
      <div class="item-head">
        <h2>{name}</h2>
        <span class={`state ${tone}`}>{word}</span>
        <span class="hint">{pauseWords(webhook)}</span>
        <span class="row-actions">
          <IconButton icon="clock" label={`Deliveries of ${name}`} onClick={() => openDialog(() => <Deliveries webhook={webhook} write={write} />)} />
          {write ? (
            <>
              {webhook.paused || failing ? <IconButton icon="again" label={`Try ${name} at once`} onClick={() => void tryAtOnce(webhook)} /> : null}
              <IconButton icon="pencil" label={`Change ${name}`} onClick={() => openWebhookForm(() => webhooks.read(), webhook)} />
              <IconButton
                icon={webhook.paused ? "play" : "pause"}
                label={webhook.paused ? `Resume ${name}` : `Pause ${name}`}
                onClick={() => void setPaused(webhook, !webhook.paused)}
              />
              <IconButton icon="trash" label={`Delete ${name}`} tone="danger" onClick={() => askDelete(webhook)} />
            </>
          ) : null}
        </span>
      </div>
      <dl>
        <Fact name="Address" value={webhook.url} />
        <Fact name="Events" value={kindsWords(webhook.kinds)} />
        <Fact name="Sessions" value={filterWords(webhook.filter)} />
        <Fact name="Tells" value={payloadWords(webhook.payload)} />
        <Fact name="Signed by" value={count(webhook.secretCount, "secret")} />
        {failing ? <Fact name="Failing" value={`since ${clockTime(failing, now)}${next ? `, next try ${clockTime(next, now)}` : ""}`} /> : null}
      </dl>
    </li>
  );
}

async function setPaused(webhook: Webhook, paused: boolean): Promise<void> {
  const name = webhookName(webhook);
  try {
    await client().updateWebhook({
      webhookId: webhook.webhookId,
      webhook: { paused, pauseReason: paused ? "in the console" : "" },
      updateMask: { paths: ["paused", "pause_reason"] },
    });
    tell(paused ? `${name} is paused.` : `${name} goes on where it was.`);
    await webhooks.read();
  } catch (error) {
    complain(error, paused ? "Not paused" : "Not resumed");
  }
}

async function tryAtOnce(webhook: Webhook): Promise<void> {
  try {
    await client().redeliverWebhook({ webhookId: webhook.webhookId });
    tell(`${webhookName(webhook)} is tried at once.`);
    await webhooks.read();
  } catch (error) {
    complain(error, "Not tried");
  }
}

function askDelete(webhook: Webhook): void {
  ask({
    title: `Delete ${webhookName(webhook)}?`,
    text: "Nothing is told to its address any more, also not what waits; the list of its deliveries goes.",
    yes: "Delete",
    onYes: () => void remove(webhook),
  });
}

async function remove(webhook: Webhook): Promise<void> {
  try {
    await client().deleteWebhook({ webhookId: webhook.webhookId });
    tell(`${webhookName(webhook)} is deleted.`);
    await webhooks.read();
  } catch (error) {
    complain(error, "Not deleted");
  }
}

interface DeliveriesProps {
  readonly webhook: Webhook;
  readonly write: boolean;
}

/** What was delivered, and what was tried. Read again while it is shown. */
function Deliveries({ webhook, write }: DeliveriesProps) {
  const { webhookId } = webhook;
  const [deliveries] = useState(() =>
    reader<Delivery>(async (pageToken) => {
      const page = await client().listDeliveries({ webhookId, pageSize: DELIVERIES_MAX, pageToken });
      return { rows: page.deliveries, next: page.nextPageToken };
    }),
  );
  const [said, setSaid] = useState("");
  useEffect(() => {
    void deliveries.read();
    const timer = setInterval(() => void deliveries.read(), READ_MS);
    return () => clearInterval(timer);
  }, []);
  const again = async ({ sessionKey, seq }: Delivery): Promise<void> => {
    try {
      await client().redeliverWebhook({ webhookId, sessionKey, fromSeq: seq });
      setSaid(`What happened in ${sessionKey} from event ${seq} on is delivered again.`);
      await deliveries.read();
    } catch (error) {
      setSaid(`Not delivered again: ${explain(error)}`);
    }
  };
  return (
    <Dialog title={`Deliveries of ${webhookName(webhook)}`} wide>
      {deliveries.rows.value.length === 0 ? null : (
        <Table name="Deliveries" columns={["Event", "Session", "What came of it", "Tries", "Answer", "Tried last", ""]} numbers={["Tries"]}>
          {deliveries.rows.value.map((delivery) => (
            <DeliveryRow key={delivery.deliveryId} of={delivery} onAgain={write ? () => void again(delivery) : undefined} />
          ))}
        </Table>
      )}
      <Foot of={deliveries} empty="Nothing was delivered yet." />
      <p role="status">{said}</p>
    </Dialog>
  );
}

function DeliveryRow({ of, onAgain }: { readonly of: Delivery; readonly onAgain: (() => void) | undefined }) {
  const [word, tone] = deliveryState(of);
  return (
    <tr class={tone} data-testid="delivery">
      <td>
        {of.kind} <span class="hint">{of.seq.toString()}</span>
      </td>
      <td>
        <a href={hashOf({ place: "sessions", sessionKey: of.sessionKey })}>{of.sessionKey}</a>
      </td>
      <td>
        <span class={`state ${tone}`}>{word}</span>
      </td>
      <td class="number">{of.tries}</td>
      <td class="wrapped">{answerWords(of)}</td>
      <td title={dateOf(of.firstTryTime)?.toLocaleString()}>{clockTime(dateOf(of.lastTryTime), new Date())}</td>
      <td>{onAgain ? <IconButton icon="again" label={`Deliver ${of.sessionKey} again from event ${of.seq} on`} onClick={onAgain} /> : null}</td>
    </tr>
  );
}
