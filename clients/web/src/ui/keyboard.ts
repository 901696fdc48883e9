// Keys of the whole page. Fields and dialogs keep theirs.
import { type Command, meaning } from "../state/shortcuts";
import { chooseSessions } from "../state/sessions";
import { account } from "../store/account";
import { stop } from "../store/actions";
import { current, sessions } from "../store/live";
import { arrive, go, goSession, route } from "../store/place";
import { nextTheme } from "../store/theme";
import { detailsOpen } from "./Details";
import { dialogIsOpen } from "./Dialog";
import { openHelp } from "./Help";
import { openNewSession } from "./NewSession";
import { filter, search } from "./SessionList";

/** How long the second key of two may take, in milliseconds. */
const PENDING_MS = 1500;

/** Listens for keys. */
export function startKeyboard(): void {
  let pending = "";
  let timer = 0;
  document.addEventListener("keydown", (event) => {
    if (account.value.state !== "in" || dialogIsOpen() || event.defaultPrevented || event.isComposing) return;
    const { target } = event;
    const inField = target instanceof HTMLElement && target.closest("input, textarea, select") !== null;
    if (inField) {
      if (event.key === "Escape") target.blur();
      return;
    }
    const { command, pending: next } = meaning(event, pending);
    pending = next;
    clearTimeout(timer);
    timer = window.setTimeout(() => (pending = ""), PENDING_MS);
    if (!command) return;
    event.preventDefault();
    arrive();
    carryOut(command);
  });
}

function carryOut(command: Command): void {
  switch (command) {
    case "help":
      openHelp();
      break;
    case "new-session":
      openNewSession();
      break;
    case "search":
      focus("[data-search]");
      break;
    case "next-session":
      step(1);
      break;
    case "previous-session":
      step(-1);
      break;
    case "compose":
      focus("[data-composer]");
      break;
    case "stop":
      if (current.value?.activeTurnId) void stop(current.value.sessionKey, current.value.activeTurnId);
      break;
    case "queue":
      focus("[data-queue] button");
      break;
    case "details":
      detailsOpen.value = !detailsOpen.value;
      break;
    case "theme":
      nextTheme();
      break;
    case "go-sessions":
      goSession("");
      break;
    case "go-turns":
      go({ place: "turns" });
      break;
    case "go-schedules":
      go({ place: "schedules" });
      break;
    case "go-webhooks":
      go({ place: "webhooks" });
      break;
    case "go-workers":
      go({ place: "workers" });
      break;
    case "go-routing":
      go({ place: "routing" });
      break;
    case "go-memory":
      go({ place: "memory" });
      break;
    case "go-usage":
      go({ place: "usage" });
      break;
    case "go-connections":
      go({ place: "connections" });
      break;
    case "go-logs":
      go({ place: "logs" });
      break;
    case "go-keys":
      go({ place: "keys" });
      break;
    case "go-configuration":
      go({ place: "configuration" });
      break;
    case "go-server":
      go({ place: "server" });
      break;
  }
}

function step(by: number): void {
  const shown = chooseSessions(sessions.value, search.value, filter.value);
  const key = route.value.place === "sessions" ? route.value.sessionKey : "";
  const at = shown.findIndex((session) => session.sessionKey === key);
  const next = shown[at < 0 ? 0 : Math.min(Math.max(at + by, 0), shown.length - 1)];
  if (next) goSession(next.sessionKey);
}

function focus(selector: string): void {
  const element = document.querySelector<HTMLElement>(selector);
  element?.focus();
  if (element instanceof HTMLInputElement) element.select();
}
