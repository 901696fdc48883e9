// Dialogs: the browser's own, which keeps the focus inside and gives it back.
import { signal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { Button, IconButton } from "./Button";

/** The dialog that is open, as a function that draws it. */
const shown = signal<(() => JSX.Element) | undefined>(undefined);

/** Opens a dialog in the place of another one. */
export function openDialog(draw: () => JSX.Element): void {
  shown.value = draw;
}

/** Closes the dialog. */
export function closeDialog(): void {
  shown.value = undefined;
}

/** True while a dialog is open. */
export function dialogIsOpen(): boolean {
  return shown.value !== undefined;
}

/** Where dialogs appear. */
export function Dialogs() {
  const draw = shown.value;
  return draw ? draw() : null;
}

interface DialogProps {
  readonly title: string;
  readonly children: ComponentChildren;
  readonly wide?: boolean;
}

/** A dialog with a title. */
export function Dialog({ title, children, wide = false }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const dialog = element.current;
    if (!dialog) return undefined;
    const before = document.activeElement;
    dialog.showModal();
    return () => {
      dialog.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={element}
      class={wide ? "dialog wide" : "dialog"}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault();
        closeDialog();
      }}
      onClick={(event) => {
        if (event.target === element.current) closeDialog();
      }}
    >
      <div class="dialog-inner">
        <header>
          <h2 id={heading}>{title}</h2>
          <IconButton icon="close" label="Close" onClick={closeDialog} />
        </header>
        {children}
      </div>
    </dialog>
  );
}

interface QuestionProps {
  readonly title: string;
  readonly text: string;
  readonly yes: string;
  readonly onYes: () => void;
}

/** Asks before something that can't be taken back. */
export function ask({ title, text, yes, onYes }: QuestionProps): void {
  openDialog(() => (
    <Dialog title={title}>
      <p>{text}</p>
      <div class="dialog-buttons">
        <Button onClick={closeDialog}>Cancel</Button>
        <Button
          tone="danger"
          onClick={() => {
            closeDialog();
            onYes();
          }}
        >
          {yes}
        </Button>
      </div>
    </Dialog>
  ));
}
