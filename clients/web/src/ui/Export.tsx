// Saving a conversation as a file.
import { useState } from "preact/hooks";
import type { SessionSnapshot } from "@quarterdeck/client";
import { explain } from "../api";
import type { ExportFormat } from "../state/export";
import { exportConversation } from "../store/export";
import { tell } from "../store/notices";
import { Button } from "./Button";
import { closeDialog, Dialog, openDialog } from "./Dialog";

/** Asks in which format. */
export function openExport(session: SessionSnapshot): void {
  openDialog(() => <Export session={session} />);
}

function Export({ session }: { readonly session: SessionSnapshot }) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const save = async (format: ExportFormat): Promise<void> => {
    setBusy(true);
    setProblem("");
    try {
      await exportConversation(session, format);
      closeDialog();
      tell("The conversation is saved.");
    } catch (error) {
      setProblem(explain(error));
      setBusy(false);
    }
  };
  return (
    <Dialog title="Export the conversation">
      <p>All messages of the present conversation, with tool calls. Markdown is for reading; JSON is what the API gives.</p>
      <p class="problem" role="alert">
        {problem}
      </p>
      <div class="dialog-buttons">
        <Button disabled={busy} onClick={() => void save("json")}>
          Save JSON
        </Button>
        <Button tone="primary" disabled={busy} onClick={() => void save("markdown")}>
          Save Markdown
        </Button>
      </div>
    </Dialog>
  );
}
