import { create } from "@bufbuild/protobuf";
import { AgentOptionSchema, ListModelsResponseSchema } from "@quarterdeck/client";
import { expect, test } from "vitest";
import { levelEntries, modelEntries, modelWord, optionEntries, splitModel } from "../src/state/choices";

const FOUND = create(ListModelsResponseSchema, {
  models: [
    { provider: "a", modelId: "b/c", displayName: "The C", thinkingLevels: ["low", "high"] },
    { provider: "", modelId: "bare" },
  ],
  current: { provider: "a", modelId: "b/c" },
});

test("a model is one word and comes back from it", () => {
  for (const model of [...FOUND.models, { provider: "", modelId: "" }]) {
    const { provider, modelId } = splitModel(modelWord(model));
    expect({ provider, modelId }).toEqual({ provider: model.provider, modelId: model.modelId });
  }
});

test("what is chosen stands among the choices, also where it is not offered", () => {
  const values = (entries: readonly (readonly [string, string])[]) => entries.map(([value]) => value);
  expect(values(modelEntries(FOUND, ""))).toEqual(["", "a/b/c", "bare"]);
  expect(values(modelEntries(FOUND, "gone"))).toEqual(["", "gone", "a/b/c", "bare"]);
  expect(modelEntries(FOUND, "")[1]).toEqual(["a/b/c", "The C"]);
  expect(values(levelEntries(FOUND, "", "high"))).toEqual(["", "low", "high"]);
  expect(values(levelEntries(FOUND, "bare", "high"))).toEqual(["", "high"]);
  const option = create(AgentOptionSchema, { values: [{ value: "ask", name: "Ask" }], chosen: "plan" });
  expect(values(optionEntries(option))).toEqual(["", "plan", "ask"]);
});
