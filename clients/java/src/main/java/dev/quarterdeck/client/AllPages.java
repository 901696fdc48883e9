package dev.quarterdeck.client;

import dev.quarterdeck.v1.ApiKey;
import dev.quarterdeck.v1.Artifact;
import dev.quarterdeck.v1.Budget;
import dev.quarterdeck.v1.Channel;
import dev.quarterdeck.v1.FileEntry;
import dev.quarterdeck.v1.GetUsageRequest;
import dev.quarterdeck.v1.GetUsageResponse;
import dev.quarterdeck.v1.ListApiKeysRequest;
import dev.quarterdeck.v1.ListApiKeysResponse;
import dev.quarterdeck.v1.ListArtifactsRequest;
import dev.quarterdeck.v1.ListArtifactsResponse;
import dev.quarterdeck.v1.ListBudgetsRequest;
import dev.quarterdeck.v1.ListBudgetsResponse;
import dev.quarterdeck.v1.ListChannelsRequest;
import dev.quarterdeck.v1.ListChannelsResponse;
import dev.quarterdeck.v1.ListFilesRequest;
import dev.quarterdeck.v1.ListFilesResponse;
import dev.quarterdeck.v1.ListMemoriesRequest;
import dev.quarterdeck.v1.ListMemoriesResponse;
import dev.quarterdeck.v1.ListMessagesRequest;
import dev.quarterdeck.v1.ListMessagesResponse;
import dev.quarterdeck.v1.ListQuestionsRequest;
import dev.quarterdeck.v1.ListQuestionsResponse;
import dev.quarterdeck.v1.ListScheduleRunsRequest;
import dev.quarterdeck.v1.ListScheduleRunsResponse;
import dev.quarterdeck.v1.ListSchedulesRequest;
import dev.quarterdeck.v1.ListSchedulesResponse;
import dev.quarterdeck.v1.ListSessionsRequest;
import dev.quarterdeck.v1.ListSessionsResponse;
import dev.quarterdeck.v1.ListTurnsRequest;
import dev.quarterdeck.v1.ListTurnsResponse;
import dev.quarterdeck.v1.ListWebhooksRequest;
import dev.quarterdeck.v1.ListWebhooksResponse;
import dev.quarterdeck.v1.MemoryItem;
import dev.quarterdeck.v1.Message;
import dev.quarterdeck.v1.Question;
import dev.quarterdeck.v1.Schedule;
import dev.quarterdeck.v1.ScheduleRun;
import dev.quarterdeck.v1.SessionSnapshot;
import dev.quarterdeck.v1.Turn;
import dev.quarterdeck.v1.UsageRow;
import dev.quarterdeck.v1.Webhook;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.function.Function;

/**
 * All that List calls give, page after page: each page is asked for when a loop comes to it. The request's page size is how
 * much is fetched at once. Each loop begins anew.
 *
 * <pre>{@code
 * for (Turn turn : client.all().turns(ListTurnsRequest.newBuilder().setSessionKey("demo").build())) {
 *     System.out.println(turn.getTurnId() + " " + Readable.name(turn.getState()));
 * }
 * }</pre>
 */
public final class AllPages {
    private final QuarterdeckClient client;

    AllPages(QuarterdeckClient client) {
        this.client = client;
    }

    /** All sessions that match, the newest created first. */
    public Iterable<SessionSnapshot> sessions(ListSessionsRequest request) {
        return pages(
                token -> client.gateway()
                        .listSessions(
                                token.isEmpty()
                                        ? request
                                        : request.toBuilder()
                                                .setPageToken(token)
                                                .build()),
                ListSessionsResponse::getSessionsList,
                ListSessionsResponse::getNextPageToken);
    }

    /** All turns, newest first: of one session, or of all. */
    public Iterable<Turn> turns(ListTurnsRequest request) {
        return pages(
                token -> client.gateway()
                        .listTurns(
                                token.isEmpty()
                                        ? request
                                        : request.toBuilder()
                                                .setPageToken(token)
                                                .build()),
                ListTurnsResponse::getTurnsList,
                ListTurnsResponse::getNextPageToken);
    }

    /** All messages of a session: the newest page first, oldest first inside a page. */
    public Iterable<Message> messages(ListMessagesRequest request) {
        return pages(
                token -> client.gateway()
                        .listMessages(
                                token.isEmpty()
                                        ? request
                                        : request.toBuilder()
                                                .setPageToken(token)
                                                .build()),
                ListMessagesResponse::getMessagesList,
                ListMessagesResponse::getNextPageToken);
    }

    /** All questions, the oldest first: of one session, or of all. */
    public Iterable<Question> questions(ListQuestionsRequest request) {
        return pages(
                token -> client.gateway()
                        .listQuestions(
                                token.isEmpty()
                                        ? request
                                        : request.toBuilder()
                                                .setPageToken(token)
                                                .build()),
                ListQuestionsResponse::getQuestionsList,
                ListQuestionsResponse::getNextPageToken);
    }

    /** All files of a directory that a session works in. */
    public Iterable<FileEntry> files(ListFilesRequest request) {
        return pages(
                token -> client.gateway()
                        .listFiles(
                                token.isEmpty()
                                        ? request
                                        : request.toBuilder()
                                                .setPageToken(token)
                                                .build()),
                ListFilesResponse::getEntriesList,
                ListFilesResponse::getNextPageToken);
    }

    /** All that a session's agent made, the oldest first. */
    public Iterable<Artifact> artifacts(ListArtifactsRequest request) {
        return pages(
                token -> client.gateway()
                        .listArtifacts(
                                token.isEmpty()
                                        ? request
                                        : request.toBuilder()
                                                .setPageToken(token)
                                                .build()),
                ListArtifactsResponse::getArtifactsList,
                ListArtifactsResponse::getNextPageToken);
    }

    /** All memories of one scope. */
    public Iterable<MemoryItem> memories(ListMemoriesRequest request) {
        return pages(
                token -> client.memory()
                        .listMemories(
                                token.isEmpty()
                                        ? request
                                        : request.toBuilder()
                                                .setPageToken(token)
                                                .build()),
                ListMemoriesResponse::getMemoriesList,
                ListMemoriesResponse::getNextPageToken);
    }

    /** All schedules, by name. */
    public Iterable<Schedule> schedules(ListSchedulesRequest request) {
        return pages(
                token -> client.schedules()
                        .listSchedules(
                                token.isEmpty()
                                        ? request
                                        : request.toBuilder()
                                                .setPageToken(token)
                                                .build()),
                ListSchedulesResponse::getSchedulesList,
                ListSchedulesResponse::getNextPageToken);
    }

    /** All runs of a schedule, newest first. */
    public Iterable<ScheduleRun> scheduleRuns(ListScheduleRunsRequest request) {
        return pages(
                token -> client.schedules()
                        .listScheduleRuns(
                                token.isEmpty()
                                        ? request
                                        : request.toBuilder()
                                                .setPageToken(token)
                                                .build()),
                ListScheduleRunsResponse::getRunsList,
                ListScheduleRunsResponse::getNextPageToken);
    }

    /** All one's own webhooks, the oldest first. */
    public Iterable<Webhook> webhooks(ListWebhooksRequest request) {
        return pages(
                token -> client.webhooks()
                        .listWebhooks(
                                token.isEmpty()
                                        ? request
                                        : request.toBuilder()
                                                .setPageToken(token)
                                                .build()),
                ListWebhooksResponse::getWebhooksList,
                ListWebhooksResponse::getNextPageToken);
    }

    /** All API keys, newest first, without secrets. */
    public Iterable<ApiKey> apiKeys(ListApiKeysRequest request) {
        return pages(
                token -> client.admin()
                        .listApiKeys(
                                token.isEmpty()
                                        ? request
                                        : request.toBuilder()
                                                .setPageToken(token)
                                                .build()),
                ListApiKeysResponse::getApiKeysList,
                ListApiKeysResponse::getNextPageToken);
    }

    /** All budgets of a tenant. */
    public Iterable<Budget> budgets(ListBudgetsRequest request) {
        return pages(
                token -> client.admin()
                        .listBudgets(
                                token.isEmpty()
                                        ? request
                                        : request.toBuilder()
                                                .setPageToken(token)
                                                .build()),
                ListBudgetsResponse::getBudgetsList,
                ListBudgetsResponse::getNextPageToken);
    }

    /** All open streams of the tenant. */
    public Iterable<Channel> channels(ListChannelsRequest request) {
        return pages(
                token -> client.admin()
                        .listChannels(
                                token.isEmpty()
                                        ? request
                                        : request.toBuilder()
                                                .setPageToken(token)
                                                .build()),
                ListChannelsResponse::getChannelsList,
                ListChannelsResponse::getNextPageToken);
    }

    /** All rows of what was used. */
    public Iterable<UsageRow> usage(GetUsageRequest request) {
        return pages(
                token -> client.admin()
                        .getUsage(
                                token.isEmpty()
                                        ? request
                                        : request.toBuilder()
                                                .setPageToken(token)
                                                .build()),
                GetUsageResponse::getRowsList,
                GetUsageResponse::getNextPageToken);
    }

    private static <R, T> Iterable<T> pages(
            Function<String, R> call, Function<R, List<T>> items, Function<R, String> next) {
        return () -> new Pages<>(call, items, next);
    }

    private static final class Pages<R, T> implements Iterator<T> {
        private final Function<String, R> call;
        private final Function<R, List<T>> items;
        private final Function<R, String> next;
        private Iterator<T> page = List.<T>of().iterator();
        /** Where the next page begins; empty for the first. */
        private String token = "";

        private boolean last;

        Pages(Function<String, R> call, Function<R, List<T>> items, Function<R, String> next) {
            this.call = call;
            this.items = items;
            this.next = next;
        }

        @Override
        public boolean hasNext() {
            while (!page.hasNext() && !last) {
                R answer = call.apply(token);
                page = items.apply(answer).iterator();
                token = next.apply(answer);
                last = token.isEmpty();
            }
            return page.hasNext();
        }

        @Override
        public T next() {
            if (!hasNext()) {
                throw new NoSuchElementException("that was all");
            }
            return page.next();
        }
    }
}
