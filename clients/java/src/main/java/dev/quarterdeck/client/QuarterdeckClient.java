package dev.quarterdeck.client;

import dev.quarterdeck.v1.AbortRequest;
import dev.quarterdeck.v1.AbortResponse;
import dev.quarterdeck.v1.AwaitTurnRequest;
import dev.quarterdeck.v1.Cursor;
import dev.quarterdeck.v1.EnqueueRequest;
import dev.quarterdeck.v1.EnqueueResponse;
import dev.quarterdeck.v1.GatewayEvent;
import dev.quarterdeck.v1.GetTurnRequest;
import dev.quarterdeck.v1.ResetRequest;
import dev.quarterdeck.v1.ResetResponse;
import dev.quarterdeck.v1.RunRequest;
import dev.quarterdeck.v1.SessionFilter;
import dev.quarterdeck.v1.SessionSnapshot;
import dev.quarterdeck.v1.SteerRequest;
import dev.quarterdeck.v1.SteerResponse;
import dev.quarterdeck.v1.SubscribeManyRequest;
import dev.quarterdeck.v1.SubscribeRequest;
import dev.quarterdeck.v1.Turn;
import dev.quarterdeck.v1.WatchSessionsRequest;
import io.grpc.Channel;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.function.Consumer;
import java.util.function.Function;

/**
 * A Quarterdeck server. Connects at the first call; may be used by any number of threads, virtual ones included.
 *
 * <pre>{@code
 * try (var client = QuarterdeckClient.create();
 *         var answer = client.chat("demo", "hello there")) {
 *     answer.forEachRemaining(System.out::print);
 * }
 * }</pre>
 *
 * <p>The everyday calls are here; all calls, with all their fields, are in {@link #gateway()}, {@link #memory()},
 * {@link #models()}, {@link #schedules()}, {@link #webhooks()} and {@link #admin()}, and the generated stubs work on {@link #channel()}. Failures are {@link CallException}s.
 */
public final class QuarterdeckClient implements AutoCloseable {
    private final Calls calls;

    QuarterdeckClient(Calls calls) {
        this.calls = calls;
    }

    /**
     * A client as the environment says: {@code QUARTERDECK_ADDR} (default {@code http://127.0.0.1:7777}) and
     * {@code QUARTERDECK_KEY}.
     */
    public static QuarterdeckClient create() {
        return builder().build();
    }

    /** A client that is set up by hand. */
    public static ClientBuilder builder() {
        return new ClientBuilder();
    }

    /**
     * The same client with a deadline for each of its calls, repeats included, and for the whole of each of its streams.
     * Shares the connection.
     */
    public QuarterdeckClient withDeadline(Duration deadline) {
        return new QuarterdeckClient(calls.withDeadline(deadline));
    }

    /** The same client, that repeats its calls for so long while the server is unavailable. Shares the connection. */
    public QuarterdeckClient withPatience(Duration patience) {
        return new QuarterdeckClient(calls.withPatience(patience));
    }

    /** All calls about sessions. */
    public GatewayCalls gateway() {
        return new GatewayCalls(calls);
    }

    /** All calls about memory. */
    public MemoryCalls memory() {
        return new MemoryCalls(calls);
    }

    /** All calls about models and thinking levels. */
    public ModelCalls models() {
        return new ModelCalls(calls);
    }

    /** All calls about schedules. */
    public ScheduleCalls schedules() {
        return new ScheduleCalls(calls);
    }

    /** All calls about webhooks. */
    public WebhookCalls webhooks() {
        return new WebhookCalls(calls);
    }

    /** All that List calls give, page after page. */
    public AllPages all() {
        return new AllPages(this);
    }

    /**
     * Makes a call on a thread of an executor, which bounds how many run at once: {@code client.future(it ->
     * it.enqueue("demo", "hello"), executor)}. The call is repeated as it would be here. Cancelling the future does not
     * take the call back.
     */
    public <T> CompletableFuture<T> future(Function<QuarterdeckClient, T> call, Executor executor) {
        return CompletableFuture.supplyAsync(() -> call.apply(this), executor);
    }

    /** All calls about the server and its keys. */
    public AdminCalls admin() {
        return new AdminCalls(calls);
    }

    /**
     * For the generated stubs, such as {@code GatewayServiceGrpc.newFutureStub(client.channel())}. Calls on it carry the
     * key; nothing else is done for them.
     */
    public Channel channel() {
        return calls.connection().channel();
    }

    /** Sends a prompt and gives the agent's answer as it is written. */
    public ChatReply chat(String sessionKey, String text) {
        return chat(prompt(sessionKey, text));
    }

    /** Sends a prompt with all that may be said about it and gives the agent's answer as it is written. */
    public ChatReply chat(EnqueueRequest request) {
        return new ChatReply(run(RunRequest.newBuilder().setEnqueue(request).build()), this::whole);
    }

    /** Sends a prompt and gives the agent's answer as it is written; what the agent asks is answered by the handler. */
    public ChatReply chat(String sessionKey, String text, QuestionHandler onQuestion) {
        return chat(prompt(sessionKey, text), onQuestion);
    }

    /** Sends a prompt with all that may be said about it; what the agent asks is answered by the handler. */
    public ChatReply chat(EnqueueRequest request, QuestionHandler onQuestion) {
        return new ChatReply(run(RunRequest.newBuilder().setEnqueue(request).build(), onQuestion), this::whole);
    }

    /**
     * Sends a prompt with options, such as {@code prompt -> prompt.setAgent("pi")}, and gives the agent's answer as it is
     * written; what the agent asks is answered by the handler.
     */
    public ChatReply chat(
            String sessionKey, String text, Consumer<EnqueueRequest.Builder> options, QuestionHandler onQuestion) {
        return chat(prompt(sessionKey, text, options), onQuestion);
    }

    /**
     * Sends a prompt and gives what its turn answers by a JSON Schema, read by {@code read}: a method of the JSON library
     * that you use, such as {@code json -> gson.fromJson(json, Weather.class)}. Throws {@link TurnFailed} where the turn
     * does not complete, with the reason {@code OUTPUT_INVALID} where the agent gave nothing that meets the schema.
     *
     * @param outputSchema JSON text
     */
    public <T> T ask(String sessionKey, String text, String outputSchema, Function<String, T> read) {
        return ask(
                prompt(sessionKey, text).toBuilder()
                        .setOutputSchema(outputSchema)
                        .build(),
                read);
    }

    /** Sends a prompt with options and gives what its turn answers by a JSON Schema, read by {@code read}. */
    public <T> T ask(
            String sessionKey,
            String text,
            String outputSchema,
            Function<String, T> read,
            Consumer<EnqueueRequest.Builder> options) {
        return ask(prompt(sessionKey, text, options.andThen(prompt -> prompt.setOutputSchema(outputSchema))), read);
    }

    /** Sends a prompt that has an {@code output_schema} and gives what its turn answers by that, read by {@code read}. */
    public <T> T ask(EnqueueRequest request, Function<String, T> read) {
        try (ChatReply reply = chat(request)) {
            reply.text();
            return read.apply(reply.turn().map(Turn::getOutputJson).orElse(""));
        }
    }

    /** Sends a prompt and gives the events of its turn, to {@code turn_ended}. */
    public Subscription<GatewayEvent> run(String sessionKey, String text) {
        return run(RunRequest.newBuilder().setEnqueue(prompt(sessionKey, text)).build());
    }

    /** Sends a prompt with options and gives the events of its turn, to {@code turn_ended}. */
    public Subscription<GatewayEvent> run(String sessionKey, String text, Consumer<EnqueueRequest.Builder> options) {
        return run(RunRequest.newBuilder()
                .setEnqueue(prompt(sessionKey, text, options))
                .build());
    }

    /** Sends a prompt with all that may be said about it and gives the events of its turn, to {@code turn_ended}. */
    public Subscription<GatewayEvent> run(RunRequest request) {
        return new Subscription<>(calls, new TurnEvents(calls, request));
    }

    /** Sends a prompt and gives the events of its turn; what the agent asks is answered by the handler. */
    public Subscription<GatewayEvent> run(RunRequest request, QuestionHandler onQuestion) {
        return new Subscription<>(calls, new TurnEvents(calls, request), new Answering(gateway(), onQuestion));
    }

    /** Sends a prompt, without waiting for what becomes of it. */
    public EnqueueResponse enqueue(String sessionKey, String text) {
        return gateway().enqueue(prompt(sessionKey, text));
    }

    /** Sends a prompt with options, without waiting for what becomes of it. */
    public EnqueueResponse enqueue(String sessionKey, String text, Consumer<EnqueueRequest.Builder> options) {
        return gateway().enqueue(prompt(sessionKey, text, options));
    }

    /** Waits for a turn's end. */
    public Turn awaitTurn(String sessionKey, String turnId) {
        AwaitTurnRequest request = AwaitTurnRequest.newBuilder()
                .setSessionKey(sessionKey)
                .setTurnId(turnId)
                .build();
        return gateway().awaitTurn(request).getTurn();
    }

    /** Gives text to the turn that runs. */
    public SteerResponse steer(String sessionKey, String text) {
        return gateway()
                .steer(SteerRequest.newBuilder()
                        .setSessionKey(sessionKey)
                        .setText(text)
                        .build());
    }

    /** Gives text to the turn that runs, with options. */
    public SteerResponse steer(String sessionKey, String text, Consumer<SteerRequest.Builder> options) {
        SteerRequest.Builder request =
                SteerRequest.newBuilder().setSessionKey(sessionKey).setText(text);
        options.accept(request);
        return gateway().steer(request.build());
    }

    /** Stops a turn, with options such as {@code abort -> abort.setClearQueue(true)}. */
    public AbortResponse abort(String sessionKey, Consumer<AbortRequest.Builder> options) {
        AbortRequest.Builder request = AbortRequest.newBuilder().setSessionKey(sessionKey);
        options.accept(request);
        return gateway().abort(request.build());
    }

    /** Begins a fresh conversation, with options. */
    public ResetResponse reset(String sessionKey, Consumer<ResetRequest.Builder> options) {
        ResetRequest.Builder request = ResetRequest.newBuilder().setSessionKey(sessionKey);
        options.accept(request);
        return gateway().reset(request.build());
    }

    /** Stops the turn that runs, and answers when nothing of it is left. */
    public AbortResponse abort(String sessionKey) {
        return gateway()
                .abort(AbortRequest.newBuilder().setSessionKey(sessionKey).build());
    }

    /** Begins a fresh conversation. */
    public ResetResponse reset(String sessionKey) {
        return gateway()
                .reset(ResetRequest.newBuilder().setSessionKey(sessionKey).build());
    }

    /** Follows a session from now on. The first event, {@code hello}, says from which position. */
    public Subscription<GatewayEvent> subscribe(String sessionKey) {
        return subscribe(SubscribeRequest.newBuilder().setSessionKey(sessionKey).build());
    }

    /** Follows a session after a position: that of the last event one has, or of an {@link EnqueueResponse}. */
    public Subscription<GatewayEvent> subscribe(String sessionKey, Cursor after) {
        return subscribe(SubscribeRequest.newBuilder()
                .setSessionKey(sessionKey)
                .setCursor(after)
                .build());
    }

    /** Follows a session with all that may be said about it. Ends after {@code session_deleted}. */
    public Subscription<GatewayEvent> subscribe(SubscribeRequest request) {
        return new Subscription<>(calls, new SessionEvents(calls, request));
    }

    /**
     * Follows several sessions, each as {@code subscribe} does, without an order across them. An error about one session
     * names it as {@code session_key} in {@link CallException#metadata()}; who reads on gets the others.
     */
    public Subscription<GatewayEvent> subscribeMany(SubscribeManyRequest request) {
        return new Subscription<>(calls, new ManySessionsEvents(calls, request));
    }

    /**
     * Follows the list of sessions that match: all of them, then one snapshot with an empty key, then each that changes.
     * After a cut the whole list comes again.
     */
    public Subscription<SessionSnapshot> watchSessions(SessionFilter filter) {
        WatchSessionsRequest request =
                WatchSessionsRequest.newBuilder().setFilter(filter).build();
        return new Subscription<>(calls, new SessionWatch(calls, request));
    }

    /** Closes the connection, which this client shares with those that {@code withDeadline} and the like made of it. */
    @Override
    public void close() {
        calls.connection().close();
    }

    /** The server's address; never the key. */
    @Override
    public String toString() {
        return "QuarterdeckClient(" + calls.connection().address() + ")";
    }

    private static EnqueueRequest prompt(String sessionKey, String text) {
        return EnqueueRequest.newBuilder()
                .setSessionKey(sessionKey)
                .setText(text)
                .build();
    }

    private static EnqueueRequest prompt(String sessionKey, String text, Consumer<EnqueueRequest.Builder> options) {
        EnqueueRequest.Builder prompt = prompt(sessionKey, text).toBuilder();
        options.accept(prompt);
        return prompt.build();
    }

    private Turn whole(Turn turn) {
        GetTurnRequest request = GetTurnRequest.newBuilder()
                .setSessionKey(turn.getSessionKey())
                .setTurnId(turn.getTurnId())
                .build();
        return gateway().getTurn(request).getTurn();
    }
}
