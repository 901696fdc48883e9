package dev.quarterdeck.behaviour;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import dev.quarterdeck.client.CallException;
import dev.quarterdeck.client.QuarterdeckException;
import dev.quarterdeck.client.TurnFailed;
import dev.quarterdeck.v1.GatewayEvent;
import dev.quarterdeck.v1.GatewayEvent.KindCase;
import dev.quarterdeck.v1.GetSessionStateResponse;
import java.util.List;

/** Events, errors and names as the protocol of the drivers has them. */
final class Rendering {
    private Rendering() {}

    static JsonObject event(GatewayEvent event) {
        JsonObject json = new JsonObject();
        json.addProperty("kind", kind(event));
        json.addProperty("session_key", event.getSessionKey());
        json.addProperty("seq", event.getSeq());
        json.addProperty("after_seq", event.getAfterSeq());
        json.addProperty("log_id", event.getLogId());
        json.addProperty("turn_id", event.getTurnId());
        json.addProperty("text", text(event));
        return json;
    }

    static JsonObject events(List<GatewayEvent> events) {
        JsonArray list = new JsonArray();
        events.forEach(event -> list.add(event(event)));
        JsonObject json = new JsonObject();
        json.add("events", list);
        return json;
    }

    /** The name of the oneof's field. */
    static String kind(GatewayEvent event) {
        KindCase kind = event.getKindCase();
        return kind == KindCase.KIND_NOT_SET
                ? ""
                : GatewayEvent.getDescriptor()
                        .findFieldByNumber(kind.getNumber())
                        .getName();
    }

    static JsonObject error(RuntimeException error) {
        JsonObject json = new JsonObject();
        json.addProperty("type", error.getClass().getSimpleName());
        json.addProperty(
                "message", error instanceof CallException ? error.toString() : String.valueOf(error.getMessage()));
        json.addProperty("reason", error instanceof QuarterdeckException known ? known.reason() : "");
        JsonObject metadata = new JsonObject();
        if (error instanceof CallException call) {
            json.addProperty("code", call.code().name());
            call.metadata().forEach(metadata::addProperty);
            call.snapshot().ifPresent(state -> json.add("snapshot", snapshot(state)));
        } else {
            json.addProperty("code", "");
        }
        if (error instanceof TurnFailed failed) {
            json.addProperty("state", name(failed.state(), "TURN_STATE"));
        }
        json.add("metadata", metadata);
        return json;
    }

    /** The name of an enum's value without its type's prefix. */
    static String name(Enum<?> value, String prefix) {
        return value.name().replaceFirst("^" + prefix + "_", "");
    }

    private static String text(GatewayEvent event) {
        return switch (event.getKindCase()) {
            case TOKEN -> event.getToken().getDelta();
            case MESSAGE_COMPLETED -> event.getMessageCompleted().getText();
            case TURN_ENDED -> name(event.getTurnEnded().getTurn().getState(), "TURN_STATE");
            default -> "";
        };
    }

    private static JsonObject snapshot(GetSessionStateResponse state) {
        JsonObject json = new JsonObject();
        json.addProperty("seq", state.getSeq());
        json.addProperty("log_id", state.getLogId());
        json.addProperty("session_id", state.getSession().getSessionId());
        json.addProperty("generation", state.getSession().getGeneration());
        return json;
    }
}
