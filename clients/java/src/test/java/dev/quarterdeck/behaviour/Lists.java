package dev.quarterdeck.behaviour;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import dev.quarterdeck.client.QuarterdeckClient;
import dev.quarterdeck.client.Readable;
import dev.quarterdeck.client.Subscription;
import dev.quarterdeck.v1.CreateScheduleRequest;
import dev.quarterdeck.v1.CreateScheduleResponse;
import dev.quarterdeck.v1.CreateWebhookRequest;
import dev.quarterdeck.v1.CreateWebhookResponse;
import dev.quarterdeck.v1.Cursor;
import dev.quarterdeck.v1.DeleteScheduleRequest;
import dev.quarterdeck.v1.DeleteWebhookRequest;
import dev.quarterdeck.v1.EnqueueRequest;
import dev.quarterdeck.v1.GatewayEvent;
import dev.quarterdeck.v1.ListArtifactsRequest;
import dev.quarterdeck.v1.ListScheduleRunsRequest;
import dev.quarterdeck.v1.ListSchedulesRequest;
import dev.quarterdeck.v1.ListSessionsRequest;
import dev.quarterdeck.v1.ListTurnsRequest;
import dev.quarterdeck.v1.ListWebhooksRequest;
import dev.quarterdeck.v1.RunScheduleNowRequest;
import dev.quarterdeck.v1.Schedule;
import dev.quarterdeck.v1.ScheduleRun;
import dev.quarterdeck.v1.ScheduleSpec;
import dev.quarterdeck.v1.SessionSnapshot;
import dev.quarterdeck.v1.Turn;
import dev.quarterdeck.v1.Webhook;
import java.util.function.Function;

/** Lists page after page, schedules, and where subscriptions stand. */
final class Lists {
    private Lists() {}

    static JsonObject sessions(QuarterdeckClient client, Request request) {
        ListSessionsRequest list =
                ListSessionsRequest.newBuilder().setPageSize(pageSize(request)).build();
        return collect(request, "session_keys", client.all().sessions(list), SessionSnapshot::getSessionKey);
    }

    static JsonObject turns(QuarterdeckClient client, Request request) {
        ListTurnsRequest list = ListTurnsRequest.newBuilder()
                .setSessionKey(request.text("session_key"))
                .setPageSize(pageSize(request))
                .build();
        return collect(request, "turn_ids", client.all().turns(list), Turn::getTurnId);
    }

    static JsonObject schedules(QuarterdeckClient client, Request request) {
        ListSchedulesRequest list =
                ListSchedulesRequest.newBuilder().setPageSize(pageSize(request)).build();
        return collect(request, "schedule_names", client.all().schedules(list), Schedule::getScheduleName);
    }

    static JsonObject runs(QuarterdeckClient client, Request request) {
        ListScheduleRunsRequest list = ListScheduleRunsRequest.newBuilder()
                .setScheduleName(request.text("schedule_name"))
                .setPageSize(pageSize(request))
                .build();
        return collect(request, "runs", client.all().scheduleRuns(list), Lists::shown);
    }

    static JsonObject createSchedule(QuarterdeckClient client, Request request) {
        Schedule schedule = Schedule.newBuilder()
                .setScheduleName(request.text("schedule_name"))
                .setSpec(ScheduleSpec.newBuilder().setCron(request.text("cron")))
                .setEnqueue(EnqueueRequest.newBuilder()
                        .setSessionKey(request.text("session_key"))
                        .setText(request.text("text")))
                .build();
        CreateScheduleResponse response = client.schedules()
                .createSchedule(CreateScheduleRequest.newBuilder()
                        .setSchedule(schedule)
                        .setRequestId(request.text("request_id"))
                        .build());
        JsonObject json = new JsonObject();
        json.addProperty("replayed", response.getReplayed());
        json.addProperty("owner", response.getSchedule().getOwner());
        return json;
    }

    static JsonObject runNow(QuarterdeckClient client, Request request) {
        RunScheduleNowRequest now = RunScheduleNowRequest.newBuilder()
                .setScheduleName(request.text("schedule_name"))
                .build();
        ScheduleRun run = client.schedules().runScheduleNow(now).getRun();
        JsonObject json = new JsonObject();
        json.addProperty("session_key", run.getSessionKey());
        json.addProperty("turn_id", run.getTurnId());
        return json;
    }

    static JsonObject deleteSchedule(QuarterdeckClient client, Request request) {
        client.schedules()
                .deleteSchedule(DeleteScheduleRequest.newBuilder()
                        .setScheduleName(request.text("schedule_name"))
                        .build());
        return new JsonObject();
    }

    static JsonObject createWebhook(QuarterdeckClient client, Request request) {
        CreateWebhookResponse response = client.webhooks()
                .createWebhook(CreateWebhookRequest.newBuilder()
                        .setWebhook(Webhook.newBuilder().setUrl(request.text("url")))
                        .setRequestId(request.text("request_id"))
                        .build());
        JsonObject json = new JsonObject();
        json.addProperty("webhook_id", response.getWebhook().getWebhookId());
        json.addProperty("secret", response.getSecret());
        json.addProperty("replayed", response.getReplayed());
        return json;
    }

    static JsonObject webhooks(QuarterdeckClient client, Request request) {
        ListWebhooksRequest list =
                ListWebhooksRequest.newBuilder().setPageSize(pageSize(request)).build();
        return collect(request, "urls", client.all().webhooks(list), Webhook::getUrl);
    }

    static JsonObject deleteWebhook(QuarterdeckClient client, Request request) {
        client.webhooks()
                .deleteWebhook(DeleteWebhookRequest.newBuilder()
                        .setWebhookId(request.text("webhook_id"))
                        .build());
        return new JsonObject();
    }

    static JsonObject artifacts(QuarterdeckClient client, Request request) {
        ListArtifactsRequest list = ListArtifactsRequest.newBuilder()
                .setSessionKey(request.text("session_key"))
                .setPageSize(pageSize(request))
                .build();
        return collect(
                request,
                "names",
                client.all().artifacts(list),
                artifact -> artifact.getAttachment().getName());
    }

    static JsonObject cursor(Subscription<GatewayEvent> subscription) {
        JsonObject cursors = new JsonObject();
        subscription.cursors().forEach((key, cursor) -> cursors.add(key, shown(cursor)));
        JsonObject json = new JsonObject();
        json.add("cursor", subscription.cursor().map(Lists::shown).orElse(JsonNull.INSTANCE));
        json.add("cursors", cursors);
        return json;
    }

    private static JsonElement shown(Cursor cursor) {
        JsonObject json = new JsonObject();
        json.addProperty("log_id", cursor.getLogId());
        json.addProperty("after_seq", cursor.getAfterSeq());
        return json;
    }

    private static String shown(ScheduleRun run) {
        return Readable.name(run.getTrigger()) + " " + Readable.name(run.getOutcome());
    }

    private static <T> JsonObject collect(Request request, String name, Iterable<T> all, Function<T, String> text) {
        long most = request.number("at_most", Long.MAX_VALUE);
        JsonArray found = new JsonArray();
        for (T item : all) {
            found.add(text.apply(item));
            if (found.size() == most) {
                break;
            }
        }
        JsonObject json = new JsonObject();
        json.add(name, found);
        return json;
    }

    private static int pageSize(Request request) {
        return (int) request.number("page_size", 0);
    }
}
