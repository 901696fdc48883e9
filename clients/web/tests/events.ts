// Events as the server sends them, for tests.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type GatewayEvent,
  GatewayEventSchema,
  GetSessionStateResponseSchema,
  type GetSessionStateResponse,
  type SessionSnapshot,
  SessionSnapshotSchema,
  SessionState,
} from "@quarterdeck/client";

/** A session as the server tells it. */
export function session(key: string, more: MessageInitShape<typeof SessionSnapshotSchema> = {}): SessionSnapshot {
  return create(SessionSnapshotSchema, {
    sessionKey: key,
    logId: "log",
    generation: 1n,
    agent: "echo",
    state: SessionState.IDLE,
    ...more,
  });
}

/** A state to begin with. */
export function state(more: MessageInitShape<typeof GetSessionStateResponseSchema> = {}): GetSessionStateResponse {
  return create(GetSessionStateResponseSchema, { logId: "log", seq: 10n, ...more });
}

/** An event of the session `s`. */
export function event(
  kind: NonNullable<MessageInitShape<typeof GatewayEventSchema>["kind"]>,
  more: MessageInitShape<typeof GatewayEventSchema> = {},
): GatewayEvent {
  return create(GatewayEventSchema, {
    sessionKey: "s",
    logId: "log",
    generation: 1n,
    turnId: "turn",
    itemId: "item",
    kind,
    ...more,
  });
}
