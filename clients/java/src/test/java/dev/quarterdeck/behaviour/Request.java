package dev.quarterdeck.behaviour;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** One request, whose fields may be missing. */
record Request(JsonObject json) {
    String text(String field) {
        return maybe(field).map(JsonElement::getAsString).orElse("");
    }

    long number(String field, long otherwise) {
        return maybe(field).map(JsonElement::getAsLong).orElse(otherwise);
    }

    boolean flag(String field) {
        return maybe(field).map(JsonElement::getAsBoolean).orElse(false);
    }

    List<String> texts(String field) {
        List<String> texts = new ArrayList<>();
        maybe(field).ifPresent(list -> list.getAsJsonArray().forEach(text -> texts.add(text.getAsString())));
        return texts;
    }

    Optional<JsonElement> maybe(String field) {
        return Optional.ofNullable(json.get(field)).filter(value -> !value.isJsonNull());
    }
}
