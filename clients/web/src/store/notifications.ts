// The browser's own notifications of questions, for those who asked for them. They name the session and nothing that an
// agent wrote; one is shown where the person does not look at that session.
import { effect, signal } from "@preact/signals";
import { account } from "./account";
import { sessions } from "./live";
import { complain, tell } from "./notices";
import { goSession, route } from "./place";

/** Where the choice is kept. */
const STORED = "quarterdeck.notify";

/** False where the browser has none, as on pages that came over plain HTTP from elsewhere. */
export const canNotify = window.isSecureContext && "Notification" in window;
/** Whether questions are told. */
export const notifies = signal(canNotify && Notification.permission === "granted" && localStorage.getItem(STORED) === "yes");
/** True while the browser asks the person. */
export const asking = signal(false);

/** Turns them on or off; the first time the browser asks. */
export async function toggleNotifications(): Promise<void> {
  if (notifies.value) {
    notifies.value = false;
    localStorage.removeItem(STORED);
    return;
  }
  asking.value = true;
  const permission = await Notification.requestPermission().finally(() => (asking.value = false));
  if (permission !== "granted") {
    complain(new Error("The browser does not allow it; its settings for this page can."), "No notifications");
    return;
  }
  notifies.value = true;
  localStorage.setItem(STORED, "yes");
  tell("You are notified of questions while this page is open.");
}

/** Tells of questions as they come. */
export function startNotifications(): void {
  let known: ReadonlyMap<string, number> | undefined;
  effect(() => {
    if (account.value.state !== "in") known = undefined;
    if (!sessions.value.complete) return;
    const list = [...sessions.value.sessions.values()];
    const before = known;
    known = new Map(list.map(({ sessionKey, pendingQuestions }) => [sessionKey, pendingQuestions]));
    // What waited before this page looked is in its title, and no news.
    if (!before || !notifies.peek()) return;
    for (const { sessionKey, displayName, pendingQuestions } of list) {
      if (pendingQuestions > (before.get(sessionKey) ?? 0) && !looksAt(sessionKey)) notify(sessionKey, displayName || sessionKey);
    }
  });
}

function looksAt(sessionKey: string): boolean {
  const here = route.peek();
  return document.visibilityState === "visible" && document.hasFocus() && here.place === "sessions" && here.sessionKey === sessionKey;
}

function notify(sessionKey: string, name: string): void {
  // The next one of the same session takes its place.
  const shown = new Notification("An agent asks", { body: `${name} waits for your answer.`, tag: `quarterdeck ${sessionKey}`, icon: "/icon.svg" });
  shown.onclick = () => {
    window.focus();
    goSession(sessionKey);
    shown.close();
  };
}
