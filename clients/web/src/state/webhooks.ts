// Webhooks in words, and what their form says. Pure.
import { type Delivery, DeliveryState, GatewayEventSchema, type Webhook, type WebhookFilter, WebhookPayload } from "@quarterdeck/client";
import type { Tone } from "./turns";

/** Kinds of events that stand in a log, which are those that can be told, by name. */
export const KINDS: readonly string[] = GatewayEventSchema.fields
  .filter(({ number, oneof }) => oneof !== undefined && number < GatewayEventSchema.field.hello.number)
  .map(({ name }) => name)
  .sort();

/** Kinds that a person is likely to want. */
export const USUAL_KINDS: readonly string[] = ["question_asked", "turn_ended"];

/** What people call it. */
export function webhookName({ displayName, url }: Webhook): string {
  return displayName === "" ? url : displayName;
}

const PAUSED: Readonly<Record<string, string>> = {
  FAILING: "Paused: nothing was taken for a day",
  GONE: "Paused: the address is gone",
  PERMISSION_REVOKED: "Paused: its owner may not read any more",
  SECRET_UNREADABLE: "Paused: its secret can't be read",
};

/** How it stands. */
export function webhookState({ paused, pauseReason, failingSince }: Webhook): readonly [word: string, tone: Tone] {
  const why = PAUSED[pauseReason];
  if (paused) return why === undefined ? ["Paused", "warning"] : [why, "error"];
  return failingSince ? ["Failing, is tried again", "error"] : ["Active", "busy"];
}

/** The words of whoever paused it; empty where it is not paused, or paused by the server. */
export function pauseWords({ paused, pauseReason }: Webhook): string {
  return paused && !Object.hasOwn(PAUSED, pauseReason) ? pauseReason : "";
}

/** Which events it tells. */
export function kindsWords(kinds: readonly string[]): string {
  return kinds.length === 0 ? "all" : kinds.join(", ");
}

/** Of which sessions it tells. */
export function filterWords(filter: WebhookFilter | undefined): string {
  if (!filter) return "all that you may read";
  const labels = Object.entries(filter.labels).map(([name, value]) => `${name}=${value}`);
  const words = [
    filter.sessionKey === "" ? "" : filter.sessionKey,
    filter.sessionKeyPrefix === "" ? "" : `keys that begin with ${filter.sessionKeyPrefix}`,
    filter.agent === "" ? "" : `of the agent ${filter.agent}`,
    labels.length === 0 ? "" : `labelled ${labels.sort().join(", ")}`,
  ].filter((word) => word !== "");
  return words.length === 0 ? "all that you may read" : words.join("; ");
}

/** How much it tells. */
export function payloadWords(payload: WebhookPayload): string {
  return payload === WebhookPayload.FULL ? "the whole event" : "where the event stands";
}

/** What became of a delivery. */
export function deliveryState({ state }: Delivery): readonly [word: string, tone: Tone] {
  switch (state) {
    case DeliveryState.DELIVERED:
      return ["Delivered", "quiet"];
    case DeliveryState.FAILED:
      return ["Failed, is tried again", "error"];
    case DeliveryState.SKIPPED:
      return ["Not told", "warning"];
    default:
      return ["Not sent", "quiet"];
  }
}

/** What the address answered, or why it did not. */
export function answerWords({ statusCode, problem }: Delivery): string {
  if (statusCode === 0) return problem;
  return problem === "" ? String(statusCode) : `${statusCode}: ${problem}`;
}
