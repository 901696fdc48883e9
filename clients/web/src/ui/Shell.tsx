// The frame around everything: places, connection, theme, help, account.
import { useSignalEffect } from "@preact/signals";
import type { JSX } from "preact";
import { hashOf, type Route } from "../state/route";
import { isUnread, pendingQuestions } from "../state/sessions";
import { account, open, scopes, signOut } from "../store/account";
import { connection, current, sessions } from "../store/live";
import { announcement, dismiss, notices } from "../store/notices";
import { go, route } from "../store/place";
import { asking, canNotify, notifies, toggleNotifications } from "../store/notifications";
import { nextTheme, theme } from "../store/theme";
import { Button, IconButton } from "./Button";
import { Connections } from "./Connections";
import { closeDialog, Dialog, Dialogs, openDialog } from "./Dialog";
import { openHelp } from "./Help";
import { Icon, type IconName, Mark } from "./Icons";
import { Logs } from "./Logs";
import { Memory } from "./Memory";
import { Configuration } from "./pages/Configuration";
import { Keys } from "./pages/Keys";
import { Routing } from "./pages/Routing";
import { Schedules } from "./pages/Schedules";
import { Turns } from "./pages/Turns";
import { UsagePage } from "./pages/UsagePage";
import { Webhooks } from "./pages/Webhooks";
import { Workers } from "./pages/Workers";
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
  { to: { place: "turns" }, name: "Turns", icon: "table", scope: "session.read" },
  { to: { place: "schedules" }, name: "Schedules", icon: "calendar", scope: "session.read" },
  { to: { place: "webhooks" }, name: "Webhooks", icon: "webhook", scope: "session.read" },
  { to: { place: "workers" }, name: "Workers", icon: "machines", scope: "tenant.sessions" },
  { to: { place: "routing" }, name: "Routing", icon: "signpost", scope: "admin.config" },
  { to: { place: "memory" }, name: "Memory", icon: "memory", scope: "memory.read" },
  { to: { place: "usage" }, name: "Usage", icon: "coins", scope: "session.read" },
  { to: { place: "connections" }, name: "Connections", icon: "channels", scope: "admin.logs" },
  { to: { place: "logs" }, name: "Logs", icon: "logs", scope: "admin.logs" },
  { to: { place: "keys" }, name: "API keys", icon: "key", scope: "" },
  { to: { place: "configuration" }, name: "Configuration", icon: "gear", scope: "admin.config" },
  { to: { place: "server" }, name: "Server", icon: "server", scope: "" },
];

/** Places that a phone shows at its foot; the others are behind "More". */
const AT_FOOT = 3;

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
          {PLACES.map((place, at) => (
            <li key={place.name} class={at < AT_FOOT ? "" : "wide-place"}>
              <PlaceLink place={place} here={place === here} />
            </li>
          ))}
          <li class="only-narrow">
            <button type="button" onClick={() => openDialog(() => <More />)}>
              <Icon name="more" />
              <span>More</span>
            </button>
          </li>
        </ul>
        <div class="rail-end">
          {canNotify ? <BellButton /> : null}
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

function PlaceLink({ place, here, onClick }: { readonly place: Place; readonly here: boolean; readonly onClick?: () => void }) {
  return (
    <a href={hashOf(place.to)} aria-current={here ? "page" : undefined} {...(onClick ? { onClick } : {})}>
      <Icon name={place.icon} />
      <span>{place.name}</span>
    </a>
  );
}

/** The places that a phone has no room for. */
function More() {
  return (
    <Dialog title="More">
      <ul class="more-places">
        {PLACES.slice(AT_FOOT).map((place) => (
          <li key={place.name}>
            <PlaceLink place={place} here={place.to.place === route.value.place} onClick={closeDialog} />
          </li>
        ))}
      </ul>
    </Dialog>
  );
}

/** Chooses whether the browser tells of questions while one looks elsewhere. */
function BellButton() {
  const label = notifies.value ? "Stop notifying me of questions" : "Notify me of questions";
  return <IconButton icon="bell" label={label} pressed={notifies.value} disabled={asking.value} onClick={() => void toggleNotifications()} />;
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
          <Button onClick={() => go({ place: "server" })}>What I may do</Button>
        </div>
      </main>
    );
  }
  const draw: Record<Route["place"], () => JSX.Element> = {
    sessions: Sessions,
    turns: Turns,
    schedules: Schedules,
    webhooks: Webhooks,
    workers: Workers,
    routing: Routing,
    memory: Memory,
    usage: UsagePage,
    connections: Connections,
    logs: Logs,
    keys: Keys,
    configuration: Configuration,
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
