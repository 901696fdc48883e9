package dev.quarterdeck.behaviour;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import dev.quarterdeck.client.ChatReply;
import dev.quarterdeck.client.ClientBuilder;
import dev.quarterdeck.client.QuarterdeckClient;
import dev.quarterdeck.client.Subscription;
import dev.quarterdeck.v1.AbortRequest;
import dev.quarterdeck.v1.AbortResponse;
import dev.quarterdeck.v1.AwaitTurnRequest;
import dev.quarterdeck.v1.AwaitTurnResponse;
import dev.quarterdeck.v1.Cursor;
import dev.quarterdeck.v1.EnqueueRequest;
import dev.quarterdeck.v1.EnqueueResponse;
import dev.quarterdeck.v1.ForgetRequest;
import dev.quarterdeck.v1.GatewayEvent;
import dev.quarterdeck.v1.ListQueueRequest;
import dev.quarterdeck.v1.MemoryHit;
import dev.quarterdeck.v1.OnBusy;
import dev.quarterdeck.v1.RememberRequest;
import dev.quarterdeck.v1.RememberResponse;
import dev.quarterdeck.v1.ResetResponse;
import dev.quarterdeck.v1.RunRequest;
import dev.quarterdeck.v1.SearchMemoryRequest;
import dev.quarterdeck.v1.SessionCursor;
import dev.quarterdeck.v1.SteerResponse;
import dev.quarterdeck.v1.SubscribeManyRequest;
import dev.quarterdeck.v1.SubscribeRequest;
import dev.quarterdeck.v1.Turn;
import dev.quarterdeck.v1.WhoAmIRequest;
import dev.quarterdeck.v1.WhoAmIResponse;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;

/** What the drivers of all languages can do, by the public interface of this package. */
final class Operations {
    private final Map<String, QuarterdeckClient> clients = new ConcurrentHashMap<>();
    private final Map<String, Subscription<GatewayEvent>> subscriptions = new ConcurrentHashMap<>();

    JsonObject carryOut(Request request, Consumer<String> pieces) {
        return switch (request.text("op")) {
            case "connect" -> connect(request);
            case "who_am_i" -> whoAmI(request);
            case "enqueue" -> enqueue(request);
            case "await_turn" -> awaitTurn(request);
            case "steer" -> steer(request);
            case "abort" -> abort(request);
            case "reset" -> reset(request);
            case "list_queue" -> listQueue(request);
            case "chat" -> chat(request, pieces);
            case "ask" -> ask(request);
            case "run" -> run(request);
            case "list_models" -> Models.list(client(request), request);
            case "set_model" -> Models.set(client(request), request);
            case "list_commands" -> CommandsAndFiles.listCommands(client(request), request);
            case "execute_command" -> CommandsAndFiles.executeCommand(client(request), request);
            case "list_files" -> CommandsAndFiles.listFiles(client(request), request);
            case "read_file" -> CommandsAndFiles.readFile(client(request), request);
            case "list_questions" -> Questions.list(client(request), request);
            case "get_question" -> Questions.get(client(request), request);
            case "answer_question" -> Questions.answer(client(request), request);
            case "subscribe" -> subscribe(request);
            case "subscribe_many" -> subscribeMany(request);
            case "cursor" -> Lists.cursor(subscription(request));
            case "all_sessions" -> Lists.sessions(client(request), request);
            case "all_turns" -> Lists.turns(client(request), request);
            case "all_schedules" -> Lists.schedules(client(request), request);
            case "all_schedule_runs" -> Lists.runs(client(request), request);
            case "create_schedule" -> Lists.createSchedule(client(request), request);
            case "run_schedule_now" -> Lists.runNow(client(request), request);
            case "create_webhook" -> Lists.createWebhook(client(request), request);
            case "all_webhooks" -> Lists.webhooks(client(request), request);
            case "delete_webhook" -> Lists.deleteWebhook(client(request), request);
            case "all_artifacts" -> Lists.artifacts(client(request), request);
            case "delete_schedule" -> Lists.deleteSchedule(client(request), request);
            case "next" -> next(request);
            case "read_slowly" -> readSlowly(request);
            case "close" -> close(request);
            case "remember" -> remember(request);
            case "search_memory" -> searchMemory(request);
            case "forget" -> forget(request);
            default -> throw new IllegalArgumentException("unknown op " + request.text("op"));
        };
    }

    private JsonObject connect(Request request) {
        ClientBuilder builder =
                QuarterdeckClient.builder().address(request.text("address")).withoutKey();
        request.maybe("key").ifPresent(key -> builder.key(key.getAsString()));
        request.maybe("ca").ifPresent(ca -> builder.certificateAuthorities(Path.of(ca.getAsString())));
        clients.put(request.text("client"), builder.build());
        return new JsonObject();
    }

    private JsonObject whoAmI(Request request) {
        WhoAmIResponse me = client(request).admin().whoAmI(WhoAmIRequest.getDefaultInstance());
        JsonObject json = new JsonObject();
        json.addProperty("principal", me.getPrincipal());
        json.add("scopes", texts(me.getScopesList()));
        return json;
    }

    private JsonObject enqueue(Request request) {
        EnqueueResponse response = client(request).gateway().enqueue(prompt(request));
        JsonObject json = new JsonObject();
        json.addProperty("turn_id", response.getTurn().getTurnId());
        json.addProperty("seq", response.getSeq());
        json.addProperty("log_id", response.getLogId());
        json.addProperty("mode", Rendering.name(response.getMode(), "ADMISSION_MODE"));
        json.addProperty("queue_position", response.getQueuePosition());
        json.addProperty("replayed", response.getReplayed());
        return json;
    }

    private JsonObject awaitTurn(Request request) {
        AwaitTurnResponse response = client(request)
                .gateway()
                .awaitTurn(AwaitTurnRequest.newBuilder()
                        .setSessionKey(request.text("session_key"))
                        .setTurnId(request.text("turn_id"))
                        .setOrQuestion(request.flag("or_question"))
                        .build());
        Turn turn = response.getTurn();
        JsonObject json = new JsonObject();
        json.addProperty("state", Rendering.name(turn.getState(), "TURN_STATE"));
        json.addProperty("response_text", turn.getResponseText());
        json.addProperty("stop_reason", Rendering.name(turn.getStopReason(), "STOP_REASON"));
        json.addProperty("error_reason", turn.getError().getReason());
        json.add("questions", Questions.shown(response.getQuestionsList()));
        return json;
    }

    private JsonObject steer(Request request) {
        SteerResponse response = client(request).steer(request.text("session_key"), request.text("text"));
        JsonObject json = new JsonObject();
        json.addProperty("mode", Rendering.name(response.getMode(), "ADMISSION_MODE"));
        json.addProperty("steer_id", response.getSteerId());
        json.addProperty("turn_id", response.getTurn().getTurnId());
        return json;
    }

    private JsonObject abort(Request request) {
        AbortResponse response = client(request)
                .gateway()
                .abort(AbortRequest.newBuilder()
                        .setSessionKey(request.text("session_key"))
                        .setTurnId(request.text("turn_id"))
                        .setClearQueue(request.flag("clear_queue"))
                        .build());
        JsonObject json = new JsonObject();
        json.addProperty("aborted", response.getAborted());
        json.addProperty(
                "state", response.hasTurn() ? Rendering.name(response.getTurn().getState(), "TURN_STATE") : "");
        json.addProperty("cleared", response.getClearedTurnIdsCount());
        return json;
    }

    private JsonObject reset(Request request) {
        ResetResponse response = client(request).reset(request.text("session_key"));
        JsonObject json = new JsonObject();
        json.addProperty("generation", response.getSession().getGeneration());
        json.addProperty("rejected", response.getRejectedTurnIdsCount());
        return json;
    }

    private JsonObject listQueue(Request request) {
        ListQueueRequest queue = ListQueueRequest.newBuilder()
                .setSessionKey(request.text("session_key"))
                .build();
        List<Turn> turns = client(request).gateway().listQueue(queue).getTurnsList();
        JsonObject json = new JsonObject();
        json.add("turn_ids", texts(turns.stream().map(Turn::getTurnId).toList()));
        return json;
    }

    private JsonObject chat(Request request, Consumer<String> pieces) {
        StringBuilder text = new StringBuilder();
        int count = 0;
        Questions.Handler handler = new Questions.Handler(client(request), request);
        try (ChatReply answer = client(request).chat(prompt(request), handler)) {
            while (answer.hasNext()) {
                String piece = answer.next();
                pieces.accept(piece);
                text.append(piece);
                count++;
            }
        }
        JsonObject json = new JsonObject();
        json.addProperty("text", text.toString());
        json.addProperty("pieces", count);
        json.add("questions", handler.seen());
        return json;
    }

    private JsonObject ask(Request request) {
        String schema = request.maybe("output_schema").orElseThrow().toString();
        JsonObject json = new JsonObject();
        json.add(
                "output",
                client(request)
                        .ask(request.text("session_key"), request.text("text"), schema, JsonParser::parseString));
        return json;
    }

    private JsonObject run(Request request) {
        List<GatewayEvent> events = new ArrayList<>();
        Questions.Handler handler = new Questions.Handler(client(request), request);
        RunRequest run = RunRequest.newBuilder().setEnqueue(prompt(request)).build();
        try (Subscription<GatewayEvent> turn = client(request).run(run, handler)) {
            turn.forEachRemaining(events::add);
        }
        JsonObject json = Rendering.events(events);
        json.add("questions", handler.seen());
        return json;
    }

    private JsonObject subscribe(Request request) {
        SubscribeRequest.Builder subscribe = SubscribeRequest.newBuilder()
                .setSessionKey(request.text("session_key"))
                .setFromOldest(request.flag("from_oldest"));
        if (request.maybe("after_seq").isPresent() || request.maybe("log_id").isPresent()) {
            subscribe.setCursor(Cursor.newBuilder()
                    .setAfterSeq(request.number("after_seq", 0))
                    .setLogId(request.text("log_id")));
        }
        subscriptions.put(request.text("subscription"), client(request).subscribe(subscribe.build()));
        return new JsonObject();
    }

    private JsonObject subscribeMany(Request request) {
        SubscribeManyRequest.Builder many = SubscribeManyRequest.newBuilder();
        request.texts("session_keys")
                .forEach(key -> many.addCursors(SessionCursor.newBuilder().setSessionKey(key)));
        subscriptions.put(request.text("subscription"), client(request).subscribeMany(many.build()));
        return new JsonObject();
    }

    private JsonObject next(Request request) {
        Subscription<GatewayEvent> subscription = subscription(request);
        List<GatewayEvent> events = new ArrayList<>();
        long wanted = request.number("times", 1);
        while (wanted > 0 && subscription.hasNext()) {
            GatewayEvent event = subscription.next();
            events.add(event);
            if (Rendering.kind(event).equals(request.text("until"))) {
                wanted--;
            }
        }
        JsonObject json = Rendering.events(events);
        json.addProperty("ended", wanted > 0);
        return json;
    }

    private JsonObject readSlowly(Request request) {
        Subscription<GatewayEvent> subscription = subscription(request);
        long events = 0;
        long durable = 0;
        long peak = 0;
        while (subscription.hasNext()) {
            peak = Math.max(peak, subscription.buffered());
            GatewayEvent event = subscription.next();
            events++;
            durable += event.getSeq() > 0 ? 1 : 0;
            if (Rendering.kind(event).equals(request.text("until"))) {
                break;
            }
            sleep(request.number("pause_ms", 0));
        }
        JsonObject json = new JsonObject();
        json.addProperty("events", events);
        json.addProperty("durable", durable);
        json.addProperty("peak_buffered", peak);
        return json;
    }

    private JsonObject close(Request request) {
        subscription(request).close();
        return new JsonObject();
    }

    private JsonObject remember(Request request) {
        RememberResponse response = client(request)
                .memory()
                .remember(RememberRequest.newBuilder()
                        .setContent(request.text("content"))
                        .setNamespace(request.text("namespace"))
                        .setKey(request.text("key"))
                        .build());
        JsonObject json = new JsonObject();
        json.addProperty("id", response.getMemory().getId());
        json.addProperty("version", response.getMemory().getVersion());
        return json;
    }

    private JsonObject searchMemory(Request request) {
        SearchMemoryRequest search = SearchMemoryRequest.newBuilder()
                .setQuery(request.text("query"))
                .setNamespace(request.text("namespace"))
                .setLimit((int) request.number("limit", 0))
                .build();
        List<MemoryHit> hits = client(request).memory().searchMemory(search).getHitsList();
        JsonObject json = new JsonObject();
        json.add(
                "contents",
                texts(hits.stream().map(hit -> hit.getMemory().getContent()).toList()));
        return json;
    }

    private JsonObject forget(Request request) {
        ForgetRequest forget = ForgetRequest.newBuilder()
                .setNamespace(request.text("namespace"))
                .setKey(request.text("key"))
                .setId(request.text("memory_id"))
                .setHard(request.flag("hard"))
                .build();
        JsonObject json = new JsonObject();
        json.addProperty("forgotten", client(request).memory().forget(forget).getForgotten());
        return json;
    }

    private QuarterdeckClient client(Request request) {
        QuarterdeckClient client = clients.get(request.text("client"));
        return request.maybe("deadline_ms")
                .map(deadline -> client.withDeadline(Duration.ofMillis(deadline.getAsLong())))
                .orElse(client);
    }

    private Subscription<GatewayEvent> subscription(Request request) {
        return subscriptions.get(request.text("subscription"));
    }

    private static EnqueueRequest prompt(Request request) {
        EnqueueRequest.Builder prompt = EnqueueRequest.newBuilder()
                .setSessionKey(request.text("session_key"))
                .setText(request.text("text"))
                .setRequestId(request.text("request_id"));
        request.maybe("on_busy").ifPresent(what -> prompt.setOnBusy(OnBusy.valueOf("ON_BUSY_" + what.getAsString())));
        return prompt.build();
    }

    private static JsonArray texts(List<String> texts) {
        JsonArray array = new JsonArray();
        texts.forEach(array::add);
        return array;
    }

    private static void sleep(long milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException interruption) {
            Thread.currentThread().interrupt();
        }
    }
}
