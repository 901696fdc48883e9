/** Lists, page after page. */
import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import type {
  ApiKey,
  Channel,
  GetUsageRequestSchema,
  ListApiKeysRequestSchema,
  ListBudgetsRequestSchema,
  ListChannelsRequestSchema,
} from "./gen/quarterdeck/v1/admin_pb.js";
import type {
  Artifact,
  FileEntry,
  ListArtifactsRequestSchema,
  ListFilesRequestSchema,
  ListMessagesRequestSchema,
  ListQuestionsRequestSchema,
  ListSessionsRequestSchema,
  ListTurnsRequestSchema,
} from "./gen/quarterdeck/v1/gateway_pb.js";
import type { ListMemoriesRequestSchema, MemoryItem } from "./gen/quarterdeck/v1/memory_pb.js";
import type { Message } from "./gen/quarterdeck/v1/message_pb.js";
import type { Question } from "./gen/quarterdeck/v1/question_pb.js";
import type {
  ListScheduleRunsRequestSchema,
  ListSchedulesRequestSchema,
  Schedule,
  ScheduleRun,
} from "./gen/quarterdeck/v1/schedule_pb.js";
import type { SessionSnapshot } from "./gen/quarterdeck/v1/session_pb.js";
import type { Turn } from "./gen/quarterdeck/v1/turn_pb.js";
import type { Budget, UsageRow } from "./gen/quarterdeck/v1/usage_pb.js";
import type { ListWebhooksRequestSchema, Webhook } from "./gen/quarterdeck/v1/webhook_pb.js";
import type { CallOptions } from "./link.js";

/** Iterators over List calls: each page is asked for when the loop comes to it; `pageSize` is how much that is. */
export interface Pages {
  /** Yields all sessions, the newest created first. */
  allSessions(
    request?: MessageInitShape<typeof ListSessionsRequestSchema>,
    options?: CallOptions,
  ): AsyncGenerator<SessionSnapshot, void>;
  /** Yields all turns, newest first: of one session, or of all. */
  allTurns(
    request?: MessageInitShape<typeof ListTurnsRequestSchema>,
    options?: CallOptions,
  ): AsyncGenerator<Turn, void>;
  /** Yields all messages of a session: the newest page first, oldest first inside a page. */
  allMessages(
    request: MessageInitShape<typeof ListMessagesRequestSchema>,
    options?: CallOptions,
  ): AsyncGenerator<Message, void>;
  /** Yields all questions, the oldest first. */
  allQuestions(
    request?: MessageInitShape<typeof ListQuestionsRequestSchema>,
    options?: CallOptions,
  ): AsyncGenerator<Question, void>;
  /** Yields all that is in a directory of a session's workspace. */
  allFiles(
    request: MessageInitShape<typeof ListFilesRequestSchema>,
    options?: CallOptions,
  ): AsyncGenerator<FileEntry, void>;
  /** Yields all that a session's agent made in this generation, the oldest first. */
  allArtifacts(
    request: MessageInitShape<typeof ListArtifactsRequestSchema>,
    options?: CallOptions,
  ): AsyncGenerator<Artifact, void>;
  /** Yields all memories of one scope. */
  allMemories(
    request?: MessageInitShape<typeof ListMemoriesRequestSchema>,
    options?: CallOptions,
  ): AsyncGenerator<MemoryItem, void>;
  /** Yields all schedules. */
  allSchedules(
    request?: MessageInitShape<typeof ListSchedulesRequestSchema>,
    options?: CallOptions,
  ): AsyncGenerator<Schedule, void>;
  /** Yields all runs of a schedule, newest first. */
  allScheduleRuns(
    request: MessageInitShape<typeof ListScheduleRunsRequestSchema>,
    options?: CallOptions,
  ): AsyncGenerator<ScheduleRun, void>;
  /** Yields all one's own webhooks, the oldest first. */
  allWebhooks(
    request?: MessageInitShape<typeof ListWebhooksRequestSchema>,
    options?: CallOptions,
  ): AsyncGenerator<Webhook, void>;
  /** Yields all API keys, newest first, without secrets. */
  allApiKeys(
    request?: MessageInitShape<typeof ListApiKeysRequestSchema>,
    options?: CallOptions,
  ): AsyncGenerator<ApiKey, void>;
  /** Yields all budgets. */
  allBudgets(
    request?: MessageInitShape<typeof ListBudgetsRequestSchema>,
    options?: CallOptions,
  ): AsyncGenerator<Budget, void>;
  /** Yields all open streams of the tenant. */
  allChannels(
    request?: MessageInitShape<typeof ListChannelsRequestSchema>,
    options?: CallOptions,
  ): AsyncGenerator<Channel, void>;
  /** Yields all rows of usage. */
  allUsage(
    request?: MessageInitShape<typeof GetUsageRequestSchema>,
    options?: CallOptions,
  ): AsyncGenerator<UsageRow, void>;
}

/** What an answer of a List call has besides its items. */
interface Page {
  nextPageToken: string;
}

type Call<Answer> = (request: Record<string, unknown>, options?: CallOptions) => Promise<Answer>;

/** The List calls that are paged, and the field of their answers that holds the items. */
const LISTS = {
  allSessions: ["listSessions", "sessions"],
  allTurns: ["listTurns", "turns"],
  allMessages: ["listMessages", "messages"],
  allQuestions: ["listQuestions", "questions"],
  allFiles: ["listFiles", "entries"],
  allArtifacts: ["listArtifacts", "artifacts"],
  allMemories: ["listMemories", "memories"],
  allSchedules: ["listSchedules", "schedules"],
  allScheduleRuns: ["listScheduleRuns", "runs"],
  allWebhooks: ["listWebhooks", "webhooks"],
  allApiKeys: ["listApiKeys", "apiKeys"],
  allBudgets: ["listBudgets", "budgets"],
  allChannels: ["listChannels", "channels"],
  allUsage: ["getUsage", "rows"],
} as const satisfies Record<keyof Pages, readonly [string, string]>;

/** Makes the iterators over calls. */
export function pagesOver(calls: object): Pages {
  const pages: Record<string, unknown> = {};
  for (const [name, [call, field]] of Object.entries(LISTS)) {
    const list = (calls as Record<string, Call<Page & Record<string, unknown>>>)[call];
    if (!list) {
      throw new Error(`there is no call ${call}`);
    }
    pages[name] = (request: MessageInitShape<DescMessage> = {}, options?: CallOptions) =>
      allOf(list, request, field, options);
  }
  return pages as unknown as Pages;
}

async function* allOf(
  list: Call<Page & Record<string, unknown>>,
  request: object,
  field: string,
  options: CallOptions | undefined,
): AsyncGenerator<unknown, void> {
  for (let next: object = request; ;) {
    const page = await list({ ...next }, options);
    yield* page[field] as unknown[];
    if (page.nextPageToken === "") {
      return;
    }
    next = { ...request, pageToken: page.nextPageToken };
  }
}
