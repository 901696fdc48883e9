/**
 * The behaviour driver of this package: `clients/behaviour/README.md` says what it speaks. Over the public interface alone.
 */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import {
  AdmissionMode,
  answers,
  type CallOptions,
  type Client,
  createClient,
  type Cursor,
  type GatewayEvent,
  GatewayEventSchema,
  isCursorError,
  ManySubscription,
  OnBusy,
  QuarterdeckError,
  type Question,
  type QuestionHandler,
  QuestionKind,
  QuestionResolution,
  QuestionState,
  StopReason,
  ScheduleOutcome,
  type ScheduleRun,
  ScheduleTrigger,
  type Subscription,
  TurnFailed,
  TurnState,
  toNumber,
} from "@quarterdeck/client/node";

/** A request of the suite; which fields it has depends on `op`. */
interface Request {
  id: number;
  op: string;
  client: string;
  deadline_ms?: number;
  address: string;
  key?: string;
  ca?: string;
  session_key: string;
  session_keys: string[];
  turn_id: string;
  text: string;
  output_schema: object;
  request_id?: string;
  on_busy?: keyof typeof OnBusy;
  clear_queue?: boolean;
  or_question?: boolean;
  question_id: string;
  name: string;
  arguments?: string;
  path?: string;
  offset?: number;
  provider?: string;
  model_id?: string;
  option_id?: string;
  content_json?: string;
  declined?: boolean;
  action_digest?: string;
  states?: (keyof typeof QuestionState)[];
  answers?: Record<string, string | { content: unknown; is_error?: boolean }>;
  subscription: string;
  after_seq?: number;
  log_id?: string;
  from_oldest?: boolean;
  until: string;
  times?: number;
  pause_ms: number;
  content: string;
  namespace?: string;
  // `key` of memories is above.
  query: string;
  limit?: number;
  memory_id?: string;
  hard?: boolean;
  page_size?: number;
  at_most?: number;
  schedule_name: string;
  url: string;
  webhook_id: string;
  cron: string;
}

const clients = new Map<string, Client>();
const subscriptions = new Map<string, Subscription | ManySubscription>();

/** What an iterator gives, or its first `at_most`. */
async function collect<Item>(
  request: Request,
  all: AsyncIterable<Item>,
  text: (item: Item) => string,
): Promise<string[]> {
  const found: string[] = [];
  for await (const item of all) {
    found.push(text(item));
    if (found.length === request.at_most) {
      break;
    }
  }
  return found;
}

function shownCursor(cursor: Cursor | undefined) {
  return cursor ? { log_id: cursor.logId, after_seq: toNumber(cursor.afterSeq) } : null;
}

const OPERATIONS: Record<string, (request: Request) => Promise<object> | object> = {
  async all_sessions(request) {
    const all = client(request).allSessions({ pageSize: request.page_size }, options(request));
    return { session_keys: await collect(request, all, ({ sessionKey }) => sessionKey) };
  },
  async all_turns(request) {
    const input = { sessionKey: request.session_key, pageSize: request.page_size };
    return {
      turn_ids: await collect(request, client(request).allTurns(input, options(request)), ({ turnId }) => turnId),
    };
  },
  async all_schedules(request) {
    const all = client(request).allSchedules({ pageSize: request.page_size }, options(request));
    return { schedule_names: await collect(request, all, ({ scheduleName }) => scheduleName) };
  },
  async all_schedule_runs(request) {
    const input = { scheduleName: request.schedule_name, pageSize: request.page_size };
    const all = client(request).allScheduleRuns(input, options(request));
    const show = ({ trigger, outcome }: ScheduleRun) => `${ScheduleTrigger[trigger]} ${ScheduleOutcome[outcome]}`;
    return { runs: await collect(request, all, show) };
  },
  async create_schedule(request) {
    const { schedule_name: scheduleName, cron, session_key: sessionKey, text, request_id: requestId } = request;
    const when = { case: "cron", value: cron } as const;
    const schedule = { scheduleName, spec: { when }, enqueue: { sessionKey, text } };
    const answer = await client(request).createSchedule({ schedule, requestId }, options(request));
    return { replayed: answer.replayed, owner: answer.schedule?.owner };
  },
  async run_schedule_now(request) {
    const { run } = await client(request).runScheduleNow({ scheduleName: request.schedule_name }, options(request));
    return { session_key: run?.sessionKey, turn_id: run?.turnId };
  },
  async create_webhook(request) {
    const { url, request_id: requestId } = request;
    const answer = await client(request).createWebhook({ webhook: { url }, requestId }, options(request));
    return { webhook_id: answer.webhook?.webhookId, secret: answer.secret, replayed: answer.replayed };
  },
  async all_webhooks(request) {
    const all = client(request).allWebhooks({ pageSize: request.page_size }, options(request));
    return { urls: await collect(request, all, ({ url }) => url) };
  },
  async delete_webhook(request) {
    await client(request).deleteWebhook({ webhookId: request.webhook_id }, options(request));
    return {};
  },
  async all_artifacts(request) {
    const input = { sessionKey: request.session_key, pageSize: request.page_size };
    const all = client(request).allArtifacts(input, options(request));
    return { names: await collect(request, all, ({ attachment }) => attachment?.name ?? "") };
  },
  async delete_schedule(request) {
    await client(request).deleteSchedule({ scheduleName: request.schedule_name }, options(request));
    return {};
  },
  cursor(request) {
    const subscription = subscriptions.get(request.subscription);
    if (subscription instanceof ManySubscription) {
      return {
        cursors: Object.fromEntries(subscription.cursors.map((each) => [each.sessionKey, shownCursor(each)])),
      };
    }
    return { cursor: shownCursor(subscription?.cursor) };
  },
  connect({ client, address, key, ca }) {
    const tls = ca === undefined ? undefined : { ca: readFileSync(ca) };
    // An empty key is none; the variable of the environment is not looked at then.
    clients.set(client, createClient({ address, key: key ?? "", tls }));
    return {};
  },
  async who_am_i(request) {
    const { principal, scopes } = await client(request).whoAmI({}, options(request));
    return { principal, scopes };
  },
  async enqueue(request) {
    const { session_key: sessionKey, text, request_id: requestId, on_busy } = request;
    const input = { sessionKey, text, requestId, onBusy: on_busy === undefined ? undefined : OnBusy[on_busy] };
    const answer = await client(request).enqueue(input, options(request));
    return {
      turn_id: answer.turn?.turnId,
      seq: toNumber(answer.seq),
      log_id: answer.logId,
      mode: AdmissionMode[answer.mode],
      queue_position: answer.queuePosition,
      replayed: answer.replayed,
    };
  },
  async await_turn(request) {
    const { session_key: sessionKey, turn_id: turnId, or_question: orQuestion } = request;
    const { turn, questions } = await client(request).awaitTurn({ sessionKey, turnId, orQuestion }, options(request));
    return {
      state: TurnState[turn?.state ?? 0],
      response_text: turn?.responseText,
      stop_reason: StopReason[turn?.stopReason ?? 0],
      error_reason: turn?.error?.reason ?? "",
      questions: questions.map(shown),
    };
  },
  async steer(request) {
    const { session_key: sessionKey, text } = request;
    const answer = await client(request).steer({ sessionKey, text }, options(request));
    return { mode: AdmissionMode[answer.mode], steer_id: answer.steerId, turn_id: answer.turn?.turnId };
  },
  async abort(request) {
    const { session_key: sessionKey, turn_id: turnId, clear_queue: clearQueue } = request;
    const answer = await client(request).abort({ sessionKey, turnId, clearQueue }, options(request));
    const state = answer.turn ? TurnState[answer.turn.state] : "";
    return { aborted: answer.aborted, state, cleared: answer.clearedTurnIds.length };
  },
  async reset(request) {
    const answer = await client(request).reset({ sessionKey: request.session_key }, options(request));
    return { generation: toNumber(answer.session?.generation ?? 0n), rejected: answer.rejectedTurnIds.length };
  },
  async list_queue(request) {
    const { turns } = await client(request).listQueue({ sessionKey: request.session_key }, options(request));
    return { turn_ids: turns.map((turn) => turn.turnId) };
  },
  async chat(request) {
    const { id, session_key, text, request_id: requestId } = request;
    const pieces: string[] = [];
    const questions: object[] = [];
    const onQuestion = handler(request, questions);
    const chat = client(request).chat(session_key, text, { ...options(request), prompt: { requestId }, onQuestion });
    for await (const piece of chat) {
      pieces.push(piece);
      say({ id, piece });
    }
    return { text: pieces.join(""), pieces: pieces.length, questions };
  },
  async ask(request) {
    const { session_key, text, output_schema } = request;
    return { output: await client(request).ask(session_key, text, output_schema, options(request)) };
  },
  async run(request) {
    const { session_key: sessionKey, text } = request;
    const events = [];
    const questions: object[] = [];
    const onQuestion = handler(request, questions);
    for await (const event of client(request).run({ sessionKey, text }, { ...options(request), onQuestion })) {
      events.push(plain(event));
    }
    return { events, questions };
  },
  async list_models(request) {
    const { models, current } = await client(request).listModels({ sessionKey: request.session_key }, options(request));
    const name = (it: { provider: string; modelId: string }) => `${it.provider}/${it.modelId}`;
    return { models: models.map(name), current: current ? name(current) : "" };
  },
  async set_model(request) {
    const { session_key: sessionKey, provider, model_id: modelId, request_id: requestId } = request;
    const { session, replayed } = await client(request).setModel(
      { sessionKey, provider, modelId, requestId },
      options(request),
    );
    return { model: session?.model ?? "", replayed };
  },
  async list_commands(request) {
    const { commands } = await client(request).listCommands({ sessionKey: request.session_key }, options(request));
    return { commands: commands.map(({ name }) => name) };
  },
  async execute_command(request) {
    const { session_key: sessionKey, name, arguments: words, request_id: requestId } = request;
    const { result, replayed } = await client(request).executeCommand(
      { sessionKey, name, arguments: words, requestId },
      options(request),
    );
    return { turn_id: result.case === "turn" ? result.value.turnId : "", replayed };
  },
  async list_files(request) {
    const { session_key: sessionKey, path } = request;
    const { entries } = await client(request).listFiles({ sessionKey, path }, options(request));
    return { names: entries.map(({ name }) => name) };
  },
  async read_file(request) {
    const { session_key: sessionKey, path, offset = 0, limit = 0 } = request;
    const part = { sessionKey, path, offset: BigInt(offset), limit: BigInt(limit) };
    const { data, size } = await client(request).readFile(part, options(request));
    return { text: new TextDecoder().decode(data), size: toNumber(size) };
  },
  async list_questions(request) {
    const { session_key: sessionKey, states } = request;
    const wanted = { sessionKey, states: (states ?? []).map((state) => QuestionState[state]) };
    const { questions } = await client(request).listQuestions(wanted, options(request));
    return { questions: questions.map(shown) };
  },
  async get_question(request) {
    const { session_key: sessionKey, question_id: questionId } = request;
    const { question } = await client(request).getQuestion({ sessionKey, questionId }, options(request));
    return question ? shown(question) : {};
  },
  async answer_question(request) {
    const { session_key: sessionKey, question_id: questionId, action_digest: actionDigest } = request;
    const { option_id: optionId, content_json: contentJson, declined, request_id: requestId } = request;
    const { question, replayed } = await client(request).answerQuestion(
      { sessionKey, questionId, actionDigest, requestId, answer: { optionId, contentJson, declined } },
      options(request),
    );
    return { state: QuestionState[question?.state ?? 0], replayed };
  },
  subscribe(request) {
    const { session_key, after_seq, log_id, from_oldest: fromOldest } = request;
    const after = after_seq === undefined ? undefined : { logId: log_id ?? "", afterSeq: BigInt(after_seq) };
    const subscription = client(request).subscribe(session_key, { ...options(request), after, fromOldest });
    subscriptions.set(request.subscription, subscription);
    return {};
  },
  subscribe_many(request) {
    const sessions = request.session_keys.map((sessionKey) => ({ sessionKey }));
    subscriptions.set(request.subscription, client(request).subscribeMany({ ...options(request), sessions }));
    return {};
  },
  async next({ subscription, until, times = 1 }) {
    const events = [];
    let left = times;
    while (left > 0) {
      const result = await named(subscriptions, subscription).next();
      if (result.done) {
        return { events, ended: true };
      }
      const event = plain(result.value);
      events.push(event);
      left -= event.kind === until ? 1 : 0;
    }
    return { events, ended: false };
  },
  async read_slowly({ subscription, until, pause_ms }) {
    let [events, durable] = [0, 0];
    for (;;) {
      const result = await named(subscriptions, subscription).next();
      if (result.done) {
        break;
      }
      events += 1;
      durable += result.value.seq > 0n ? 1 : 0;
      if (plain(result.value).kind === until) {
        break;
      }
      await new Promise((resolve) => setTimeout(resolve, pause_ms));
    }
    // The package reads an event when it is asked for one. What lies below counts bytes, not events.
    return { events, durable, peak_buffered: -1 };
  },
  close({ subscription }) {
    named(subscriptions, subscription).close();
    subscriptions.delete(subscription);
    return {};
  },
  async remember(request) {
    const { content, namespace, key } = request;
    const { memory } = await client(request).remember({ content, namespace, key }, options(request));
    return { id: memory?.id, version: toNumber(memory?.version ?? 0n) };
  },
  async search_memory(request) {
    const { query, namespace, limit } = request;
    const { hits } = await client(request).searchMemory({ query, namespace, limit }, options(request));
    const memories = hits.flatMap(({ found }) => (found.case === "memory" ? [found.value.content] : []));
    return { contents: memories };
  },
  async forget(request) {
    const { namespace, key, memory_id: id, hard } = request;
    const { forgotten } = await client(request).forget({ namespace, key, id, hard }, options(request));
    return { forgotten: toNumber(forgotten) };
  },
};

function client(request: Request): Client {
  return named(clients, request.client);
}

function named<T>(things: Map<string, T>, name: string): T {
  const thing = things.get(name);
  if (!thing) {
    throw new Error(`there is no ${name}`);
  }
  return thing;
}

function options({ deadline_ms: deadlineMs }: Request): CallOptions {
  return { deadlineMs };
}

/** Answers questions as the request's `answers` say, and notes which came. */
function handler(request: Request, seen: object[]): QuestionHandler {
  return async (question) => {
    seen.push(shown(question));
    const wanted = request.answers?.[QuestionKind[question.kind]];
    const { sessionKey, questionId } = question;
    switch (wanted) {
      case "allow":
        return answers.allow(question);
      case "deny":
        return answers.deny(question);
      case "decline":
        return answers.decline();
      case "race":
        // Somebody else is faster.
        await client(request).answerQuestion({ sessionKey, questionId, answer: answers.allow(question) });
        return answers.deny(question);
      default:
        return typeof wanted === "object"
          ? answers.content(wanted.content, { isError: wanted.is_error ?? false })
          : undefined;
    }
  };
}

function shown(question: Question) {
  return {
    question_id: question.questionId,
    session_key: question.sessionKey,
    turn_id: question.turnId,
    kind: QuestionKind[question.kind],
    state: QuestionState[question.state],
    title: question.title,
    tool_name: question.toolName,
    args_json: question.argsJson,
    action_digest: question.actionDigest,
    options: question.options.map(({ optionId }) => optionId),
    url: question.url,
    content_json: question.answer?.contentJson ?? "",
    answered_by: question.answeredBy,
    resolution: QuestionResolution[question.resolution],
  };
}

function plain(event: GatewayEvent) {
  const { kind } = event;
  const field = kind.case && GatewayEventSchema.field[kind.case];
  return {
    kind: field ? field.name : "",
    session_key: event.sessionKey,
    seq: toNumber(event.seq),
    after_seq: toNumber(event.afterSeq),
    log_id: event.logId,
    turn_id: event.turnId,
    text: textOf(event),
  };
}

function textOf({ kind }: GatewayEvent): string {
  switch (kind.case) {
    case "token":
      return kind.value.delta;
    case "messageCompleted":
      return kind.value.text;
    case "turnEnded":
      return TurnState[kind.value.turn?.state ?? 0] ?? "";
    default:
      return "";
  }
}

function plainError(error: unknown): object {
  if (error instanceof TurnFailed) {
    const { name: type, state, reason, message } = error;
    return { type, code: "", state, reason, message, metadata: {} };
  }
  if (!(error instanceof QuarterdeckError)) {
    return {
      type: error instanceof Error ? error.name : "Error",
      code: "",
      reason: "",
      message: String(error),
      metadata: {},
    };
  }
  const { name: type, code, reason, metadata } = error;
  const message = String(error);
  const resync = isCursorError(error) ? error.resync : undefined;
  const snapshot = resync && {
    seq: toNumber(resync.cursor.afterSeq),
    log_id: resync.cursor.logId,
    session_id: resync.snapshot.session?.sessionId,
    generation: toNumber(resync.snapshot.session?.generation ?? 0n),
  };
  return { type, code, reason, message, metadata, ...(snapshot && { snapshot }) };
}

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function answer(request: Request): Promise<void> {
  const { id, op } = request;
  try {
    const operation = OPERATIONS[op];
    if (!operation) {
      throw new Error(`no operation ${op}`);
    }
    say({ id, ok: await operation(request) });
  } catch (error) {
    say({ id, error: plainError(error) });
  }
}

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  void answer(JSON.parse(line) as Request);
});
lines.on("close", () => {
  for (const client of clients.values()) {
    client.close();
  }
  process.exit(0);
});
