package dev.quarterdeck.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonElement;
import com.google.gson.JsonParser;
import com.google.protobuf.Any;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.BadRequest.FieldViolation;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.io.IOException;
import java.nio.channels.ClosedChannelException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** Every refusal of the server has a class of its own below that of its code; those to come have their code's. */
class CallExceptionsTest {
    @Test
    void everyReasonHasItsClass() throws IOException {
        Map<String, String> codes = new HashMap<>();
        for (JsonElement known : JsonParser.parseString(Files.readString(Path.of("../reasons.json")))
                .getAsJsonArray()) {
            String reason = known.getAsJsonObject().get("reason").getAsString();
            codes.put(reason, known.getAsJsonObject().get("code").getAsString());
        }
        assertEquals(codes.keySet(), CallExceptions.BY_REASON.keySet());
        codes.forEach((reason, code) -> {
            CallException error = CallExceptions.of(CallDetails.of(failure(Status.Code.valueOf(code), info(reason))));
            assertEquals(upperCamelCase(reason), error.getClass().getSimpleName());
            assertEquals(upperCamelCase(code), ofCode(error.getClass()).getSimpleName());
        });
    }

    @Test
    void aConnectionThatIsClosedUnderACallIsUnavailable() {
        Status closed = Status.UNKNOWN.withDescription("channel closed").withCause(new ClosedChannelException());
        CallException error = CallExceptions.of(CallDetails.of(closed.asRuntimeException()));
        assertEquals(CallException.Unavailable.class, error.getClass());
    }

    @Test
    void anUnknownReasonComesAsItsCode() {
        CallException error = CallExceptions.of(CallDetails.of(failure(Status.Code.NOT_FOUND, info("NEVER_HEARD_OF"))));
        assertEquals(CallException.NotFound.class, error.getClass());
        assertEquals("NEVER_HEARD_OF", error.reason());
    }

    @Test
    void everyCodeHasItsClass() {
        for (Status.Code code : Status.Code.values()) {
            if (code != Status.Code.OK) {
                CallException error = CallExceptions.of(CallDetails.of(failure(code)));
                assertEquals(upperCamelCase(code.name()), error.getClass().getSimpleName());
                assertEquals(code, error.code());
                assertEquals("", error.reason());
            }
        }
    }

    @Test
    void detailsAreRead() {
        FieldViolation violation = FieldViolation.newBuilder()
                .setField("text")
                .setDescription("is blank")
                .build();
        RetryInfo retry = RetryInfo.newBuilder()
                .setRetryDelay(Durations.of(Duration.ofMillis(1500)))
                .build();
        CallException error = CallExceptions.of(CallDetails.of(failure(
                Status.Code.INVALID_ARGUMENT,
                info("INVALID_FIELD"),
                retry,
                BadRequest.newBuilder().addFieldViolations(violation).build())));
        assertInstanceOf(Refusal.InvalidField.class, error);
        assertEquals("why", error.getMessage());
        assertEquals(Map.of("fact", "7"), error.metadata());
        assertEquals(Optional.of(Duration.ofMillis(1500)), error.retryAfter());
        assertEquals(List.of(violation), error.fieldViolations());
        assertTrue(error.snapshot().isEmpty());
    }

    @Test
    void onlyAFailureWithoutReasonIsALostConnection() {
        assertTrue(CallDetails.of(failure(Status.Code.UNAVAILABLE)).connectionLost());
        assertTrue(CallDetails.of(failure(Status.Code.INTERNAL)).connectionLost());
        assertEquals(
                false,
                CallDetails.of(failure(Status.Code.INTERNAL, info("INTERNAL"))).connectionLost());
        assertEquals(
                false, CallDetails.of(failure(Status.Code.DEADLINE_EXCEEDED)).connectionLost());
    }

    private static Class<?> ofCode(Class<?> type) {
        return type.getSuperclass() == CallException.class ? type : type.getSuperclass();
    }

    private static ErrorInfo info(String reason) {
        return ErrorInfo.newBuilder()
                .setReason(reason)
                .setDomain("quarterdeck")
                .putMetadata("fact", "7")
                .build();
    }

    private static StatusRuntimeException failure(Status.Code code, Message... details) {
        com.google.rpc.Status.Builder status =
                com.google.rpc.Status.newBuilder().setCode(code.value()).setMessage("why");
        Arrays.stream(details).map(Any::pack).forEach(status::addDetails);
        return StatusProto.toStatusRuntimeException(status.build());
    }

    private static String upperCamelCase(String name) {
        return Arrays.stream(name.split("_"))
                .map(word -> word.charAt(0) + word.substring(1).toLowerCase(java.util.Locale.ROOT))
                .collect(Collectors.joining());
    }
}
