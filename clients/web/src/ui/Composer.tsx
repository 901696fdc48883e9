// Where a message is written: text, attachments, and whether it steers the running turn or waits.
import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { explain } from "../api";
import { type SessionSnapshot, SessionState } from "@quarterdeck/client";
import { size } from "../state/format";
import { scopes } from "../store/account";
import { send } from "../store/actions";
import { type DraftFile, draftOf, readFile, setDraft, takeWritesNext } from "../store/drafts";
import { isImage } from "../store/images";
import { canSteer, serverInfo } from "../store/server";
import { Icon } from "./Icons";
import { IconButton } from "./Button";
import { showNewest } from "./Transcript";

/** Largest attachments of one message together, in bytes, as the contract has it. */
const FILES_BYTES_MAX = 16 * 1024 * 1024;
/** Largest single attachment in bytes, where the server named none. */
const FILE_BYTES_MAX = 8 * 1024 * 1024;

/** `keyCode` of a key that an input method took. */
const INPUT_METHOD_KEY = 229;

type How = "steer" | "queue";

const preferred = signal<How>("steer");

/** The composer of a session. */
export function Composer({ session }: { readonly session: SessionSnapshot }) {
  const key = session.sessionKey;
  const draft = draftOf(key);
  const field = useRef<HTMLTextAreaElement>(null);
  const chooser = useRef<HTMLInputElement>(null);
  const [problem, setProblem] = useState("");
  const [sending, setSending] = useState(false);
  const [dragging, setDragging] = useState(false);

  const running = session.activeTurnId !== "" && session.state !== SessionState.CANCELING && session.state !== SessionState.RESETTING;
  const mayWrite = scopes.value.has("session.write");
  const maySteer = scopes.value.has("session.steer") && canSteer(session.agent);
  const how: How = running && maySteer && (preferred.value === "steer" || !mayWrite) ? "steer" : "queue";
  const empty = draft.text.trim() === "" && draft.files.length === 0;
  const refused = how === "queue" && !mayWrite ? "session.write" : "";

  useLayoutEffect(() => {
    const box = field.current;
    if (!box) return;
    box.style.height = "auto";
    box.style.height = `${box.scrollHeight}px`;
  }, [draft.text, key]);

  useEffect(() => {
    setProblem("");
    // Who walks through the sessions by keys goes on doing so; `c` writes.
    if (takeWritesNext(key) && window.matchMedia("(pointer: fine)").matches) field.current?.focus();
  }, [key]);

  const submit = async (as: How): Promise<void> => {
    if (empty || sending || refused !== "") return;
    setSending(true);
    setProblem("");
    setDraft(key, { text: "", files: [] });
    try {
      await send(key, draft, as);
      showNewest();
    } catch (error) {
      // What was written comes back before what was typed meanwhile.
      const typed = draftOf(key);
      const text = typed.text === "" ? draft.text : `${draft.text}\n${typed.text}`;
      setDraft(key, { text, files: [...draft.files, ...typed.files] });
      setProblem(explain(error));
    } finally {
      setSending(false);
    }
  };

  const addFiles = async (files: readonly File[]): Promise<void> => {
    const limit = Number(serverInfo.value?.limits?.attachmentBytes ?? 0) || FILE_BYTES_MAX;
    const large = files.find((file) => file.size > limit);
    if (large) {
      setProblem(`${large.name} has ${size(large.size)}; at most ${size(limit)} can be attached.`);
      return;
    }
    const read = await Promise.all(files.map(readFile));
    const before = draftOf(key);
    const all = [...before.files, ...read];
    if (all.reduce((sum, file) => sum + file.data.length, 0) > FILES_BYTES_MAX) {
      setProblem(`All attachments of a message together may have ${size(FILES_BYTES_MAX)}.`);
      return;
    }
    setProblem("");
    setDraft(key, { ...before, files: all });
  };

  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key !== "Enter" || event.shiftKey || composes(event)) return;
    const other = event.ctrlKey || event.metaKey;
    // On a touch screen Enter makes a new line, since there is no Shift at hand.
    if (!other && !window.matchMedia("(pointer: fine)").matches) return;
    event.preventDefault();
    const otherWay: How = how === "steer" ? "queue" : "steer";
    void submit(other && running && maySteer && mayWrite ? otherWay : how);
  };

  if (refused !== "" && !running) {
    return (
      <p class="strip">
        Writing needs the scope <code>{refused}</code>.
      </p>
    );
  }
  return (
    <form
      class={dragging ? "composer dragging" : "composer"}
      onSubmit={(event) => {
        event.preventDefault();
        void submit(how);
      }}
      onDragOver={(event) => {
        event.preventDefault();
        setDragging(true);
      }}
      onDragLeave={() => setDragging(false)}
      onDrop={(event) => {
        event.preventDefault();
        setDragging(false);
        void addFiles([...(event.dataTransfer?.files ?? [])]);
      }}
    >
      {draft.files.length > 0 ? (
        <ul class="files" aria-label="Attachments">
          {draft.files.map((file) => (
            <FileChip
              key={file}
              file={file}
              onRemove={() => setDraft(key, { ...draft, files: draft.files.filter((other) => other !== file) })}
            />
          ))}
        </ul>
      ) : null}
      <textarea
        data-composer
        ref={field}
        rows={1}
        value={draft.text}
        placeholder={placeholder(how, running)}
        aria-label="Message"
        onInput={(event) => setDraft(key, { ...draft, text: event.currentTarget.value })}
        onKeyDown={onKeyDown}
        onPaste={(event) => {
          const files = [...(event.clipboardData?.files ?? [])];
          if (files.length === 0) return;
          event.preventDefault();
          void addFiles(files);
        }}
      />
      <div class="composer-row">
        <input
          ref={chooser}
          class="unseen"
          type="file"
          multiple
          tabIndex={-1}
          aria-label="Files to attach"
          onChange={(event) => {
            void addFiles([...(event.currentTarget.files ?? [])]);
            event.currentTarget.value = "";
          }}
        />
        <IconButton icon="clip" label="Attach files" onClick={() => chooser.current?.click()} />
        {running ? <HowChoice how={how} maySteer={maySteer} mayQueue={mayWrite} agent={session.agent} /> : null}
        <p class="problem" role="alert">
          {problem}
        </p>
        <button
          type="submit"
          class="send"
          aria-label={how === "steer" ? "Steer" : running ? "Queue" : "Send"}
          title={how === "steer" ? "Steer" : running ? "Queue" : "Send"}
          disabled={empty || sending}
        >
          {sending ? <span class="spinner" /> : <Icon name="send" />}
        </button>
      </div>
    </form>
  );
}

/**
 * Whether the key belongs to an input method, such as the Enter that takes a word: Safari ends the composition before it
 * tells of the key, and only its code says so.
 */
function composes(event: KeyboardEvent): boolean {
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- Nothing else tells it there.
  return event.isComposing || event.keyCode === INPUT_METHOD_KEY;
}

interface HowProps {
  readonly how: How;
  readonly maySteer: boolean;
  readonly mayQueue: boolean;
  readonly agent: string;
}

function HowChoice({ how, maySteer, mayQueue, agent }: HowProps) {
  const why = canSteer(agent) ? "needs the scope session.steer" : `${agent} can't be steered`;
  return (
    <div class="segments small" role="group" aria-label="While a turn runs">
      <button
        type="button"
        aria-pressed={how === "steer"}
        disabled={!maySteer}
        title={maySteer ? "Give it to the running turn" : why}
        onClick={() => (preferred.value = "steer")}
      >
        Steer
      </button>
      <button
        type="button"
        aria-pressed={how === "queue"}
        disabled={!mayQueue}
        title="Wait until the running turn has ended"
        onClick={() => (preferred.value = "queue")}
      >
        Queue
      </button>
    </div>
  );
}

function FileChip({ file, onRemove }: { readonly file: DraftFile; readonly onRemove: () => void }) {
  const [address, setAddress] = useState("");
  useEffect(() => {
    if (!isImage(file.mediaType)) return undefined;
    const made = URL.createObjectURL(new Blob([file.data], { type: file.mediaType }));
    setAddress(made);
    return () => URL.revokeObjectURL(made);
  }, [file]);
  return (
    <li>
      {address === "" ? <Icon name="file" /> : <img src={address} alt="" />}
      <span>
        {file.name} <span class="hint">{size(file.data.length)}</span>
      </span>
      <IconButton icon="close" label={`Take ${file.name} away`} onClick={onRemove} />
    </li>
  );
}

function placeholder(how: How, running: boolean): string {
  if (how === "steer") return "Steer the running turn";
  return running ? "Queue a message" : "Write a message";
}
