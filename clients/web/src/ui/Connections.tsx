// Open connections: every stream of the tenant, and who listens.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { explain } from "../api";
import type { Channel } from "@quarterdeck/client";
import { ago, count, dateOf } from "../state/format";
import { hashOf } from "../state/route";
import { client, endIfRefused, scopes } from "../store/account";
import { complain, tell } from "../store/notices";
import { Button } from "./Button";
import { ask } from "./Dialog";

/** How often the list is read, in milliseconds, while it is shown. */
const READ_MS = 4000;
/** Streams shown. */
const CHANNELS_MAX = 500;

const channels = signal<readonly Channel[]>([]);
const problem = signal("");
const more = signal(false);

/** The page of the open connections. */
export function Connections() {
  useEffect(() => {
    void read();
    const timer = setInterval(() => void read(), READ_MS);
    return () => clearInterval(timer);
  }, []);
  const people = new Set(channels.value.map((channel) => channel.principal)).size;
  // It scrolls, also by keys, and holds nothing else to focus.
  return (
    <main class="page" aria-label="Connections" tabindex={0}>
      <header class="page-head">
        <h1>Connections</h1>
        <span class="hint">
          {problem.value || `${count(channels.value.length, "connection")} of ${count(people, "user")} that follow what happens`}
        </span>
        {scopes.value.has("tenant.sessions") ? (
          <Button onClick={askReload}>Refresh all clients</Button>
        ) : null}
      </header>
      <div class="table-frame" tabIndex={0} role="region" aria-label="Open connections">
        <table class="table">
          <thead>
            <tr>
              <th scope="col">Who</th>
              <th scope="col">Listens to</th>
              <th scope="col">From</th>
              <th scope="col">With</th>
              <th scope="col">Since</th>
            </tr>
          </thead>
          <tbody>
            {channels.value.map((channel) => (
              <Row key={channel.channelId} channel={channel} />
            ))}
          </tbody>
        </table>
      </div>
      {more.value ? <p class="hint">Only the oldest {CHANNELS_MAX} are shown.</p> : null}
    </main>
  );
}

function Row({ channel }: { readonly channel: Channel }) {
  const since = dateOf(channel.startTime);
  return (
    <tr>
      <td>
        <strong>{channel.principal}</strong>
        {channel.keyId === "" ? null : <code class="key-id">{channel.keyId}</code>}
      </td>
      <td>
        {channel.method}{" "}
        {channel.sessionKey === "" ? null : (
          <a href={hashOf({ place: "sessions", sessionKey: channel.sessionKey })}>{channel.sessionKey}</a>
        )}
      </td>
      <td>{channel.peerAddress || "this machine"}</td>
      <td class="agent-name" title={channel.userAgent}>
        {channel.userAgent}
      </td>
      <td>{since ? ago(since.getTime(), Date.now()) : ""}</td>
    </tr>
  );
}

async function read(): Promise<void> {
  try {
    const page = await client().listChannels({ pageSize: CHANNELS_MAX });
    channels.value = page.channels;
    more.value = page.nextPageToken !== "";
    problem.value = "";
  } catch (error) {
    if (!endIfRefused(error)) problem.value = explain(error);
  }
}

function askReload(): void {
  ask({
    title: "Refresh all clients?",
    text: "Every connected client of this tenant reads again what it shows. Agents begin their next turn with a fresh process and present settings; idle ones end now. Running turns go on.",
    yes: "Refresh all",
    onYes: () => void reloadAll(),
  });
}

async function reloadAll(): Promise<void> {
  try {
    const told = await client().broadcastReload({ reason: "asked for in the console" });
    tell(`${count(told.channels, "connection")} told.`);
  } catch (error) {
    complain(error);
  }
}
