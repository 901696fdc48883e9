// Copying. Pages that came over plain HTTP have no clipboard of their own; there the old way is the only one.
import { announce } from "./notices";

/** Copies a text; false where the browser does not let it. */
export async function copyText(text: string): Promise<boolean> {
  const copied = await copy(text);
  announce(copied ? "Copied." : "Not copied.");
  return copied;
}

async function copy(text: string): Promise<boolean> {
  // It is missing where the connection is not secure, whatever its type says.
  const clipboard = navigator.clipboard as Clipboard | undefined;
  try {
    if (!clipboard) return copyBySelection(text);
    await clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

function copyBySelection(text: string): boolean {
  const before = document.activeElement;
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "unseen";
  // A dialog keeps the focus inside.
  (document.querySelector("dialog[open]") ?? document.body).append(field);
  field.select();
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- Nothing else copies there.
  const copied = document.execCommand("copy");
  field.remove();
  if (before instanceof HTMLElement) before.focus();
  return copied;
}
