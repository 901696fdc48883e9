package dev.quarterdeck.behaviour;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import dev.quarterdeck.client.QuarterdeckClient;
import dev.quarterdeck.v1.ListModelsRequest;
import dev.quarterdeck.v1.ListModelsResponse;
import dev.quarterdeck.v1.SetModelRequest;
import dev.quarterdeck.v1.SetModelResponse;

/** Models of a session. */
final class Models {
    private Models() {}

    static JsonObject list(QuarterdeckClient client, Request request) {
        ListModelsResponse response = client.models()
                .listModels(ListModelsRequest.newBuilder()
                        .setSessionKey(request.text("session_key"))
                        .build());
        JsonArray models = new JsonArray();
        response.getModelsList().forEach(model -> models.add(model.getProvider() + "/" + model.getModelId()));
        JsonObject json = new JsonObject();
        json.add("models", models);
        json.addProperty(
                "current",
                response.hasCurrent()
                        ? response.getCurrent().getProvider() + "/"
                                + response.getCurrent().getModelId()
                        : "");
        return json;
    }

    static JsonObject set(QuarterdeckClient client, Request request) {
        SetModelResponse response = client.models()
                .setModel(SetModelRequest.newBuilder()
                        .setSessionKey(request.text("session_key"))
                        .setProvider(request.text("provider"))
                        .setModelId(request.text("model_id"))
                        .setRequestId(request.text("request_id"))
                        .build());
        JsonObject json = new JsonObject();
        json.addProperty("model", response.getSession().getModel());
        json.addProperty("replayed", response.getReplayed());
        return json;
    }
}
