// The memory: list, search, remember, forget.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { type MemoryEpisode, type MemoryItem, MemoryKind, MemoryBucket, type TextRange } from "@quarterdeck/client";
import { ago, clockTime, count, dateOf, enumName, size } from "../state/format";
import { pieces } from "../state/highlight";
import { hashOf } from "../state/route";
import { client, scopes } from "../store/account";
import { complain, tell } from "../store/notices";
import { sessions } from "../store/live";
import { Button, IconButton } from "./Button";
import { Dialog, openDialog } from "./Dialog";
import { Choice, Form } from "./Form";
import { Icon } from "./Icons";
import { openRemember } from "./Remember";

/** Which memory: the tenant's, a namespace's, or a session's. */
export interface MemoryScope {
  readonly namespace: string;
  readonly sessionKey: string;
}

/** One line: a memory, or a message that a search found. */
type Found = {
  readonly snippet: string;
  readonly matches: readonly TextRange[];
} & ({ readonly kind: "memory"; readonly memory: MemoryItem } | { readonly kind: "episode"; readonly episode: MemoryEpisode });

/** Memories of a page, and results of a search. */
const PAGE = 50;
/** Pause after a key before a search, in milliseconds. */
const SEARCH_MS = 200;

const scope = signal<MemoryScope>({ namespace: "", sessionKey: "" });
const query = signal("");
const withEpisodes = signal(true);
const found = signal<readonly Found[]>([]);
const next = signal("");
const status = signal("");
const reading = signal(false);

let reads = 0;

/** Reads what the search, or the list, has now. */
export async function readMemory(): Promise<void> {
  reads += 1;
  const mine = reads;
  reading.value = true;
  try {
    const searched = query.value.trim() !== "";
    const [lines, facts] = await Promise.all([
      searched ? search() : list(""),
      client().getMemoryStatus(scope.value),
    ]);
    if (mine !== reads) return;
    found.value = lines.found;
    next.value = lines.next;
    status.value = [
      count(facts.coreCount, "core memory", "core memories"),
      count(facts.archivalCount, "archival memory", "archival memories"),
      size(Number(facts.contentBytes)),
    ].join(" · ");
  } catch (error) {
    if (mine !== reads) return;
    found.value = [];
    next.value = "";
    status.value = "";
    complain(error, "Memory");
  } finally {
    if (mine === reads) reading.value = false;
  }
}

async function search(): Promise<{ found: Found[]; next: string }> {
  const request = { ...scope.value, query: query.value, limit: PAGE, episodes: withEpisodes.value };
  const { hits } = await client().searchMemory(request);
  const lines = hits.flatMap(({ found: what, snippet, matches }): Found[] => {
    if (what.case === "memory") return [{ kind: "memory", memory: what.value, snippet, matches }];
    return what.case === "episode" ? [{ kind: "episode", episode: what.value, snippet, matches }] : [];
  });
  return { found: lines, next: "" };
}

async function list(pageToken: string): Promise<{ found: Found[]; next: string }> {
  const request = { ...scope.value, pageSize: PAGE, pageToken };
  const page = await client().listMemories(request);
  const lines = page.memories.map((memory): Found => ({ kind: "memory", memory, snippet: memory.content, matches: [] }));
  return { found: lines, next: page.nextPageToken };
}

async function readMore(): Promise<void> {
  try {
    const page = await list(next.value);
    found.value = [...found.value, ...page.found];
    next.value = page.next;
  } catch (error) {
    complain(error, "Memory");
  }
}

/** The place of the memory. */
export function Memory() {
  useEffect(() => {
    const timer = setTimeout(() => void readMemory(), query.value === "" ? 0 : SEARCH_MS);
    return () => clearTimeout(timer);
  }, [query.value, scope.value, withEpisodes.value]);
  const write = scopes.value.has("memory.write");
  return (
    <main class="page" aria-label="Memory">
      <header class="page-head">
        <h1>Memory</h1>
        <span class="hint">{status.value}</span>
        {write ? (
          <Button tone="primary" onClick={() => openRemember(scope.value)}>
            Remember
          </Button>
        ) : null}
      </header>
      <div class="page-tools">
        <div class="search">
          <Icon name="search" />
          <input
            data-search
            type="search"
            placeholder={'Words, "a phrase", begin*, tag:name'}
            aria-label="Search memory"
            value={query.value}
            onInput={(event) => (query.value = event.currentTarget.value)}
          />
        </div>
        <ScopeChoice />
        <label class="tick">
          <input
            type="checkbox"
            checked={withEpisodes.value}
            onChange={(event) => (withEpisodes.value = event.currentTarget.checked)}
          />
          Conversations too
        </label>
      </div>
      <ul class="memories" aria-busy={reading.value}>
        {found.value.map((line) =>
          line.kind === "memory" ? (
            <MemoryRow key={line.memory.id} line={line} memory={line.memory} write={write} />
          ) : (
            <EpisodeRow key={line.episode.itemId} line={line} episode={line.episode} />
          ),
        )}
      </ul>
      {next.value === "" ? null : (
        <button type="button" class="button plain more" onClick={() => void readMore()}>
          Show more
        </button>
      )}
      {found.value.length === 0 && !reading.value ? (
        <p class="empty-list">{query.value.trim() === "" ? "Nothing is remembered here yet." : "Nothing was found."}</p>
      ) : null}
    </main>
  );
}

function ScopeChoice() {
  const kind = scope.value.sessionKey !== "" ? "session" : scope.value.namespace !== "" ? "namespace" : "tenant";
  const choices: [string, string][] = [["tenant:", "All of the tenant"]];
  if (kind === "namespace") choices.push([`namespace:${scope.value.namespace}`, `Namespace ${scope.value.namespace}`]);
  choices.push(["other:", "A namespace…"]);
  for (const key of [...sessions.value.sessions.keys()].sort()) choices.push([`session:${key}`, `Session ${key}`]);
  return (
    <Choice
      label="Scope"
      hidden
      value={`${kind}:${scope.value.namespace}${scope.value.sessionKey}`}
      choices={choices}
      onChange={(value) => {
        const at = value.indexOf(":");
        const [which, name] = [value.slice(0, at), value.slice(at + 1)];
        if (which === "other") openDialog(() => <Namespace />);
        else scope.value = { namespace: which === "namespace" ? name : "", sessionKey: which === "session" ? name : "" };
      }}
    />
  );
}

function Namespace() {
  const name = signal("");
  return (
    <Dialog title="Show a namespace">
      <Form
        submit="Show"
        onSubmit={() => {
          scope.value = { namespace: name.value.trim(), sessionKey: "" };
          return Promise.resolve();
        }}
      >
        <div class="field">
          <label for="namespace">Namespace</label>
          <input id="namespace" required onInput={(event) => (name.value = event.currentTarget.value)} />
        </div>
      </Form>
    </Dialog>
  );
}

function MemoryRow({ line, memory, write }: { readonly line: Found; readonly memory: MemoryItem; readonly write: boolean }) {
  const secret = memory.kind === MemoryKind.SECRET;
  return (
    <li class="memory" data-testid="memory">
      <div class="memory-head">
        {memory.key === "" ? null : <strong>{memory.key}</strong>}
        <span class="tag">{kindName(memory.kind)}</span>
        {memory.bucket === MemoryBucket.CORE ? <span class="tag strong">core</span> : null}
        {memory.tags.map((tag) => (
          <button key={tag} type="button" class="tag link" onClick={() => (query.value = `tag:"${tag}"`)}>
            #{tag}
          </button>
        ))}
        <span class="memory-age">{clockTime(dateOf(memory.updateTime), new Date())}</span>
      </div>
      <p class="memory-text">{secret ? <em class="hint">A secret; its content is not shown.</em> : <Marked line={line} />}</p>
      <span class="memory-actions">
        <IconButton icon="clock" label="History" onClick={() => void openHistory(memory)} />
        {write ? (
          <>
            {secret ? null : <IconButton icon="pencil" label="Edit" onClick={() => openRemember(scopeOf(memory), memory)} />}
            <IconButton icon="trash" label="Forget" tone="danger" onClick={() => openDialog(() => <Forget memory={memory} />)} />
          </>
        ) : null}
      </span>
    </li>
  );
}

function EpisodeRow({ line, episode }: { readonly line: Found; readonly episode: MemoryEpisode }) {
  const at = dateOf(episode.createTime);
  return (
    <li class="memory" data-testid="episode">
      <div class="memory-head">
        <a href={hashOf({ place: "sessions", sessionKey: episode.sessionKey })}>{episode.sessionKey}</a>
        <span class="tag">said</span>
        <span class="memory-age">{at ? ago(at.getTime(), Date.now()) : ""}</span>
      </div>
      <p class="memory-text">
        <Marked line={line} />
      </p>
    </li>
  );
}

function Marked({ line }: { readonly line: Found }) {
  return (
    <>
      {pieces(line.snippet, line.matches).map(({ text, match }, index) => (match ? <mark key={index}>{text}</mark> : text))}
    </>
  );
}

function Forget({ memory }: { readonly memory: MemoryItem }) {
  const hard = signal(false);
  return (
    <Dialog title="Forget this?">
      <Form
        submit="Forget"
        onSubmit={async () => {
          await client().forget({ id: memory.id, hard: hard.value });
          tell(hard.value ? "Erased." : "Forgotten.");
          await readMemory();
        }}
      >
        <blockquote class="memory-text">{memory.content || memory.key}</blockquote>
        <label class="tick">
          <input type="checkbox" onChange={(event) => (hard.value = event.currentTarget.checked)} />
          Erase it and its past at once (otherwise after 30 days)
        </label>
      </Form>
    </Dialog>
  );
}

async function openHistory(memory: MemoryItem): Promise<void> {
  try {
    const { history } = await client().getMemory({ id: memory.id });
    openDialog(() => (
      <Dialog title={memory.key === "" ? "History" : `History of ${memory.key}`} wide>
        <ol class="versions">
          <li>
            <span class="hint">
              Now, version {memory.version.toString()}, {clockTime(dateOf(memory.updateTime), new Date())}
            </span>
            <p>{memory.content || "(secret)"}</p>
          </li>
          {history.map((version) => (
            <li key={version.version.toString()}>
              <span class="hint">
                Version {version.version.toString()}, {clockTime(dateOf(version.updateTime), new Date())}
              </span>
              <p>{version.content || "(secret)"}</p>
            </li>
          ))}
        </ol>
      </Dialog>
    ));
  } catch (error) {
    complain(error, "History");
  }
}

/** A kind in a word. */
export function kindName(kind: MemoryKind): string {
  return enumName(MemoryKind, kind);
}

function scopeOf({ namespace, sessionKey }: MemoryItem): MemoryScope {
  return { namespace, sessionKey };
}
