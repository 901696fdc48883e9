// The form in which model, thinking level and options of a session are chosen.
import { useEffect, useState } from "preact/hooks";
import type { AgentOption, ListModelsResponse, SessionSnapshot } from "@quarterdeck/client";
import { explain } from "../api";
import { levelEntries, modelEntries, optionEntries } from "../state/choices";
import { scopes } from "../store/account";
import { choose, findChoices } from "../store/actions";
import { Dialog, openDialog } from "./Dialog";
import { Choice, Form } from "./Form";

/** Opens it. */
export function openChoices(session: SessionSnapshot): void {
  openDialog(() => <Choices session={session} />);
}

interface Found {
  readonly models: ListModelsResponse;
  readonly options: readonly AgentOption[];
}

function Choices({ session }: { readonly session: SessionSnapshot }) {
  const [found, setFound] = useState<Found | undefined>(undefined);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    findChoices(session.sessionKey).then(setFound, (error: unknown) => setProblem(explain(error)));
  }, [session.sessionKey]);
  return (
    <Dialog title="Model and options">
      {found ? <Chooser session={session} found={found} /> : <p role="status">{problem === "" ? "One moment…" : problem}</p>}
    </Dialog>
  );
}

function Chooser({ session, found }: { readonly session: SessionSnapshot; readonly found: Found }) {
  const { models, options } = found;
  const [model, setModel] = useState(session.model);
  const [level, setLevel] = useState(session.thinkingLevel);
  const [values, setValues] = useState<Readonly<Record<string, string>>>({});
  const mine = options.filter((it) => !it.needsApproval || scopes.value.has("session.approve"));
  return (
    <Form submit="Choose" onSubmit={() => choose(session, { model, level, values })}>
      <p>
        {models.asOf
          ? "It counts from the next turn on, for this session alone."
          : "The agent tells what it offers in its first turn. Until then there is little to choose from."}
      </p>
      <Choice label="Model" value={model} choices={modelEntries(models, session.model)} onChange={setModel} />
      <Choice
        label="Thinking level"
        value={level}
        choices={levelEntries(models, model, session.thinkingLevel)}
        onChange={setLevel}
      />
      {mine.map((option) => (
        <Choice
          key={option.optionId}
          label={option.name}
          value={values[option.optionId] ?? option.chosen}
          choices={optionEntries(option)}
          onChange={(value) => setValues({ ...values, [option.optionId]: value })}
        />
      ))}
    </Form>
  );
}
