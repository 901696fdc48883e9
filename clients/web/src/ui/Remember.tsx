// Writes a memory.
import { useState } from "preact/hooks";
import { type MemoryItem, MemoryKind, RememberOutcome } from "@quarterdeck/client";
import { client } from "../store/account";
import { tell } from "../store/notices";
import { Dialog, openDialog } from "./Dialog";
import { Choice, Field, Form } from "./Form";
import { kindName, type MemoryScope, readMemory } from "./Memory";

const KINDS = [MemoryKind.FACT, MemoryKind.PROFILE, MemoryKind.PREFERENCE, MemoryKind.RELATIONSHIP, MemoryKind.SECRET];

/** Opens the form; with a memory it changes that one. */
export function openRemember(scope: MemoryScope, memory?: MemoryItem): void {
  openDialog(() => <Remember scope={scope} memory={memory} />);
}

function Remember({ scope, memory }: { readonly scope: MemoryScope; readonly memory: MemoryItem | undefined }) {
  const [content, setContent] = useState(memory?.content ?? "");
  const [key, setKey] = useState(memory?.key ?? "");
  const [kind, setKind] = useState(String(memory?.kind ?? MemoryKind.FACT));
  const [tags, setTags] = useState(memory?.tags.join(", ") ?? "");
  const submit = async (): Promise<void> => {
    const request = {
      ...scope,
      content,
      key,
      kind: KINDS.find((each) => String(each) === kind) ?? MemoryKind.FACT,
      tags: tags.split(",").map((tag) => tag.trim()).filter(Boolean),
    };
    const { outcome } = await client().remember(request);
    // Without a key its content names a memory, so that another content is another memory.
    if (memory?.key === "" && outcome === RememberOutcome.CREATED) {
      await client().forget({ id: memory.id });
    }
    tell(outcome === RememberOutcome.TOUCHED ? "It was there already." : "Remembered.");
    await readMemory();
  };
  return (
    <Dialog title={memory ? "Edit a memory" : "Remember"} wide>
      <Form submit={memory ? "Save" : "Remember"} onSubmit={submit}>
        <Field label="What" value={content} onInput={setContent} lines={5} required />
        <div class="columns">
          <Field label="Key (optional)" value={key} onInput={setKey} hint="The same key again is a new version." />
          <Choice label="Kind" value={kind} onChange={setKind} choices={KINDS.map((each) => [String(each), kindName(each)] as const)} />
        </div>
        <Field label="Tags" value={tags} onInput={setTags} hint="Separated by commas." />
      </Form>
    </Dialog>
  );
}
