/** Messages as people read them. */
import type { DescEnum, Message } from "@bufbuild/protobuf";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import { type Duration, DurationSchema, type Timestamp, timestampDate, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { durationToMs, REGISTRY } from "./numbers.js";

/** A field of a message as people read it. */
export type Readable =
  string | number | bigint | boolean | Uint8Array | Date | Readable[] | { [field: string]: Readable };

/**
 * The fields of a message that are set: enums by name (`"COMPLETED"`), times as `Date`, durations in milliseconds, 64-bit
 * numbers as `number` where no digit is lost. Good for logs and `console.table`; `toPlain` is for JSON.
 */
export function readable(message: Message): { [field: string]: Readable } {
  const schema = REGISTRY.getMessage(message.$typeName);
  if (!schema) {
    throw new TypeError(`${message.$typeName} is no message of this package`);
  }
  return fieldsOf(reflect(schema, message));
}

function fieldsOf(message: ReflectMessage): { [field: string]: Readable } {
  const fields: { [field: string]: Readable } = {};
  for (const field of message.fields) {
    if (!message.isSet(field)) {
      continue;
    }
    switch (field.fieldKind) {
      case "list":
        fields[field.localName] = [...message.get(field)].map((each) => shown(each, field.enum));
        break;
      case "map": {
        const pairs = [...message.get(field)].map(([key, each]) => [String(key), shown(each, field.enum)] as const);
        fields[field.localName] = Object.fromEntries(pairs);
        break;
      }
      default:
        fields[field.localName] = shown(message.get(field), field.enum);
    }
  }
  return fields;
}

function shown(value: unknown, names: DescEnum | undefined): Readable {
  if (names) {
    return names.value[value as number]?.localName ?? (value as number);
  }
  if (typeof value === "bigint") {
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }
  if (!isMessage(value)) {
    return value as Readable;
  }
  switch (value.desc.typeName) {
    case TimestampSchema.typeName:
      return timestampDate(value.message as Timestamp);
    case DurationSchema.typeName:
      return durationToMs(value.message as Duration);
    default:
      return fieldsOf(value);
  }
}

function isMessage(value: unknown): value is ReflectMessage {
  return typeof value === "object" && value !== null && "desc" in value && "message" in value;
}
