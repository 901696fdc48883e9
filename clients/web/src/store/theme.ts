// Light, dark, or as the system has it.
import { signal } from "@preact/signals";

const STORED = "quarterdeck.theme";
const CHOICES = ["system", "light", "dark"] as const;

/** What a person chose. */
export type Theme = (typeof CHOICES)[number];

export const theme = signal<Theme>(stored());
show(theme.value);

/** Goes to the next choice and keeps it. */
export function nextTheme(): Theme {
  const next = CHOICES[(CHOICES.indexOf(theme.value) + 1) % CHOICES.length] ?? "system";
  theme.value = next;
  localStorage.setItem(STORED, next);
  show(next);
  return next;
}

function show(choice: Theme): void {
  if (choice === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
}

function stored(): Theme {
  const value = localStorage.getItem(STORED);
  return CHOICES.find((choice) => choice === value) ?? "system";
}
