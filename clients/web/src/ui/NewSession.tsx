// Makes a session.
import { useState } from "preact/hooks";
import { createSession } from "../store/actions";
import { readServerInfo, serverInfo } from "../store/server";
import { Dialog, openDialog } from "./Dialog";
import { Choice, Field, Form } from "./Form";

/** Opens the form for a new session. */
export function openNewSession(): void {
  void readServerInfo();
  openDialog(() => <NewSession />);
}

function NewSession() {
  const [key, setKey] = useState("");
  const [name, setName] = useState("");
  const [agent, setAgent] = useState("");
  const info = serverInfo.value;
  const agents = info ? info.agents.map(({ name: each }) => [each, each === info.defaultAgent ? `${each} (default)` : each] as const) : [];
  return (
    <Dialog title="New session">
      <Form submit="Create" onSubmit={() => createSession(key, agent, name)}>
        <Field
          label="Key"
          value={key}
          onInput={setKey}
          required
          pattern="[A-Za-z0-9][A-Za-z0-9._:@~+=\-]*"
          hint="Letters, digits and . _ : @ ~ + = - ; at most 128. It stays as it is."
        />
        <Field label="Name (optional)" value={name} onInput={setName} hint="For people; can be changed later." />
        <Choice label="Agent" value={agent === "" ? (info?.defaultAgent ?? "") : agent} choices={agents} onChange={setAgent} />
      </Form>
    </Dialog>
  );
}
