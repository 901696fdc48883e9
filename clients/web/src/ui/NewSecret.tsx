// A secret that was made just now. It is kept nowhere, so that this dialog is the only place where it stands.
import { Button } from "./Button";
import { CopyButton } from "./Copy";
import { closeDialog, Dialog } from "./Dialog";

interface NewSecretProps {
  readonly title: string;
  /** What its button says. */
  readonly copy: string;
  readonly secret: string;
}

/** Shows it once, to be copied. */
export function NewSecret({ title, copy, secret }: NewSecretProps) {
  return (
    <Dialog title={title}>
      <p>It is shown here only. Copy it now to where it belongs.</p>
      <p class="secret">
        <code data-testid="secret">{secret}</code> <CopyButton label={copy} text={() => secret} />
      </p>
      <div class="dialog-buttons">
        <Button tone="primary" onClick={closeDialog}>
          Done
        </Button>
      </div>
    </Dialog>
  );
}
