// Rules of routing: in words, and as a form holds them. Pure; what can't be read is an Error in a sentence.
import { create } from "@bufbuild/protobuf";
import { type ResolveRouteResponse, type Route, RouteConditionSchema, RouteSchema, RouteTargetSchema } from "@quarterdeck/client";
import { modelWord, splitModel } from "./choices";
import { labelPairs, labelsOf, linesOf, type Pair } from "./settings";
import { amountOf } from "./usage";
import { labelWords } from "./workers";

/** A rule as its form holds it. */
export interface RouteDraft {
  readonly name: string;
  readonly textMatches: string;
  readonly minTextBytes: string;
  readonly attachmentType: string;
  readonly labels: readonly Pair[];
  /** One a line. */
  readonly principals: string;
  /** One a line. */
  readonly sources: string;
  readonly agent: string;
  /** `provider/model`, or the model alone. */
  readonly model: string;
  readonly thinkingLevel: string;
}

/** What the form of a rule begins with. */
export function draftOf({ name, when, use }: Route): RouteDraft {
  return {
    name,
    textMatches: when?.textMatches ?? "",
    minTextBytes: when && when.minTextBytes > 0n ? String(when.minTextBytes) : "",
    attachmentType: when?.hasAttachmentType ?? "",
    labels: labelPairs(when?.labels ?? {}),
    principals: (when?.principals ?? []).join("\n"),
    sources: (when?.sources ?? []).join("\n"),
    agent: use?.agent ?? "",
    model: use ? modelWord(use) : "",
    thinkingLevel: use?.thinkingLevel ?? "",
  };
}

/** The rule that is written. Throws where it can't be one. */
export function routeOf(draft: RouteDraft): Route {
  const use = create(RouteTargetSchema, { agent: draft.agent, ...splitModel(draft.model.trim()), thinkingLevel: draft.thinkingLevel.trim() });
  if (use.agent === "" && use.modelId === "" && use.thinkingLevel === "") throw new Error("Say what is used: an agent, a model or a thinking level.");
  const when = create(RouteConditionSchema, {
    textMatches: draft.textMatches,
    minTextBytes: amountOf(draft.minTextBytes) ?? 0n,
    hasAttachmentType: draft.attachmentType.trim(),
    labels: labelsOf(draft.labels),
    principals: linesOf(draft.principals),
    sources: linesOf(draft.sources),
  });
  return create(RouteSchema, { name: draft.name.trim(), when, use });
}

/** When a rule matches. */
export function conditionWords({ when }: Route): string {
  if (!when) return "always";
  const labels = labelWords(when.labels);
  const words = [
    when.textMatches === "" ? "" : `the text matches ${when.textMatches}`,
    when.minTextBytes === 0n ? "" : `the text has at least ${when.minTextBytes.toLocaleString()} bytes`,
    when.hasAttachmentType === "" ? "" : `a file is ${when.hasAttachmentType}`,
    labels === "" ? "" : `the session is labelled ${labels}`,
    when.principals.length === 0 ? "" : `it comes from ${when.principals.join(" or ")}`,
    when.sources.length === 0 ? "" : `its source is ${when.sources.join(" or ")}`,
  ].filter((word) => word !== "");
  return words.length === 0 ? "always" : words.join(", and ");
}

/** What is used: of a rule, or of what was tried. */
export function targetWords(use: Pick<ResolveRouteResponse, "agent" | "provider" | "modelId" | "thinkingLevel"> | undefined): string {
  if (!use) return "nothing";
  const words = [
    use.agent === "" ? "" : `agent ${use.agent}`,
    use.modelId === "" ? "" : `model ${modelWord(use)}`,
    use.thinkingLevel === "" ? "" : `thinking level ${use.thinkingLevel}`,
  ].filter((word) => word !== "");
  return words.join(", ");
}

/** The rules with one at another place. */
export function moved<Item>(items: readonly Item[], from: number, to: number): Item[] {
  const item = items[from];
  if (item === undefined || to < 0 || to >= items.length) return [...items];
  return items.filter((_, at) => at !== from).toSpliced(to, 0, item);
}
