// The frame around everything: places, connection, theme, help, account.
import { useSignalEffect } from "@preact/signals";
import type { JSX } from "preact";
import type { Route } from "../state/route";
import { isUnread, pendingQuestions } from "../state/sessions";
import { account, open, scopes, signOut } from "../store/account";
import { connection, current, sessions } from "../store/live";
import { announcement, dismiss, notices } from "../store/notices";
import { go, route } from "../store/place";
import { nextTheme, theme } from "../store/theme";
import { Button, IconButton } from "./Button";
import { Channels } from "./Channels";
import { Dialogs } from "./Dialog";
import { openHelp } from "./Help";
import { Icon, type IconName, Mark } from "./Icons";
import { Logs } from "./Logs";
import { Memory } from "./Memory";
import { ServerFacts } from "./ServerFacts";
import { Sessions } from "./Sessions";

/** A place, and the scope without which it has nothing to show. */
interface Place {
  readonly to: Route;
  readonly name: string;
  readonly icon: IconName;
  readonly scope: string;
}

const PLACES: readonly Place[] = [
  { to: { place: "sessions", sessionKey: "" }, name: "Sessions", icon: "sessions", scope: "session.read" },
  { to: { place: "memory" }, name: "Memory", icon: "memory", scope: "memory.read" },
  { to: { place: "channels" }, name: "Connected", icon: "channels", scope: "admin.logs" },
  { to: { place: "logs" }, name: "Logs", icon: "logs", scope: "admin.logs" },
  { to: { place: "server" }, name: "Server", icon: "server", scope: "" },
];

/** The page's title: where the person is, how many questions wait for an answer, else a dot where sessions have news. */
function title(place: string): string {
  const list = sessions.value;
  const waiting = pendingQuestions(list);
  const unread = [...list.sessions.values()].some((session) => isUnread(list, session));
  const mark = waiting > 0 ? `(${waiting}) ` : unread ? "• " : "";
  const name = current.value ? current.value.displayName || current.value.sessionKey : place;
  return `${mark}${name} · Quarterdeck`;
}

/** The console of somebody who is signed in. */
export function Shell() {
  const here = PLACES.find(({ to }) => to.place === route.value.place) ?? PLACES[0];
  useSignalEffect(() => {
    const place = PLACES.find(({ to }) => to.place === route.value.place);
    document.title = title(place?.name ?? "");
  });
  const inSession = route.value.place === "sessions" && route.value.sessionKey !== "";
  return (
    <div class={inSession ? "shell in-session" : "shell"}>
      <nav class="rail" aria-label="Places">
        <Mark />
        <ul>
          {PLACES.map((place) => (
            <li key={place.name}>
              <a href={`#/${place.to.place === "sessions" ? "" : place.to.place}`} aria-current={place === here ? "page" : undefined}>
                <Icon name={place.icon} />
                <span>{place.name}</span>
              </a>
            </li>
          ))}
        </ul>
        <div class="rail-end">
          <ThemeButton />
          <IconButton icon="help" label="Keyboard shortcuts" onClick={openHelp} />
          {open.value ? null : <IconButton icon="leave" label={`Sign out ${who()}`} onClick={() => signOut()} />}
        </div>
      </nav>
      <ConnectionBar />
      {here ? <Guarded place={here} /> : null}
      <Notices />
      <Dialogs />
      <div class="unseen" role="status" aria-live="polite">
        {announcement.value}
      </div>
    </div>
  );
}

function Guarded({ place }: { readonly place: Place }) {
  if (place.scope !== "" && !scopes.value.has(place.scope)) {
    return (
      <main class="page">
        <div class="empty">
          <h1>{place.name}</h1>
          <p>
            This needs the scope <code>{place.scope}</code>, which {who()} does not have.
          </p>
          <Button onClick={() => go({ place: "server" })}>What the key may do</Button>
        </div>
      </main>
    );
  }
  const draw: Record<Route["place"], () => JSX.Element> = {
    sessions: Sessions,
    memory: Memory,
    channels: Channels,
    logs: Logs,
    server: ServerFacts,
  };
  const Part = draw[place.to.place];
  return <Part />;
}

function who(): string {
  return account.value.state === "in" ? account.value.who.principal : "";
}

function ConnectionBar() {
  if (connection.value !== "lost") return null;
  return (
    <div class="connection-bar" data-testid="connection-lost">
      <span class="spinner" /> The connection to the server is lost. It is tried again by itself.
    </div>
  );
}

function ThemeButton() {
  const icons = { system: "system", light: "sun", dark: "moon" } as const;
  const names = { system: "as the system", light: "light", dark: "dark" };
  return <IconButton icon={icons[theme.value]} label={`Theme: ${names[theme.value]}`} onClick={nextTheme} />;
}

function Notices() {
  return (
    <div class="notices" role="log" aria-label="Notices">
      {notices.value.map((notice) => (
        <div key={notice.id} class={`notice ${notice.tone}`} role={notice.tone === "bad" ? "alert" : "status"}>
          <span>{notice.text}</span>
          <IconButton icon="close" label="Dismiss" onClick={() => dismiss(notice.id)} />
        </div>
      ))}
    </div>
  );
}
