// What can be chosen for a session, as choices of a form.
import type { AgentOption, ListModelsResponse } from "@quarterdeck/client";

/** A value and what people call it. */
export type Entry = readonly [value: string, name: string];

/** What stands for the agent's own. */
const OWN: Entry = ["", "The agent's own"];

/** A model as one word. */
export function modelWord({ provider, modelId }: { readonly provider: string; readonly modelId: string }): string {
  return provider === "" ? modelId : `${provider}/${modelId}`;
}

/** The provider and the id of such a word. */
export function splitModel(word: string): { provider: string; modelId: string } {
  const slash = word.indexOf("/");
  return { provider: word.slice(0, Math.max(slash, 0)), modelId: word.slice(slash + 1) };
}

/** The models to choose from; the chosen one stands among them also where it is not offered. */
export function modelEntries(found: ListModelsResponse, chosen: string): Entry[] {
  return withChosen(
    found.models.map((model): Entry => [modelWord(model), model.displayName === "" ? model.modelId : model.displayName]),
    chosen,
  );
}

/** The thinking levels of a model; of the one in use where none is chosen. */
export function levelEntries(found: ListModelsResponse, model: string, chosen: string): Entry[] {
  const word = model === "" && found.current ? modelWord(found.current) : model;
  const levels = found.models.find((it) => modelWord(it) === word)?.thinkingLevels ?? [];
  return withChosen(
    levels.map((level): Entry => [level, level]),
    chosen,
  );
}

/** The values of an option. */
export function optionEntries(option: AgentOption): Entry[] {
  return withChosen(
    option.values.map(({ value, name }): Entry => [value, name === "" ? value : name]),
    option.chosen,
  );
}

function withChosen(entries: Entry[], chosen: string): Entry[] {
  const known = chosen === "" || entries.some(([value]) => value === chosen);
  return [OWN, ...(known ? [] : [[chosen, chosen] as const]), ...entries];
}
