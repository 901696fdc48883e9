// What an agent asks: how it is shown, and how an answer is made of what a person filled in. All pure.
import { OptionEffect, type Question, QuestionKind, QuestionResolution, QuestionState } from "@quarterdeck/client";
import { oneLine } from "./format";

/** A question in the transcript. */
export interface QuestionEntry {
  readonly kind: "question";
  readonly id: string;
  readonly turnId: string;
  /** As it is now. */
  readonly question: Question;
  /** True once the agent has the answer. */
  readonly delivered: boolean;
}

/** Id of the entry of a question. */
export function questionEntryId(questionId: string): string {
  return `question:${questionId}`;
}

/** A question as an entry. */
export function questionEntry(question: Question): QuestionEntry {
  const { questionId, turnId } = question;
  return { kind: "question", id: questionEntryId(questionId), turnId, question, delivered: false };
}

/** True while it waits for an answer. */
export function isPending({ question }: QuestionEntry): boolean {
  return question.state === QuestionState.PENDING;
}

/** Scope that answering needs. */
export function scopeOf({ kind }: Question): string {
  if (kind === QuestionKind.BUDGET) return "budget.write";
  return kind === QuestionKind.TOOL_CALL ? "session.write" : "session.approve";
}

/** How an option's button looks: what allows once is the main one, what denies stands back. */
export function toneOf(effect: OptionEffect): "primary" | "plain" | "danger" {
  if (effect === OptionEffect.DENY_ONCE || effect === OptionEffect.DENY_ALWAYS) return "danger";
  return effect === OptionEffect.ALLOW_ALWAYS ? "plain" : "primary";
}

/** What became of a closed question, in a few words. */
export function outcome({ question, delivered }: QuestionEntry): string {
  const { answer, answeredBy, resolution, policyRule } = question;
  if (question.state === QuestionState.EXPIRED) return "nobody answered in time";
  if (question.state === QuestionState.CANCELED) return `no longer needed: ${REASONS[resolution] ?? "it was closed"}`;
  const what = answer ? said(question) : "answered";
  if (resolution === QuestionResolution.POLICY) return `${what} by policy${policyRule === "" ? "" : ` (${policyRule})`}`;
  return `${what}${answeredBy === "" ? "" : ` by ${answeredBy}`}${delivered ? "" : ", not yet with the agent"}`;
}

const REASONS: Readonly<Partial<Record<QuestionResolution, string>>> = {
  [QuestionResolution.TURN_CANCELED]: "the turn was stopped",
  [QuestionResolution.TURN_ENDED]: "the turn ended",
  [QuestionResolution.AGENT_GONE]: "the agent's process was gone",
  [QuestionResolution.GATEWAY_CRASHED]: "the server died",
  [QuestionResolution.DRAINING]: "the server was stopped",
  [QuestionResolution.WITHDRAWN]: "the agent took it back",
};

function said({ answer, options, kind }: Question): string {
  if (!answer) return "";
  if (answer.declined) return "declined";
  const option = options.find(({ optionId }) => optionId === answer.optionId);
  if (option) return `“${oneLine(option.label || option.optionId, 60)}”`;
  if (answer.isError) return `failed: ${oneLine(answer.contentJson, 100)}`;
  const named = kind === QuestionKind.FORM ? "filled in" : kind === QuestionKind.BUDGET ? "granted" : "result";
  return answer.contentJson === "" ? named : `${named}: ${oneLine(answer.contentJson, 100)}`;
}

/** Where a link goes, where a page may open it; undefined for everything but the web. */
export function webLink(url: string): { readonly href: string; readonly host: string } | undefined {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  const web = parsed?.protocol === "https:" || parsed?.protocol === "http:";
  return parsed && web ? { href: parsed.href, host: parsed.host } : undefined;
}

/** A result as JSON: what is no JSON is a text. */
export function asJson(text: string): string {
  try {
    JSON.parse(text);
    return text;
  } catch {
    return JSON.stringify(text);
  }
}

/** One property of a form. */
export interface FormField {
  readonly name: string;
  readonly label: string;
  readonly hint: string;
  readonly type: "text" | "secret" | "number" | "boolean" | "choice" | "choices";
  readonly required: boolean;
  /** What may be chosen. */
  readonly choices: readonly string[];
  readonly initial: string;
}

/** The fields of a form by its schema; undefined where the schema is none that can be drawn. */
export function fieldsOf(schemaJson: string): FormField[] | undefined {
  const schema = parseObject(schemaJson);
  const properties = asObject(schema?.properties);
  if (!schema || !properties) return undefined;
  const required = new Set(texts(schema.required));
  return Object.entries(properties).map(([name, value]) => {
    const property = asObject(value) ?? {};
    const items = asObject(property.items) ?? {};
    const choices = property.type === "array" ? texts(items.enum) : texts(property.enum);
    return {
      name,
      label: textOf(property.title) || name,
      hint: textOf(property.description),
      type: fieldType(property, choices),
      required: required.has(name),
      choices,
      initial: initialOf(property.default),
    };
  });
}

function fieldType(property: Readonly<Record<string, unknown>>, choices: readonly string[]): FormField["type"] {
  if (property["x-secret"] === true) return "secret";
  if (property.type === "array") return "choices";
  if (choices.length > 0) return "choice";
  if (property.type === "boolean") return "boolean";
  return property.type === "number" || property.type === "integer" ? "number" : "text";
}

/** The content of an answer, of what was filled in; an empty field that is not required is left out. */
export function contentOf(fields: readonly FormField[], values: ReadonlyMap<string, string>): string {
  const content = fields.flatMap(({ name, type, required, initial }): [string, unknown][] => {
    const value = values.get(name) ?? initial;
    switch (type) {
      case "boolean":
        return [[name, value === "true"]];
      case "choices":
        return [[name, chosenOf(value)]];
      case "number":
        return value === "" ? [] : [[name, Number(value)]];
      default:
        return value === "" && !required ? [] : [[name, value]];
    }
  });
  return JSON.stringify(Object.fromEntries(content));
}

/** What is chosen of many, from the text that a field holds. */
export function chosenOf(value: string): readonly string[] {
  return value === "" ? [] : texts(parse(value));
}

function initialOf(value: unknown): string {
  if (typeof value === "string") return value;
  return value === undefined || value === null ? "" : JSON.stringify(value);
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((each): each is string => typeof each === "string") : [];
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  return asObject(parse(text));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function asObject(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
}
