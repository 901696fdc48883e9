// A button that copies a text.
import { useState } from "preact/hooks";
import { copyText } from "../store/clipboard";
import { IconButton } from "./Button";

/** How long it says so, in milliseconds. */
const COPIED_MS = 1500;

interface CopyProps {
  readonly label: string;
  /** The text, asked for when the button is pressed. */
  readonly text: () => string;
}

/** Copies, and says whether that went well. */
export function CopyButton({ label, text }: CopyProps) {
  const [said, setSaid] = useState("");
  const copy = async (): Promise<void> => {
    setSaid((await copyText(text())) ? "Copied" : "Not copied");
    setTimeout(() => setSaid(""), COPIED_MS);
  };
  return <IconButton icon={said === "Copied" ? "check" : "copy"} label={said === "" ? label : said} onClick={() => void copy()} />;
}
