// Trying a turn once more, as it was or with another prompt.
import { useState } from "preact/hooks";
import type { Turn } from "@quarterdeck/client";
import { count } from "../state/format";
import { scopes } from "../store/account";
import { current } from "../store/live";
import { complain, tell } from "../store/notices";
import { copyKey, promptOf, resend } from "../store/resend";
import { canFork } from "../store/server";
import { IconButton } from "./Button";
import { Dialog, openDialog } from "./Dialog";
import { Field, Form } from "./Form";

/** What a copied session's key may be. */
const KEY_PATTERN = "[A-Za-z0-9][A-Za-z0-9._:@~+=\\-]*";

/** The buttons; nothing where it can't be done. */
export function ResendButtons({ turn, agent }: { readonly turn: Turn; readonly agent: string }) {
  const [busy, setBusy] = useState(false);
  const session = current.value;
  // A command is no prompt; what was said before a reset can't be gone on with.
  const may = scopes.value.has("session.write") && canFork(agent) && turn.command === "" && session?.generation === turn.generation;
  if (!may || session.sessionKey !== turn.sessionKey) return null;
  const retry = async (): Promise<void> => {
    setBusy(true);
    try {
      const whole = await promptOf(turn);
      await resend(session, whole, whole.text, copyKey(turn.sessionKey, "retry"));
      tell("Tried again in a copy of the conversation. The first one stays as it is.");
    } catch (error) {
      complain(error, "Not tried again");
    } finally {
      setBusy(false);
    }
  };
  const edit = async (): Promise<void> => {
    try {
      const whole = await promptOf(turn);
      openDialog(() => <EditAndResend turn={whole} />);
    } catch (error) {
      complain(error);
    }
  };
  return (
    <>
      <IconButton icon="again" label="Retry" disabled={busy} onClick={() => void retry()} />
      <IconButton icon="pencil" label="Edit and resend" disabled={busy} onClick={() => void edit()} />
    </>
  );
}

function EditAndResend({ turn }: { readonly turn: Turn }) {
  const [text, setText] = useState(turn.text);
  const [key, setKey] = useState(() => copyKey(turn.sessionKey, "edit"));
  const files = turn.attachments.length;
  return (
    <Dialog title="Edit and resend" wide>
      <Form
        submit="Send"
        onSubmit={async () => {
          const session = current.value;
          if (session?.sessionKey !== turn.sessionKey) throw new Error("Another session is shown now.");
          await resend(session, turn, text, key);
        }}
      >
        <p>What was said before this turn is copied into a new session, and your text is sent there. This session stays as it is.</p>
        <Field label="Prompt" value={text} onInput={setText} lines={8} required={files === 0} />
        {files > 0 ? <p class="hint">{count(files, "attachment")} of the prompt go with it.</p> : null}
        <Field label="Key of the new session" value={key} onInput={setKey} required pattern={KEY_PATTERN} />
      </Form>
    </Dialog>
  );
}
