// A form in a dialog: sends once at a time, and says in place what was refused.
import type { ComponentChildren } from "preact";
import { useId, useState } from "preact/hooks";
import { explain } from "../api";
import { Button } from "./Button";
import { closeDialog } from "./Dialog";

interface FormProps {
  readonly children: ComponentChildren;
  readonly submit: string;
  /** Closes the dialog where it goes well; what it throws is shown. */
  readonly onSubmit: () => Promise<void>;
  /** What comes after the dialog closed by itself. */
  readonly onClosed?: () => void;
}

/** A form that closes its dialog when it went well. */
export function Form({ children, submit, onSubmit, onClosed }: FormProps) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const send = async (): Promise<void> => {
    setBusy(true);
    setProblem("");
    try {
      await onSubmit();
      closeDialog();
      onClosed?.();
    } catch (error) {
      setProblem(explain(error));
      setBusy(false);
    }
  };
  return (
    <form
      class="form"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      {children}
      <p class="problem" role="alert">
        {problem}
      </p>
      <div class="dialog-buttons">
        <Button onClick={closeDialog}>Cancel</Button>
        <Button tone="primary" submit disabled={busy}>
          {submit}
        </Button>
      </div>
    </form>
  );
}

interface FieldProps {
  readonly label: string;
  readonly value: string;
  readonly onInput: (value: string) => void;
  readonly hint?: string;
  readonly lines?: number;
  readonly required?: boolean;
  readonly pattern?: string;
  readonly placeholder?: string;
}

/** A text field with its label. */
export function Field({ label, value, onInput, hint, lines, required, pattern, placeholder }: FieldProps) {
  const id = useId();
  const common = { id, value, required: required ?? false, placeholder: placeholder ?? "", autocomplete: "off" as const };
  const described = hint ? { "aria-describedby": `${id}-hint` } : {};
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {lines ? (
        <textarea {...common} {...described} rows={lines} onInput={(event) => onInput(event.currentTarget.value)} />
      ) : (
        <input
          {...common}
          {...described}
          {...(pattern ? { pattern } : {})}
          spellcheck={false}
          onInput={(event) => onInput(event.currentTarget.value)}
        />
      )}
      {hint ? (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      ) : null}
    </div>
  );
}

interface ChoiceProps {
  readonly label: string;
  readonly value: string;
  readonly choices: readonly (readonly [value: string, name: string])[];
  readonly onChange: (value: string) => void;
  readonly hidden?: boolean;
}

/** A choice of few, with its label. */
export function Choice({ label, value, choices, onChange, hidden }: ChoiceProps) {
  const id = useId();
  return (
    <div class={hidden ? "field bare" : "field"}>
      <label for={id} class={hidden ? "unseen" : ""}>
        {label}
      </label>
      <select id={id} value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        {choices.map(([key, name]) => (
          <option key={key} value={key}>
            {name}
          </option>
        ))}
      </select>
    </div>
  );
}
