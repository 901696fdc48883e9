package dev.quarterdeck.client;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import java.util.UUID;

/** Gives requests their {@code request_id}: once, before the first try, so that repeating a call never works twice. */
final class RequestIds {
    private RequestIds() {}

    /** The request with an id, where it takes one and its caller gave none. */
    static <Q extends Message> Q identify(Q request) {
        FieldDescriptor field = request.getDescriptorForType().findFieldByName("request_id");
        if (field == null || !((String) request.getField(field)).isEmpty()) {
            return request;
        }
        Message identified = request.toBuilder()
                .setField(field, UUID.randomUUID().toString())
                .build();
        @SuppressWarnings("unchecked") // The builder of a message builds that message.
        Q same = (Q) identified;
        return same;
    }
}
