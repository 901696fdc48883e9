// Keys that do something, and what they are called in the help.

/** What a key does. */
export type Command =
  | "help"
  | "new-session"
  | "search"
  | "next-session"
  | "previous-session"
  | "compose"
  | "stop"
  | "queue"
  | "theme"
  | "details"
  | "go-sessions"
  | "go-turns"
  | "go-schedules"
  | "go-webhooks"
  | "go-workers"
  | "go-routing"
  | "go-memory"
  | "go-usage"
  | "go-connections"
  | "go-logs"
  | "go-keys"
  | "go-configuration"
  | "go-server";

/** One line of the help. */
export interface Shortcut {
  readonly keys: readonly string[];
  readonly command: Command;
  readonly does: string;
}

/** All of them. Two keys are typed one after the other. */
export const SHORTCUTS: readonly Shortcut[] = [
  { keys: ["?"], command: "help", does: "Show this help" },
  { keys: ["n"], command: "new-session", does: "New session" },
  { keys: ["/"], command: "search", does: "Search in the list" },
  { keys: ["j"], command: "next-session", does: "Next session" },
  { keys: ["k"], command: "previous-session", does: "Previous session" },
  { keys: ["c"], command: "compose", does: "Write a message" },
  { keys: ["s"], command: "stop", does: "Stop the running turn" },
  { keys: ["q"], command: "queue", does: "Go to the queue" },
  { keys: ["d"], command: "details", does: "Show or hide the details of a session" },
  { keys: ["t"], command: "theme", does: "Light, dark, or as the system has it" },
  { keys: ["g", "s"], command: "go-sessions", does: "Go to the sessions" },
  { keys: ["g", "t"], command: "go-turns", does: "Go to the turns" },
  { keys: ["g", "p"], command: "go-schedules", does: "Go to the schedules" },
  { keys: ["g", "h"], command: "go-webhooks", does: "Go to the webhooks" },
  { keys: ["g", "w"], command: "go-workers", does: "Go to the workers" },
  { keys: ["g", "r"], command: "go-routing", does: "Go to the routing" },
  { keys: ["g", "m"], command: "go-memory", does: "Go to the memory" },
  { keys: ["g", "u"], command: "go-usage", does: "Go to the usage" },
  { keys: ["g", "c"], command: "go-connections", does: "Go to the connections" },
  { keys: ["g", "l"], command: "go-logs", does: "Go to the logs" },
  { keys: ["g", "k"], command: "go-keys", does: "Go to the API keys" },
  { keys: ["g", "o"], command: "go-configuration", does: "Go to the configuration" },
  { keys: ["g", "i"], command: "go-server", does: "Go to the server" },
];

/** A key press, as far as it matters here. */
export interface Press {
  readonly key: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly altKey: boolean;
}

/** What a press means after the key before it: a command, a beginning of one, or nothing. */
export function meaning(press: Press, before: string): { command?: Command; pending: string } {
  if (press.ctrlKey || press.metaKey || press.altKey) return { pending: "" };
  const typed = before === "" ? [press.key] : [before, press.key];
  const found = SHORTCUTS.find((shortcut) => shortcut.keys.join(" ") === typed.join(" "));
  if (found) return { command: found.command, pending: "" };
  if (before !== "") return { pending: "" };
  const begins = SHORTCUTS.some((shortcut) => shortcut.keys.length > 1 && shortcut.keys[0] === press.key);
  return { pending: begins ? press.key : "" };
}
