// Asks for the API key.
import { useRef, useState } from "preact/hooks";
import { explain, isReadableByOthers } from "../api";
import { account, signIn, start } from "../store/account";
import { Button } from "./Button";
import { Mark } from "./Icons";

/** What is there before somebody is signed in. */
export function SignIn() {
  const now = account.value;
  return (
    <main class="sign-in">
      <div class="card">
        <Mark />
        <h1>Quarterdeck</h1>
        {now.state === "checking" ? <p class="hint">Asking the server…</p> : null}
        {now.state === "unreachable" ? (
          <>
            <p class="problem" role="alert">
              {now.message}
            </p>
            <Button tone="primary" onClick={() => void start()}>
              Try again
            </Button>
          </>
        ) : null}
        {now.state === "out" ? <KeyForm message={now.message} /> : null}
      </div>
    </main>
  );
}

function KeyForm({ message }: { readonly message: string }) {
  const field = useRef<HTMLInputElement>(null);
  const [remember, setRemember] = useState(false);
  const [problem, setProblem] = useState(message);
  const [busy, setBusy] = useState(false);
  const submit = async (): Promise<void> => {
    const key = field.current?.value.trim() ?? "";
    if (key === "") {
      setProblem("Enter a key.");
      return;
    }
    setBusy(true);
    try {
      await signIn(key, remember);
    } catch (error) {
      setBusy(false);
      setProblem(explain(error));
      field.current?.select();
    }
  };
  return (
    <form
      class="form"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <div class="field">
        <label for="key">API key</label>
        <input
          id="key"
          ref={field}
          type="password"
          autocomplete="current-password"
          spellcheck={false}
          placeholder="qdk_…"
          autofocus
          aria-describedby="key-hint"
        />
        <p class="hint" id="key-hint">
          The server's first start writes one to <code>admin.key</code> in its data directory;{" "}
          <code>quarterdeck keys create</code> makes others. It is exchanged for a sign-in of 12 hours and not kept.
        </p>
      </div>
      <label class="tick">
        <input type="checkbox" checked={remember} onChange={(event) => setRemember(event.currentTarget.checked)} />
        Remember the sign-in in this browser
      </label>
      {isReadableByOthers() ? (
        <label class="tick warning">
          <input type="checkbox" required />
          This connection is not encrypted: others on the way can read the key. Send it all the same.
        </label>
      ) : null}
      <p class="problem" role="alert">
        {problem}
      </p>
      <Button tone="primary" submit disabled={busy}>
        Sign in
      </Button>
    </form>
  );
}
