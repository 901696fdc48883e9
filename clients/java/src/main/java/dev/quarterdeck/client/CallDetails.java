package dev.quarterdeck.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.BadRequest.FieldViolation;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import dev.quarterdeck.v1.GetSessionStateResponse;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** What is known of a call that failed, read from its status and the error details that came with it. */
record CallDetails(
        Status.Code code,
        String reason,
        String message,
        Map<String, String> metadata,
        Optional<Duration> retryAfter,
        List<FieldViolation> fieldViolations,
        Optional<GetSessionStateResponse> snapshot,
        Throwable cause) {

    static CallDetails of(Status.Code code, String message, Throwable cause) {
        return new CallDetails(code, "", message, Map.of(), Optional.empty(), List.of(), Optional.empty(), cause);
    }

    static CallDetails of(StatusRuntimeException failure) {
        Status status = failure.getStatus();
        String reason = "";
        Map<String, String> metadata = Map.of();
        Optional<Duration> retryAfter = Optional.empty();
        List<FieldViolation> violations = List.of();
        for (Any detail : StatusProto.fromThrowable(failure).getDetailsList()) {
            try {
                if (detail.is(ErrorInfo.class)) {
                    ErrorInfo info = detail.unpack(ErrorInfo.class);
                    reason = info.getReason();
                    metadata = Map.copyOf(info.getMetadataMap());
                } else if (detail.is(RetryInfo.class)) {
                    var delay = detail.unpack(RetryInfo.class).getRetryDelay();
                    retryAfter = Optional.of(Duration.ofSeconds(delay.getSeconds(), delay.getNanos()));
                } else if (detail.is(BadRequest.class)) {
                    violations = List.copyOf(detail.unpack(BadRequest.class).getFieldViolationsList());
                }
            } catch (InvalidProtocolBufferException unreadable) {
                // The code and the other details still tell what happened.
                continue;
            }
        }
        String message = status.getDescription() == null ? status.getCode().name() : status.getDescription();
        return new CallDetails(
                code(status, reason), reason, message, metadata, retryAfter, violations, Optional.empty(), failure);
    }

    /**
     * The status' code, but for one: where a connection is closed while a call is written to it, grpc-java says UNKNOWN,
     * "channel closed", though the connection is as lost as by any other end of it.
     */
    private static Status.Code code(Status status, String reason) {
        boolean closed = status.getCode() == Status.Code.UNKNOWN && status.getCause() instanceof IOException;
        return closed && reason.isEmpty() ? Status.Code.UNAVAILABLE : status.getCode();
    }

    CallDetails with(GetSessionStateResponse state) {
        return new CallDetails(code, reason, message, metadata, retryAfter, fieldViolations, Optional.of(state), cause);
    }

    CallDetails with(String otherMessage) {
        return new CallDetails(code, reason, otherMessage, metadata, retryAfter, fieldViolations, snapshot, cause);
    }

    /** True where the connection failed and not the call: every error of the server has a reason. */
    boolean connectionLost() {
        return reason.isEmpty()
                && switch (code) {
                    case UNAVAILABLE, UNKNOWN, INTERNAL, CANCELLED -> true;
                    default -> false;
                };
    }
}
