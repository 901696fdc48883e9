/** The client: all calls of the services as methods, and the streams that come back by themselves. */
import type { DescService, MessageInitShape } from "@bufbuild/protobuf";
import { createClient as createStub, type Client as Stub, type Transport } from "@connectrpc/connect";
import type { Follower, StreamOptions } from "./follow.js";
import { AdminService, type LogRecord, type TailLogsRequestSchema } from "./gen/quarterdeck/v1/admin_pb.js";
import type { GatewayEvent } from "./gen/quarterdeck/v1/event_pb.js";
import { GatewayService, type SessionFilterSchema } from "./gen/quarterdeck/v1/gateway_pb.js";
import { MemoryService } from "./gen/quarterdeck/v1/memory_pb.js";
import { ModelService } from "./gen/quarterdeck/v1/model_pb.js";
import { ScheduleService } from "./gen/quarterdeck/v1/schedule_pb.js";
import { WebhookService } from "./gen/quarterdeck/v1/webhook_pb.js";
import { WorkerService } from "./gen/quarterdeck/v1/worker_pb.js";
import { type ClientTuning, type Connection, Link } from "./link.js";
import { type Pages, pagesOver } from "./paging.js";
import { ask, type AskInput, type ChatOptions, chat, type RunInput, type RunOptions, run } from "./run.js";
import {
  ManySubscription,
  type SubscribeInput,
  type SubscribeManyOptions,
  type SubscribeOptions,
  Subscription,
} from "./subscribe.js";
import { type UnaryCalls, unaryCalls } from "./unary.js";
import { type SessionsUpdate, tailLogs, watchSessions } from "./watch.js";

/** Calls that stream. */
export interface Streams {
  /**
   * Sends a prompt and yields the answer's text as it comes. Throws TurnFailed where the turn does not complete. To leave
   * early leaves the turn running. `onQuestion` of the options answers what the agent asks.
   */
  chat(sessionKey: string, text: string, options?: ChatOptions): AsyncGenerator<string, void>;
  /** The same with all of the prompt as one object, as `run` takes it. */
  chat(input: RunInput, options?: RunOptions): AsyncGenerator<string, void>;
  /**
   * Sends a prompt and gives what its turn answers by a JSON Schema, parsed; that it meets the schema is checked by the
   * server, that `T` is its type is yours to say. Throws TurnFailed where the turn does not complete, with the reason
   * `OUTPUT_INVALID` where the agent gave nothing that meets the schema.
   */
  ask<T = unknown>(sessionKey: string, text: string, outputSchema: object, options?: ChatOptions): Promise<T>;
  /** The same with all of the prompt as one object. */
  ask<T = unknown>(input: AskInput, options?: RunOptions): Promise<T>;
  /** Sends a prompt and yields its turn's events up to `turn_ended`. */
  run(input: RunInput, options?: RunOptions): Follower<GatewayEvent>;
  /**
   * Follows a session until it is deleted. Throws CursorExpired, CursorAhead or LogChanged where its cursor is void, with
   * the session's state and the cursor to go on from in `resync`.
   */
  subscribe(sessionKey: string, options?: SubscribeOptions): Subscription;
  /** The same with one object. */
  subscribe(input: SubscribeInput): Subscription;
  /** Follows many sessions in one stream; a browser on HTTP/1.1 has six connections. Throws as `subscribe` does. */
  subscribeMany(options: SubscribeManyOptions): ManySubscription;
  /** Follows which sessions there are, and their states. */
  watchSessions(
    filter?: MessageInitShape<typeof SessionFilterSchema>,
    options?: StreamOptions,
  ): AsyncGenerator<SessionsUpdate, void>;
  /** Follows the server's log. */
  tailLogs(request?: MessageInitShape<typeof TailLogsRequestSchema>, options?: StreamOptions): Follower<LogRecord>;
  /** The plain stub of a service, over the same transport: nothing is repeated, errors are Connect's. */
  stub<Service extends DescService>(service: Service): Stub<Service>;
  /** The transport of all calls. */
  readonly transport: Transport;
  /** Ends all that is open. Not needed to let a program end: an idle connection doesn't hold it. */
  close(): void;
}

/** All calls of the server. A request that changes something gets its `requestId` by itself. */
export interface Client
  extends
    Streams,
    Pages,
    UnaryCalls<typeof GatewayService>,
    UnaryCalls<typeof MemoryService>,
    UnaryCalls<typeof ModelService>,
    UnaryCalls<typeof ScheduleService>,
    UnaryCalls<typeof WebhookService>,
    UnaryCalls<typeof WorkerService>,
    UnaryCalls<typeof AdminService> {}

/** A client over a connection. */
export function clientOver(connection: Connection, tuning: ClientTuning): Client {
  const link = new Link(connection, tuning);
  const streams: Streams = {
    chat: (first: string | RunInput, second?: string | RunOptions, third: ChatOptions = {}) =>
      typeof first === "string"
        ? chat(link, { ...third.prompt, sessionKey: first, text: second as string }, third)
        : chat(link, first, (second as RunOptions | undefined) ?? {}),
    ask: <T>(
      first: string | AskInput,
      second?: string | RunOptions,
      outputSchema?: object,
      options: ChatOptions = {},
    ) =>
      typeof first === "string"
        ? ask<T>(
            link,
            { ...options.prompt, sessionKey: first, text: second as string, outputSchema: outputSchema ?? {} },
            options,
          )
        : ask<T>(link, first, (second as RunOptions | undefined) ?? {}),
    run: (input, options = {}) => run(link, input, options),
    subscribe: (first: string | SubscribeInput, options: SubscribeOptions = {}) =>
      typeof first === "string"
        ? new Subscription(link, first, options)
        : new Subscription(link, first.sessionKey, first),
    subscribeMany: (options) => new ManySubscription(link, options),
    watchSessions: (filter = {}, options = {}) => watchSessions(link, filter, options),
    tailLogs: (request = {}, options = {}) => tailLogs(link, request, options),
    stub: (service) => createStub(service, link.transport),
    transport: link.transport,
    close: () => link.close(),
  };
  const calls = {
    ...unaryCalls(link, GatewayService),
    ...unaryCalls(link, MemoryService),
    ...unaryCalls(link, ModelService),
    ...unaryCalls(link, ScheduleService),
    ...unaryCalls(link, WebhookService),
    ...unaryCalls(link, WorkerService),
    ...unaryCalls(link, AdminService),
  };
  return { ...calls, ...pagesOver(calls), ...streams };
}
