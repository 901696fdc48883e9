/**
 * The base of all errors of this package, and one class for each gRPC code.
 *
 * Every refusal of the server carries a reason (`google.rpc.ErrorInfo`); `reasons.ts` has a class for each of them. What
 * has no reason, or one that this release does not know, is of its code's class.
 */

/** Name of a gRPC status code. */
export type CodeName =
  | "CANCELLED"
  | "UNKNOWN"
  | "INVALID_ARGUMENT"
  | "DEADLINE_EXCEEDED"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "PERMISSION_DENIED"
  | "RESOURCE_EXHAUSTED"
  | "FAILED_PRECONDITION"
  | "ABORTED"
  | "OUT_OF_RANGE"
  | "UNIMPLEMENTED"
  | "INTERNAL"
  | "UNAVAILABLE"
  | "DATA_LOSS"
  | "UNAUTHENTICATED";

/** A field of a request that the server refused, and why. */
export interface FieldViolation {
  /** Path of the field, such as `session_key`. */
  field: string;
  /** What is wrong with it. */
  description: string;
}

/** What an error is made of. */
export interface ErrorFields {
  /** The gRPC code. */
  code: CodeName;
  /** For people. */
  message: string;
  /** `ErrorInfo.reason`; empty where the error is not an answer of the server. */
  reason?: string;
  /** `ErrorInfo.metadata`. */
  metadata?: Readonly<Record<string, string>>;
  /** When the server says that a repeat may work, in milliseconds from now. */
  retryAfterMs?: number | undefined;
  /** All fields that are wrong. */
  fieldViolations?: readonly FieldViolation[];
  /** What lies below. */
  cause?: unknown;
}

/** A call that failed. Its class tells why; so do `code` and `reason`. */
export class QuarterdeckError extends Error {
  override readonly name: string = "QuarterdeckError";
  /** The gRPC code. */
  readonly code: CodeName;
  /** `ErrorInfo.reason`, such as `QUEUE_FULL`; empty where the error is not an answer of the server. */
  readonly reason: string;
  /** `ErrorInfo.metadata`: facts such as `session_key` or `scope`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** When the server says that a repeat may work, in milliseconds from now. */
  readonly retryAfterMs: number | undefined;
  /** All fields of the request that are wrong. */
  readonly fieldViolations: readonly FieldViolation[];

  constructor(fields: ErrorFields) {
    super(fields.message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.code = fields.code;
    this.reason = fields.reason ?? "";
    this.metadata = fields.metadata ?? {};
    this.retryAfterMs = fields.retryAfterMs;
    this.fieldViolations = fields.fieldViolations ?? [];
  }

  /** The reason, or the code where there is none, with the message and each field that is wrong. */
  override toString(): string {
    const fields = this.fieldViolations.map(({ field, description }) => `; ${field}: ${description}`);
    return `${this.reason || this.code}: ${this.message}${fields.join("")}`;
  }
}

// Names are given as text: bundlers shorten those of classes.

/** The call was given up by its caller. */
export class Cancelled extends QuarterdeckError {
  override readonly name: string = "Cancelled";
}
/** The answer can't be understood. */
export class Unknown extends QuarterdeckError {
  override readonly name: string = "Unknown";
}
/** The request is wrong; `fieldViolations` says where. */
export class InvalidArgument extends QuarterdeckError {
  override readonly name: string = "InvalidArgument";
}
/** The call's deadline passed. What it changes may have been changed. */
export class DeadlineExceeded extends QuarterdeckError {
  override readonly name: string = "DeadlineExceeded";
}
/** What the request names is not there, or not for this caller. */
export class NotFound extends QuarterdeckError {
  override readonly name: string = "NotFound";
}
/** What the request would create is there. */
export class AlreadyExists extends QuarterdeckError {
  override readonly name: string = "AlreadyExists";
}
/** The caller is known and may not do this. */
export class PermissionDenied extends QuarterdeckError {
  override readonly name: string = "PermissionDenied";
}
/** A bound was met. */
export class ResourceExhausted extends QuarterdeckError {
  override readonly name: string = "ResourceExhausted";
}
/** The state of what the request names does not allow it. */
export class FailedPrecondition extends QuarterdeckError {
  override readonly name: string = "FailedPrecondition";
}
/** Something else changed first. */
export class Aborted extends QuarterdeckError {
  override readonly name: string = "Aborted";
}
/** A position that is not there. */
export class OutOfRange extends QuarterdeckError {
  override readonly name: string = "OutOfRange";
}
/** The server does not know the call. */
export class Unimplemented extends QuarterdeckError {
  override readonly name: string = "Unimplemented";
}
/** A bug of the server; it logged the cause. */
export class Internal extends QuarterdeckError {
  override readonly name: string = "Internal";
}
/** The server can't be reached, or can't serve now. */
export class Unavailable extends QuarterdeckError {
  override readonly name: string = "Unavailable";
}
/** Data is damaged. */
export class DataLoss extends QuarterdeckError {
  override readonly name: string = "DataLoss";
}
/** The key is missing or not recognised. */
export class Unauthenticated extends QuarterdeckError {
  override readonly name: string = "Unauthenticated";
}

/** A class of errors that `fromConnect` can make. */
export type ErrorClass = new (fields: ErrorFields) => QuarterdeckError;

/** The class of each code. */
export const CODE_CLASSES: Readonly<Record<CodeName, ErrorClass>> = {
  CANCELLED: Cancelled,
  UNKNOWN: Unknown,
  INVALID_ARGUMENT: InvalidArgument,
  DEADLINE_EXCEEDED: DeadlineExceeded,
  NOT_FOUND: NotFound,
  ALREADY_EXISTS: AlreadyExists,
  PERMISSION_DENIED: PermissionDenied,
  RESOURCE_EXHAUSTED: ResourceExhausted,
  FAILED_PRECONDITION: FailedPrecondition,
  ABORTED: Aborted,
  OUT_OF_RANGE: OutOfRange,
  UNIMPLEMENTED: Unimplemented,
  INTERNAL: Internal,
  UNAVAILABLE: Unavailable,
  DATA_LOSS: DataLoss,
  UNAUTHENTICATED: Unauthenticated,
};
