package dev.quarterdeck.client;

import dev.quarterdeck.v1.CreateWebhookRequest;
import dev.quarterdeck.v1.CreateWebhookResponse;
import dev.quarterdeck.v1.DeleteWebhookRequest;
import dev.quarterdeck.v1.DeleteWebhookResponse;
import dev.quarterdeck.v1.ListDeliveriesRequest;
import dev.quarterdeck.v1.ListDeliveriesResponse;
import dev.quarterdeck.v1.ListWebhooksRequest;
import dev.quarterdeck.v1.ListWebhooksResponse;
import dev.quarterdeck.v1.RedeliverWebhookRequest;
import dev.quarterdeck.v1.RedeliverWebhookResponse;
import dev.quarterdeck.v1.UpdateWebhookRequest;
import dev.quarterdeck.v1.UpdateWebhookResponse;
import dev.quarterdeck.v1.WebhookServiceGrpc;

/** The calls of {@code WebhookService}: what happens in sessions, posted to addresses. */
public final class WebhookCalls {
    private final Calls calls;

    WebhookCalls(Calls calls) {
        this.calls = calls;
    }

    /** Makes a webhook. The secret that the server makes is shown in this answer alone. */
    public CreateWebhookResponse createWebhook(CreateWebhookRequest request) {
        return calls.unary(WebhookServiceGrpc.getCreateWebhookMethod(), request);
    }

    /** A page of one's own webhooks, the oldest first. */
    public ListWebhooksResponse listWebhooks(ListWebhooksRequest request) {
        return calls.unary(WebhookServiceGrpc.getListWebhooksMethod(), request);
    }

    /** Changes the fields of a webhook that the request's mask names. */
    public UpdateWebhookResponse updateWebhook(UpdateWebhookRequest request) {
        return calls.unary(WebhookServiceGrpc.getUpdateWebhookMethod(), request);
    }

    /** Deletes a webhook and the list of its deliveries. */
    public DeleteWebhookResponse deleteWebhook(DeleteWebhookRequest request) {
        return calls.unary(WebhookServiceGrpc.getDeleteWebhookMethod(), request);
    }

    /** Delivers a session's events again from a place on, or tries at once what waits. */
    public RedeliverWebhookResponse redeliverWebhook(RedeliverWebhookRequest request) {
        return calls.unary(WebhookServiceGrpc.getRedeliverWebhookMethod(), request);
    }

    /** A page of the deliveries of a webhook, those that were tried last first. */
    public ListDeliveriesResponse listDeliveries(ListDeliveriesRequest request) {
        return calls.unary(WebhookServiceGrpc.getListDeliveriesMethod(), request);
    }
}
