// The live list of sessions.
import { computed, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { SessionSnapshot } from "@quarterdeck/client";
import { ago, count, oneLine } from "../state/format";
import { hashOf } from "../state/route";
import { chooseSessions, isBusy, isUnread, lastActive, type SessionFilter, stateName } from "../state/sessions";
import { scopes } from "../store/account";
import { sessions } from "../store/live";
import { route } from "../store/place";
import { IconButton } from "./Button";
import { Icon } from "./Icons";
import { openNewSession } from "./NewSession";

/** Sessions drawn at first, and more at each wish. */
const SHOWN_STEP = 100;
/** How often ages are drawn anew, in milliseconds. */
const AGES_MS = 15_000;

export const search = signal("");
export const filter = signal<SessionFilter>("all");
const limit = signal(SHOWN_STEP);
const now = signal(Date.now());
const chosen = computed(() => chooseSessions(sessions.value, search.value, filter.value));

const FILTERS: readonly (readonly [SessionFilter, string])[] = [
  ["all", "All"],
  ["busy", "Working"],
  ["unread", "Unread"],
];

/** The list with its search. */
export function SessionList() {
  useEffect(() => {
    const timer = setInterval(() => (now.value = Date.now()), AGES_MS);
    return () => clearInterval(timer);
  }, []);
  const shown = chosen.value.slice(0, limit.value);
  const more = chosen.value.length - shown.length;
  return (
    <section class="list" aria-label="Sessions">
      <header class="list-head">
        <h1>Sessions</h1>
        <span class="hint" data-testid="session-count">
          {sessions.value.complete ? shownOfAll(chosen.value.length, sessions.value.sessions.size) : ""}
        </span>
        {scopes.value.has("session.write") ? (
          <IconButton icon="plus" label="New session" onClick={openNewSession} />
        ) : null}
      </header>
      <div class="search">
        <Icon name="search" />
        <input
          data-search
          type="search"
          placeholder="Search"
          aria-label="Search sessions"
          value={search.value}
          onInput={(event) => {
            search.value = event.currentTarget.value;
            limit.value = SHOWN_STEP;
          }}
        />
      </div>
      <div class="segments" role="group" aria-label="Show">
        {FILTERS.map(([key, name]) => (
          <button key={key} type="button" aria-pressed={filter.value === key} onClick={() => (filter.value = key)}>
            {name}
          </button>
        ))}
      </div>
      <ul class="rows">
        {shown.map((session) => (
          <Row key={session.sessionKey} session={session} />
        ))}
      </ul>
      {more > 0 ? (
        <button type="button" class="button plain more" onClick={() => (limit.value += SHOWN_STEP)}>
          Show more ({more.toLocaleString()})
        </button>
      ) : null}
      {shown.length === 0 ? <Nothing /> : null}
    </section>
  );
}

function shownOfAll(shown: number, all: number): string {
  return shown === all ? all.toLocaleString() : `${shown.toLocaleString()} of ${all.toLocaleString()}`;
}

function Nothing() {
  if (!sessions.value.complete) return <p class="empty-list">Reading the sessions…</p>;
  if (sessions.value.sessions.size === 0) return <p class="empty-list">There are no sessions yet.</p>;
  return <p class="empty-list">No session matches.</p>;
}

function Row({ session }: { readonly session: SessionSnapshot }) {
  const key = session.sessionKey;
  const viewed = route.value.place === "sessions" && route.value.sessionKey === key;
  const unread = !viewed && isUnread(sessions.value, session);
  const state = stateName(session.state);
  const name = session.displayName === "" ? key : session.displayName;
  return (
    <li>
      <a
        href={hashOf({ place: "sessions", sessionKey: key })}
        class={unread ? "row unread" : "row"}
        aria-current={viewed ? "true" : undefined}
        data-session={key}
      >
        <span class={`dot ${isBusy(session) ? "busy" : ""} ${state.split(" ")[0] ?? ""}`} title={state} />
        <span class="row-name">
          {name}
          {session.primary ? <span class="tag">primary</span> : null}
        </span>
        <span class="row-age">{ago(lastActive(session), now.value)}</span>
        {session.pendingQuestions > 0 ? (
          <span class="row-preview asks">Waiting for input</span>
        ) : (
          <span class="row-preview">{oneLine(session.lastMessagePreview, 90) || `${session.agent}, empty`}</span>
        )}
        <span class="row-marks">
          {session.pendingQuestions > 0 ? (
            <span class="badge" title={`${count(session.pendingQuestions, "question")} to answer`}>
              {session.pendingQuestions}
              <span class="unseen"> to answer</span>
            </span>
          ) : null}
          {session.queueDepth > 0 ? (
            <span class="badge" title={`${count(session.queueDepth, "turn")} waiting`}>
              {session.queueDepth}
              <span class="unseen"> waiting</span>
            </span>
          ) : null}
          {unread ? <span class="unread-dot" title="New messages" /> : null}
        </span>
        <span class="unseen">
          , {state}
          {unread ? ", new messages" : ""}
        </span>
      </a>
    </li>
  );
}
