/** One prompt and what its turn does. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import type { QuarterdeckError } from "./codes.js";
import { TurnFailed } from "./errors.js";
import { Follower, openStream, type Source, type StreamOptions } from "./follow.js";
import type { GatewayEvent } from "./gen/quarterdeck/v1/event_pb.js";
import { EnqueueRequestSchema, GatewayService, type RunRequestSchema } from "./gen/quarterdeck/v1/gateway_pb.js";
import { TurnState } from "./gen/quarterdeck/v1/turn_pb.js";
import type { Link } from "./link.js";
import { Answering, type QuestionHandler } from "./questions.js";
import { TextPieces } from "./text.js";
import { identify } from "./unary.js";

/** Silence after which the stream counts as dead, in milliseconds. The server says `progress` every 15 seconds. */
const SILENCE_MS = 45_000;

/** What to run: a prompt with its session, and how. */
export type RunInput = MessageInitShape<typeof EnqueueRequestSchema>;

/** What `ask` takes: a prompt, and the JSON Schema that its turn answers by. */
export type AskInput = Omit<RunInput, "$typeName" | "outputSchema"> & { outputSchema: object };

/** Options of `run` and `chat`. */
export interface RunOptions extends StreamOptions {
  /** Cancels the turn when nobody follows it any more. Default: it goes on. */
  cancelOnDisconnect?: boolean | undefined;
  /**
   * Is called once with each question that waits for somebody, such as whether a tool may run, and gives an answer (see
   * `answers`), or undefined to leave it to somebody else. A question of kind TOOL_CALL asks the caller to run a tool. The
   * question's event and what follows it wait for the handler.
   */
  onQuestion?: QuestionHandler | undefined;
}

/** Options of `chat`: those of `run`, and those of the prompt. */
export interface ChatOptions extends RunOptions {
  /** More about the prompt: `agent`, `attachments`, `onBusy`, `requestId`, … */
  prompt?: Omit<RunInput, "$typeName" | "sessionKey" | "text"> | undefined;
}

/** Enqueues, then follows the turn to its end; attaches to the same turn again after any cut. */
export function run(link: Link, input: RunInput, options: RunOptions): Follower<GatewayEvent> {
  const enqueue = create(EnqueueRequestSchema, input);
  identify(EnqueueRequestSchema, enqueue);
  return new TurnFollower(link, new RunSource(enqueue, options), options);
}

/** A turn's events; what is asked in one is answered before it is handed on. */
class TurnFollower extends Follower<GatewayEvent> {
  readonly #answering: Answering | undefined;

  constructor(link: Link, source: RunSource, options: RunOptions) {
    super(link, source, options);
    this.#answering = options.onQuestion && new Answering(link, options.onQuestion, options);
  }

  override async next(): Promise<IteratorResult<GatewayEvent, undefined>> {
    const result = await super.next();
    if (!result.done) {
      await this.#answering?.take(result.value);
    }
    return result;
  }
}

/** The answer to a prompt, piece by piece. Throws TurnFailed where the turn did not complete. */
export async function* chat(link: Link, input: RunInput, options: RunOptions): AsyncGenerator<string, void> {
  const pieces = new TextPieces();
  for await (const event of run(link, input, options)) {
    const piece = pieces.add(event);
    if (piece !== "") {
      yield piece;
    }
    if (event.kind.case === "turnEnded") {
      const turn = event.kind.value.turn;
      if (turn && turn.state !== TurnState.COMPLETED) {
        throw new TurnFailed(turn);
      }
    }
  }
}

/** What a turn answers by a schema, parsed. Throws TurnFailed where the turn did not complete. */
export async function ask<T>(link: Link, asked: AskInput, options: RunOptions): Promise<T> {
  const input: RunInput = { ...asked, outputSchema: JSON.stringify(asked.outputSchema) };
  let output = "";
  for await (const event of run(link, input, options)) {
    if (event.kind.case === "turnEnded") {
      const turn = event.kind.value.turn;
      if (turn && turn.state !== TurnState.COMPLETED) {
        throw new TurnFailed(turn);
      }
      output = turn?.outputJson ?? "";
    }
  }
  return JSON.parse(output) as T;
}

class RunSource implements Source<GatewayEvent> {
  readonly silenceMs = SILENCE_MS;
  readonly endless = false;
  #afterSeq = 0n;

  constructor(
    readonly enqueue: NonNullable<MessageInitShape<typeof RunRequestSchema>["enqueue"]>,
    readonly options: RunOptions,
  ) {}

  open(transport: Transport, signal: AbortSignal, onHeader: () => void): AsyncIterable<GatewayEvent> {
    const { cancelOnDisconnect = false } = this.options;
    const request = { enqueue: this.enqueue, afterSeq: this.#afterSeq, cancelOnDisconnect };
    return openStream(transport, GatewayService.method.run, request, signal, onHeader);
  }

  accept(event: GatewayEvent): boolean {
    if (event.seq === 0n) {
      return true;
    }
    if (event.seq <= this.#afterSeq) {
      return false;
    }
    this.#afterSeq = event.seq;
    return true;
  }

  isLast(event: GatewayEvent): boolean {
    return event.kind.case === "turnEnded";
  }

  mayEnd(): boolean {
    return false;
  }

  async refine(error: QuarterdeckError): Promise<QuarterdeckError> {
    return error;
  }
}
