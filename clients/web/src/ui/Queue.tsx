// The waiting turns: edit, move, remove, clear.
import { useState } from "preact/hooks";
import type { SessionSnapshot, Turn } from "@quarterdeck/client";
import { count, oneLine } from "../state/format";
import { scopes } from "../store/account";
import { clearQueue, editQueued, moveQueued, removeQueued, wholeText } from "../store/actions";
import { queue } from "../store/live";
import { complain } from "../store/notices";
import { IconButton } from "./Button";
import { ask, Dialog, openDialog } from "./Dialog";
import { Field, Form } from "./Form";

/** The queue of a session; nothing where nothing waits. */
export function Queue({ session }: { readonly session: SessionSnapshot }) {
  const turns = queue.value;
  const [open, setOpen] = useState(true);
  if (turns.length === 0) return null;
  const write = scopes.value.has("session.write");
  return (
    <section class="queue" aria-label="Queue" data-queue>
      <header>
        <button type="button" class="fold" aria-expanded={open} onClick={() => setOpen(!open)}>
          {count(turns.length, "turn")} waiting
        </button>
        {write ? (
          <button
            type="button"
            class="text-button"
            onClick={() =>
              ask({
                title: "Clear the queue?",
                text: `${count(turns.length, "waiting turn")} will be rejected. The running one goes on.`,
                yes: "Clear",
                onYes: () => void clearQueue(session.sessionKey),
              })
            }
          >
            Clear
          </button>
        ) : null}
      </header>
      {open ? (
        <ol>
          {turns.map((turn, index) => (
            <li key={turn.turnId} data-testid="queued">
              <span class="queue-place">{index + 1}</span>
              <span class="queue-text">{oneLine(turn.text, 200) || count(turn.attachments.length, "attachment")}</span>
              {write ? (
                <span class="queue-actions">
                  <IconButton icon="up" label="Move up" disabled={index === 0} onClick={() => void moveQueued(turn, index - 1)} />
                  <IconButton
                    icon="down"
                    label="Move down"
                    disabled={index === turns.length - 1}
                    onClick={() => void moveQueued(turn, index + 1)}
                  />
                  <IconButton icon="pencil" label="Edit" onClick={() => void openEdit(turn)} />
                  <IconButton icon="close" label="Remove" onClick={() => void removeQueued(turn)} />
                </span>
              ) : null}
            </li>
          ))}
        </ol>
      ) : null}
    </section>
  );
}

async function openEdit(turn: Turn): Promise<void> {
  try {
    const text = await wholeText(turn);
    openDialog(() => <Edit turn={turn} before={text} />);
  } catch (error) {
    complain(error);
  }
}

function Edit({ turn, before }: { readonly turn: Turn; readonly before: string }) {
  const [text, setText] = useState(before);
  return (
    <Dialog title="Edit the waiting turn" wide>
      <Form submit="Save" onSubmit={() => editQueued(turn, text)}>
        <Field label="Text" value={text} onInput={setText} lines={8} />
      </Form>
    </Dialog>
  );
}
