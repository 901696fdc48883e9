/** Everything but the making of a client, which is another one in browsers than in Node.js. */
export { type AddressOptions, DEFAULT_ADDRESS } from "./address.js";
/** Makes answers to questions, such as `answers.allow(question)`. */
export * as answers from "./answers.js";
export type { AnswerInput } from "./answers.js";
export type { Client, Streams } from "./client.js";
export { type CodeName, type FieldViolation, QuarterdeckError } from "./codes.js";
export type { Cursor } from "./cursor.js";
/** A class for each code and each reason, such as `errors.QueueFull`. */
export * as errors from "./error-classes.js";
export { type CursorError, isCursorError, TurnFailed } from "./errors.js";
export type { ConnectionChange, Follower, StreamOptions } from "./follow.js";
export * from "./gen/quarterdeck/v1/admin_pb.js";
export * from "./gen/quarterdeck/v1/event_pb.js";
export * from "./gen/quarterdeck/v1/gateway_pb.js";
export * from "./gen/quarterdeck/v1/memory_pb.js";
export * from "./gen/quarterdeck/v1/message_pb.js";
export * from "./gen/quarterdeck/v1/model_pb.js";
export * from "./gen/quarterdeck/v1/command_pb.js";
export * from "./gen/quarterdeck/v1/question_pb.js";
export * from "./gen/quarterdeck/v1/routing_pb.js";
export * from "./gen/quarterdeck/v1/schedule_pb.js";
export * from "./gen/quarterdeck/v1/session_pb.js";
export * from "./gen/quarterdeck/v1/turn_pb.js";
export * from "./gen/quarterdeck/v1/usage_pb.js";
export * from "./gen/quarterdeck/v1/webhook_pb.js";
export * from "./gen/quarterdeck/v1/worker_pb.js";
export { type CallOptions, type ClientTuning, DEFAULT_DEADLINE_MS, DEFAULT_PATIENCE_MS } from "./link.js";
export { durationToMs, msToDuration, toNumber, toPlain } from "./numbers.js";
export type { Pages } from "./paging.js";
export type { QuestionHandler } from "./questions.js";
export { type Readable, readable } from "./readable.js";
export type { ResyncPoint } from "./reasons.js";
export type { AskInput, ChatOptions, RunInput, RunOptions } from "./run.js";
export {
  type EventKind,
  type EventOptions,
  ManySubscription,
  type SubscribeInput,
  type SubscribeManyOptions,
  type SubscribeOptions,
  Subscription,
} from "./subscribe.js";
export {
  applyDelta,
  applySnapshot,
  type BlockText,
  EMPTY_BLOCK,
  headToByte,
  TextPieces,
  tailFromByte,
  utf8Length,
} from "./text.js";
export { newRequestId, type UnaryCalls } from "./unary.js";
export type { SessionsUpdate } from "./watch.js";
