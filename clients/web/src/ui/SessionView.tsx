// One session: head, transcript, queue, composer.
import { useState } from "preact/hooks";
import { type SessionSnapshot, SessionState } from "@quarterdeck/client";
import { count, money } from "../state/format";
import { stateName } from "../state/sessions";
import { tokensOf } from "../state/turns";
import { scopes } from "../store/account";
import { createSession, deleteSession, fork, reset, stop, stopping } from "../store/actions";
import { current, reload, viewed } from "../store/live";
import { complain } from "../store/notices";
import { goSession } from "../store/place";
import { canFork } from "../store/server";
import { Button, IconButton } from "./Button";
import { openChoices } from "./Choices";
import { Composer } from "./Composer";
import { Details, detailsOpen } from "./Details";
import { editName } from "./DetailsForms";
import { ask, Dialog, openDialog } from "./Dialog";
import { openExport } from "./Export";
import { Field, Form } from "./Form";
import { Mark } from "./Icons";
import { openNewSession } from "./NewSession";
import { Queue } from "./Queue";
import { TranscriptView } from "./Transcript";

/** The viewed session, or why there is none. */
export function SessionView() {
  const shown = viewed.value;
  if (shown.state === "none") return <Welcome />;
  if (shown.state === "missing") return <Missing sessionKey={shown.key} message={shown.message} deleted={shown.reason === "SESSION_DELETED"} />;
  if (shown.state === "loading" || !current.value) {
    return (
      <main class="session" aria-busy="true">
        <div class="empty">
          <span class="spinner" />
        </div>
      </main>
    );
  }
  const { transcript } = shown;
  return (
    <main class="session" aria-label={`Session ${shown.key}`}>
      <Head session={current.value} />
      <div class="session-body">
        <div class="session-main">
          <TranscriptView key={shown.key} transcript={transcript} />
          {transcript.deleted ? (
            <p class="strip">This session was deleted.</p>
          ) : (
            <footer class="dock">
              <Queue session={current.value} />
              <Composer session={current.value} />
            </footer>
          )}
        </div>
        {detailsOpen.value ? <Details session={current.value} /> : null}
      </div>
    </main>
  );
}

function Welcome() {
  return (
    <main class="session">
      <div class="empty">
        <Mark />
        <h1>Choose a session</h1>
        <p>
          Or make a new one. Press <kbd>?</kbd> for what the keyboard can do.
        </p>
        {scopes.value.has("session.write") ? (
          <Button tone="primary" onClick={openNewSession}>
            New session
          </Button>
        ) : null}
      </div>
    </main>
  );
}

function Missing({ sessionKey, message, deleted }: { readonly sessionKey: string; readonly message: string; readonly deleted: boolean }) {
  return (
    <main class="session">
      <div class="empty">
        <h1>{deleted ? "The session is gone" : `There is no session ${sessionKey}`}</h1>
        <p>{message}</p>
        <div class="dialog-buttons">
          <Button onClick={() => goSession("")}>All sessions</Button>
          {scopes.value.has("session.write") ? (
            <Button tone="primary" onClick={() => void create(sessionKey)}>
              Create it
            </Button>
          ) : null}
        </div>
      </div>
    </main>
  );
}

async function create(sessionKey: string): Promise<void> {
  try {
    await createSession(sessionKey, "", "");
    reload();
  } catch (error) {
    complain(error, "Not created");
  }
}

function Head({ session }: { readonly session: SessionSnapshot }) {
  const key = session.sessionKey;
  const name = session.displayName === "" ? key : session.displayName;
  const write = scopes.value.has("session.write");
  return (
    <header class="head">
      <span class="only-narrow">
        <IconButton icon="back" label="All sessions" onClick={() => goSession("")} />
      </span>
      <div class="head-name">
        <h1 title={key}>{name}</h1>
        <p class="facts">
          <StateChip session={session} />
          <span>{session.agent}</span>
          {session.model === "" ? null : <span class="wide-only">{session.model}</span>}
          {session.displayName === "" ? null : <code class="wide-only">{key}</code>}
          <span class="wide-only">{count(session.messageCount, "message")}</span>
          <Usage session={session} />
        </p>
      </div>
      <div class="head-actions">
        <StopButton session={session} />
        {write ? <IconButton icon="sliders" label="Model and options" onClick={() => openChoices(session)} /> : null}
        {write ? <IconButton icon="pencil" label="Rename" onClick={() => editName(session)} /> : null}
        {write && canFork(session.agent) ? (
          <IconButton icon="fork" label="Fork" onClick={() => openFork(key, "")} disabled={session.messageCount === 0n} />
        ) : null}
        <IconButton icon="save" label="Export" onClick={() => openExport(session)} disabled={session.messageCount === 0n} />
        {scopes.value.has("session.reset") ? <IconButton icon="reset" label="Reset" onClick={() => askReset(session)} /> : null}
        {write && scopes.value.has("session.reset") && !session.primary ? (
          <IconButton icon="trash" label="Delete session" tone="danger" onClick={() => askDelete(key)} />
        ) : null}
        <IconButton icon="info" label="Details" pressed={detailsOpen.value} onClick={() => (detailsOpen.value = !detailsOpen.value)} />
      </div>
    </header>
  );
}

function StateChip({ session }: { readonly session: SessionSnapshot }) {
  const state = stateName(session.state);
  const busy = session.state !== SessionState.IDLE;
  return (
    <span class={`chip ${state.split(" ")[0] ?? ""}`} data-testid="session-state">
      <span class={busy ? "dot busy" : "dot"} />
      {state}
    </span>
  );
}

function Usage({ session }: { readonly session: SessionSnapshot }) {
  const { usage } = session;
  const tokens = tokensOf(usage);
  if (!usage || tokens === 0n) return null;
  const full = session.contextWindow > 0n ? Number((session.contextTokens * 100n) / session.contextWindow) : undefined;
  return (
    <span class="wide-only">
      {count(tokens, "token")}
      {usage.costMicros > 0n ? ` · ${money(usage.costMicros, usage.unpricedCalls > 0n)}` : ""}
      {full === undefined ? "" : ` · context ${full} %`}
    </span>
  );
}

/** Stops the turn. It says "Stop" until it is pressed, "Stopping" until the server has proof, and offers force then. */
function StopButton({ session }: { readonly session: SessionSnapshot }) {
  const turnId = session.activeTurnId;
  if (turnId === "" || !scopes.value.has("session.abort")) return null;
  const asked = stopping.value.has(turnId);
  const canceling = asked || session.state === SessionState.CANCELING || session.state === SessionState.RESETTING;
  return (
    <>
      {canceling ? (
        <span class="stopping" data-testid="stopping">
          <span class="spinner" /> Stopping…
        </span>
      ) : null}
      <button type="button" class="button danger stop" onClick={() => void stop(session.sessionKey, turnId)}>
        {asked ? "Force" : "Stop"}
      </button>
    </>
  );
}

function askReset(session: SessionSnapshot): void {
  const waiting = session.queueDepth > 0 ? ` ${count(session.queueDepth, "waiting turn")} will be rejected.` : "";
  ask({
    title: "Begin a fresh conversation?",
    text: `The running turn is stopped and the agent forgets this conversation.${waiting} What was said stays readable above.`,
    yes: "Reset",
    onYes: () => void reset(session.sessionKey),
  });
}

function askDelete(key: string): void {
  ask({
    title: `Delete ${key}?`,
    text: "Its conversation, queue, attachments and own memory are erased. This can't be taken back.",
    yes: "Delete",
    onYes: () => void deleteSession(key),
  });
}

/** Opens the form that copies a conversation up to a finished turn; without one up to the newest. */
export function openFork(sessionKey: string, turnId: string): void {
  openDialog(() => <Fork sessionKey={sessionKey} turnId={turnId} />);
}

function Fork({ sessionKey, turnId }: { readonly sessionKey: string; readonly turnId: string }) {
  const [key, setKey] = useState(() => `${sessionKey.slice(0, 110)}-fork-${Date.now().toString(36).slice(-4)}`);
  return (
    <Dialog title="Fork this session">
      <Form submit="Fork" onSubmit={() => fork(sessionKey, key, turnId)}>
        <p>
          The conversation is copied into a new session, {turnId === "" ? "up to the newest finished turn" : "up to the end of this turn"}
          . This one stays as it is.
        </p>
        <Field label="Key of the new session" value={key} onInput={setKey} required pattern="[A-Za-z0-9][A-Za-z0-9._:@~+=\-]*" />
      </Form>
    </Dialog>
  );
}
