// Buttons that always have a name.
import type { ComponentChildren } from "preact";
import { Icon, type IconName } from "./Icons";

interface IconButtonProps {
  readonly icon: IconName;
  /** What it does: its accessible name and its tooltip. */
  readonly label: string;
  readonly onClick: () => void;
  readonly disabled?: boolean;
  readonly pressed?: boolean;
  readonly tone?: "plain" | "danger";
  readonly showLabel?: boolean;
}

/** A button with a drawing. */
export function IconButton({ icon, label, onClick, disabled, pressed, tone, showLabel }: IconButtonProps) {
  return (
    <button
      type="button"
      class={`icon-button ${tone ?? "plain"} ${showLabel ? "labelled" : ""}`}
      title={label}
      aria-label={label}
      aria-pressed={pressed}
      disabled={disabled ?? false}
      onClick={onClick}
    >
      <Icon name={icon} />
      {showLabel ? <span>{label}</span> : null}
    </button>
  );
}

interface ButtonProps {
  readonly children: ComponentChildren;
  readonly onClick?: () => void;
  readonly tone?: "primary" | "plain" | "danger";
  readonly submit?: boolean;
  readonly disabled?: boolean;
}

/** A button with words. */
export function Button({ children, onClick, tone = "plain", submit = false, disabled = false }: ButtonProps) {
  return (
    <button type={submit ? "submit" : "button"} class={`button ${tone}`} disabled={disabled} onClick={onClick}>
      {children}
    </button>
  );
}
