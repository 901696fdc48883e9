// API keys: which there are, making and revoking them. A new key's secret is shown once and kept nowhere.
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import type { ApiKey } from "@quarterdeck/client";
import { explain } from "../../api";
import { ago, clockTime, dateOf } from "../../state/format";
import { SCOPES } from "../../state/scopes";
import { durationOf } from "../../state/settings";
import { drop, elevate, keyManager } from "../../store/elevated";
import { complain, tell } from "../../store/notices";
import { Button, IconButton } from "../Button";
import { ask, closeDialog, Dialog, openDialog } from "../Dialog";
import { Field } from "../Form";
import { NewSecret } from "../NewSecret";
import { Foot, Page, reader, Table } from "../Page";

/** Keys that are read at a time. */
const PAGE = 100;
/** Marks a key with which everything may be done. */
const ALL = "*";

const ended = signal(false);

const keys = reader<ApiKey>(async (pageToken) => {
  const page = await manager().listApiKeys({ pageSize: PAGE, pageToken, includeEnded: ended.value });
  return { rows: page.apiKeys, next: page.nextPageToken };
});

function manager(): NonNullable<typeof keyManager.value>["client"] {
  if (!keyManager.value) throw new Error("Enter a key that may manage keys.");
  return keyManager.value.client;
}

/** The page of the keys. */
export function Keys() {
  useEffect(() => drop, []);
  const may = keyManager.value !== undefined;
  useEffect(() => {
    keys.rows.value = [];
    if (may) void keys.read();
  }, [may, ended.value]);
  if (!may) return <Locked />;
  return (
    <Page
      title="API keys"
      hint="Who may call this server, and what for"
      action={
        <Button tone="primary" onClick={() => openDialog(() => <NewKey />)}>
          New key
        </Button>
      }
    >
      <div class="page-tools">
        <label class="tick">
          <input type="checkbox" checked={ended.value} onChange={(event) => (ended.value = event.currentTarget.checked)} />
          Revoked and expired ones too
        </label>
      </div>
      <Table name="API keys" columns={["Key", "For", "Calls as", "May", "Made", "Last used", "Ends", ""]}>
        {keys.rows.value.map((key) => (
          <Row key={key.keyId} of={key} />
        ))}
      </Table>
      <Foot of={keys} empty="There are no keys." />
    </Page>
  );
}

/** The sign-in of a page makes no keys, so that who steals it can't. */
function Locked() {
  const field = useRef<HTMLInputElement>(null);
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const enter = async (): Promise<void> => {
    const key = field.current?.value.trim() ?? "";
    if (key === "") return;
    setBusy(true);
    setProblem("");
    try {
      await elevate(key);
    } catch (error) {
      setProblem(explain(error));
      setBusy(false);
    }
  };
  return (
    <Page title="API keys">
      <form
        class="form narrow"
        onSubmit={(event) => {
          event.preventDefault();
          void enter();
        }}
      >
        <p>
          What this page is signed in with can't manage keys. Enter a key with the scope <code>admin.keys</code>: it is used while this page is shown,
          for five minutes at most, and kept nowhere.
        </p>
        <div class="field">
          <label for="manager">API key</label>
          <input id="manager" ref={field} type="password" autocomplete="off" spellcheck={false} placeholder="qdk_…" required />
        </div>
        <p class="problem" role="alert">
          {problem}
        </p>
        <div class="dialog-buttons">
          <Button tone="primary" submit disabled={busy}>
            Show keys
          </Button>
        </div>
      </form>
    </Page>
  );
}

function Row({ of }: { readonly of: ApiKey }) {
  const now = new Date();
  const [made, used, expires, revoked] = [dateOf(of.createTime), dateOf(of.lastUsedTime), dateOf(of.expireTime), dateOf(of.revokeTime)];
  const over = revoked !== undefined || (expires !== undefined && expires <= now);
  return (
    <tr class={over ? "over" : ""} data-testid="key" data-key={of.keyId}>
      <td>
        <code>{of.keyId}</code>
      </td>
      <td class="cut-text">{of.displayName}</td>
      <td>{of.principal}</td>
      <td class="wrapped">{of.scopes.includes(ALL) ? "everything" : of.scopes.join(", ")}</td>
      <td title={`by ${of.createdBy}`}>{made ? clockTime(made, now) : ""}</td>
      <td>{used ? ago(used.getTime(), now.getTime()) : "never"}</td>
      <td>{revoked ? `revoked ${clockTime(revoked, now)}` : expires ? clockTime(expires, now) : "never"}</td>
      <td>
        {over ? null : (
          <IconButton
            icon="trash"
            label={`Revoke ${of.keyId}`}
            tone="danger"
            onClick={() =>
              ask({
                title: "Revoke this key?",
                text: `Calls with ${of.keyId}${of.displayName === "" ? "" : ` (${of.displayName})`} are refused at once, and so are those with keys that were made with it. This can't be taken back.`,
                yes: "Revoke",
                onYes: () => void revoke(of.keyId),
              })
            }
          />
        )}
      </td>
    </tr>
  );
}

async function revoke(keyId: string): Promise<void> {
  try {
    const { madeKeyIds } = await manager().revokeApiKey({ keyId });
    tell(madeKeyIds.length === 0 ? "Revoked." : `Revoked, with ${madeKeyIds.length} that were made with it.`);
    await keys.read();
  } catch (error) {
    complain(error, "Not revoked");
  }
}

function NewKey() {
  const [name, setName] = useState("");
  const [subject, setSubject] = useState("");
  const [ttl, setTtl] = useState("90d");
  const [chosen, setChosen] = useState<readonly string[]>(["session.read"]);
  const [problem, setProblem] = useState("");
  const [secret, setSecret] = useState("");
  const mine = keyManager.value?.scopes ?? [];
  const toggle = (scope: string, on: boolean): void => setChosen(on ? [...chosen, scope] : chosen.filter((each) => each !== scope));
  const make = async (): Promise<void> => {
    setProblem("");
    try {
      const duration = durationOf(ttl);
      const request = { displayName: name, subject: subject.trim(), scopes: [...chosen], ...(duration ? { ttl: duration } : {}) };
      setSecret((await manager().createApiKey(request)).secret);
      void keys.read();
    } catch (error) {
      setProblem(explain(error));
    }
  };
  if (secret !== "") {
    return <NewSecret title="The new key" copy="Copy the key" secret={secret} />;
  }
  return (
    <Dialog title="New API key" wide>
      <form
        class="form"
        autocomplete="off"
        onSubmit={(event) => {
          event.preventDefault();
          void make();
        }}
      >
        <Field label="What for" value={name} onInput={setName} hint="For people, such as: nightly reports." />
        <div class="columns">
          <Field label="Calls as" value={subject} onInput={setSubject} placeholder="you" hint="A name of letters, digits and . _ - ; empty: your own." />
          <Field label="Ends after" value={ttl} onInput={setTtl} hint="Like 12h or 90d. Empty: never, or with the key it is made with." />
        </div>
        <fieldset class="field scopes-chosen">
          <legend>What it may do</legend>
          {SCOPES.filter(([scope]) => mine.includes(scope)).map(([scope, meaning]) => (
            <label key={scope} class="tick">
              <input type="checkbox" checked={chosen.includes(scope)} onChange={(event) => toggle(scope, event.currentTarget.checked)} />
              <span>
                <code>{scope}</code> <span class="hint">{meaning}</span>
              </span>
            </label>
          ))}
        </fieldset>
        <p class="problem" role="alert">
          {problem}
        </p>
        <div class="dialog-buttons">
          <Button onClick={closeDialog}>Cancel</Button>
          <Button tone="primary" submit disabled={chosen.length === 0}>
            Make the key
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
