/**
 * Numbers of 64 bits are `bigint` in messages. These helpers go between them and what JavaScript usually has.
 */
import { createRegistry, type JsonValue, type Message, toJson } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import { file_google_rpc_error_details } from "./gen/google/rpc/error_details_pb.js";
import { file_quarterdeck_v1_admin } from "./gen/quarterdeck/v1/admin_pb.js";
import { file_quarterdeck_v1_command } from "./gen/quarterdeck/v1/command_pb.js";
import { file_quarterdeck_v1_event } from "./gen/quarterdeck/v1/event_pb.js";
import { file_quarterdeck_v1_gateway } from "./gen/quarterdeck/v1/gateway_pb.js";
import { file_quarterdeck_v1_memory } from "./gen/quarterdeck/v1/memory_pb.js";
import { file_quarterdeck_v1_message } from "./gen/quarterdeck/v1/message_pb.js";
import { file_quarterdeck_v1_model } from "./gen/quarterdeck/v1/model_pb.js";
import { file_quarterdeck_v1_question } from "./gen/quarterdeck/v1/question_pb.js";
import { file_quarterdeck_v1_schedule } from "./gen/quarterdeck/v1/schedule_pb.js";
import { file_quarterdeck_v1_session } from "./gen/quarterdeck/v1/session_pb.js";
import { file_quarterdeck_v1_turn } from "./gen/quarterdeck/v1/turn_pb.js";
import { file_quarterdeck_v1_usage } from "./gen/quarterdeck/v1/usage_pb.js";

/** The messages that this package knows. */
export const REGISTRY = createRegistry(
  file_google_rpc_error_details,
  file_quarterdeck_v1_admin,
  file_quarterdeck_v1_command,
  file_quarterdeck_v1_event,
  file_quarterdeck_v1_gateway,
  file_quarterdeck_v1_memory,
  file_quarterdeck_v1_message,
  file_quarterdeck_v1_model,
  file_quarterdeck_v1_question,
  file_quarterdeck_v1_schedule,
  file_quarterdeck_v1_session,
  file_quarterdeck_v1_turn,
  file_quarterdeck_v1_usage,
);

/** Any message of the service as a value that `JSON.stringify` takes: 64-bit numbers become strings, times ISO 8601. */
export function toPlain(message: Message): JsonValue {
  const schema = REGISTRY.getMessage(message.$typeName);
  if (!schema) {
    throw new TypeError(`${message.$typeName} is no message of this package`);
  }
  return toJson(schema, message, { registry: REGISTRY });
}

/** A 64-bit number as a `number`; throws where it would lose digits, which no `seq` of a real log does. */
export function toNumber(value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) {
    throw new RangeError(`${value} is too large for a number`);
  }
  return number;
}

/** Milliseconds as the `Duration` that requests take. */
export function msToDuration(ms: number): { seconds: bigint; nanos: number } {
  const whole = Math.trunc(ms);
  const rest = whole % 1000;
  return { seconds: BigInt((whole - rest) / 1000), nanos: rest * 1_000_000 };
}

/** A `Duration` as milliseconds. */
export function durationToMs(duration: Pick<Duration, "seconds" | "nanos">): number {
  return Number(duration.seconds) * 1000 + duration.nanos / 1_000_000;
}
