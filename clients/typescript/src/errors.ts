/**
 * From what the transport throws to the errors of this package.
 */
import { Code, ConnectError } from "@connectrpc/connect";
import { CODE_CLASSES, type CodeName, type ErrorFields, QuarterdeckError, Unavailable } from "./codes.js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import type { Turn } from "./gen/quarterdeck/v1/turn_pb.js";
import { TurnState } from "./gen/quarterdeck/v1/turn_pb.js";
import { durationToMs } from "./numbers.js";
import { CursorAhead, CursorExpired, LogChanged, REASON_CLASSES } from "./reasons.js";

/** Name of the domain in `ErrorInfo` of everything that the server itself refuses. */
const DOMAIN = "quarterdeck";

const CODE_NAMES: Readonly<Record<Code, CodeName>> = {
  [Code.Canceled]: "CANCELLED",
  [Code.Unknown]: "UNKNOWN",
  [Code.InvalidArgument]: "INVALID_ARGUMENT",
  [Code.DeadlineExceeded]: "DEADLINE_EXCEEDED",
  [Code.NotFound]: "NOT_FOUND",
  [Code.AlreadyExists]: "ALREADY_EXISTS",
  [Code.PermissionDenied]: "PERMISSION_DENIED",
  [Code.ResourceExhausted]: "RESOURCE_EXHAUSTED",
  [Code.FailedPrecondition]: "FAILED_PRECONDITION",
  [Code.Aborted]: "ABORTED",
  [Code.OutOfRange]: "OUT_OF_RANGE",
  [Code.Unimplemented]: "UNIMPLEMENTED",
  [Code.Internal]: "INTERNAL",
  [Code.Unavailable]: "UNAVAILABLE",
  [Code.DataLoss]: "DATA_LOSS",
  [Code.Unauthenticated]: "UNAUTHENTICATED",
};

/** A prompt whose turn did not complete. */
export class TurnFailed extends Error {
  override readonly name: string = "TurnFailed";
  /** The turn as it ended. */
  readonly turn: Turn;
  /** How it ended: `FAILED`, `CANCELED`, `INTERRUPTED`, `REJECTED` or `EXPIRED`. */
  readonly state: string;
  /** Why, such as `AGENT_ERROR`; empty where the server gave no reason. */
  readonly reason: string;

  constructor(turn: Turn) {
    // A server that is newer than this package may name others.
    const state = (TurnState[turn.state] as string | undefined) ?? String(turn.state);
    const why = [turn.error?.reason, turn.error?.message].filter((part) => part).join(": ");
    super(`turn ${turn.turnId} ended ${state}${why && `: ${why}`}`);
    this.turn = turn;
    this.state = state;
    this.reason = turn.error?.reason ?? "";
  }
}

/** The error of this package for whatever a transport threw. */
export function fromConnect(thrown: unknown): QuarterdeckError {
  if (thrown instanceof QuarterdeckError) {
    return thrown;
  }
  const error = ConnectError.from(thrown);
  const info = error.findDetails(ErrorInfoSchema).find((info) => info.domain === DOMAIN);
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  const fields: ErrorFields = {
    code: CODE_NAMES[error.code],
    message: error.rawMessage,
    reason: info?.reason ?? "",
    metadata: info?.metadata ?? {},
    retryAfterMs: delay && durationToMs(delay),
    fieldViolations: error
      .findDetails(BadRequestSchema)
      .flatMap((bad) => bad.fieldViolations.map(({ field, description }) => ({ field, description }))),
    cause: thrown,
  };
  if (!info && connectionWasLost(error)) {
    return new Unavailable({ ...fields, code: "UNAVAILABLE" });
  }
  const ErrorClass = REASON_CLASSES.get(info?.reason ?? "") ?? CODE_CLASSES[fields.code];
  return new ErrorClass(fields);
}

/**
 * True where the connection failed, not the call: every refusal of the server has a reason. A proxy's answer has none
 * either, and is judged by its code.
 */
function connectionWasLost(error: ConnectError): boolean {
  const answered = /^HTTP \d{3}$/.test(error.rawMessage);
  switch (error.code) {
    case Code.Unavailable:
      return true;
    case Code.Unknown:
    case Code.Internal:
    case Code.Aborted:
    case Code.Canceled:
      return !answered;
    default:
      return false;
  }
}

/** An error that says that a subscription's cursor is void. */
export type CursorError = CursorExpired | CursorAhead | LogChanged;

/** True for the errors that a subscription throws with a `resync`. */
export function isCursorError(error: unknown): error is CursorError {
  return error instanceof CursorExpired || error instanceof CursorAhead || error instanceof LogChanged;
}
