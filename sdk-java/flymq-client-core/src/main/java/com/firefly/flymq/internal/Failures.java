package com.firefly.flymq.internal;

import com.fasterxml.jackson.databind.JsonNode;
import com.firefly.flymq.exception.AuthenticationException;
import com.firefly.flymq.exception.ClosedException;
import com.firefly.flymq.exception.ConnectionException;
import com.firefly.flymq.exception.EncryptionException;
import com.firefly.flymq.exception.EndOfPartitionException;
import com.firefly.flymq.exception.ErrorInfo;
import com.firefly.flymq.exception.FlyMQException;
import com.firefly.flymq.exception.GroupNotFoundException;
import com.firefly.flymq.exception.InstanceFencedException;
import com.firefly.flymq.exception.InterruptedOperationException;
import com.firefly.flymq.exception.InUseException;
import com.firefly.flymq.exception.InvalidArgumentException;
import com.firefly.flymq.exception.OffsetOutOfRangeException;
import com.firefly.flymq.exception.PartitionNotFoundException;
import com.firefly.flymq.exception.PermissionDeniedException;
import com.firefly.flymq.exception.ProducerFencedException;
import com.firefly.flymq.exception.RebalanceException;
import com.firefly.flymq.exception.RecordNotHeldException;
import com.firefly.flymq.exception.RecordTooLargeException;
import com.firefly.flymq.exception.SchemaException;
import com.firefly.flymq.exception.SerializationException;
import com.firefly.flymq.exception.ServerException;
import com.firefly.flymq.exception.TimeoutException;
import com.firefly.flymq.exception.TopicAlreadyExistsException;
import com.firefly.flymq.exception.TopicNotFoundException;
import com.firefly.flymq.exception.TransactionException;
import com.firefly.flymq.exception.UnsupportedException;

import java.util.HashMap;
import java.util.Map;

/** From the error table's codes to exception classes. */
final class Failures {
    private Failures() {}

    /** The exception of a failure that the native side describes. */
    static FlyMQException read(byte[] document) {
        JsonNode node = Json.parse(document);
        Map<String, String> metadata = new HashMap<>();
        node.path("metadata").properties().forEach(entry -> metadata.put(entry.getKey(), entry.getValue().asText()));
        return of(new ErrorInfo(
                node.path("code").asText(),
                node.path("message").asText(),
                node.path("hint").asText(),
                node.path("doc_url").asText(),
                node.path("retryable").asBoolean(),
                node.path("side_effects").asBoolean(),
                metadata,
                node.path("request_id").asText()));
    }

    private static FlyMQException of(ErrorInfo info) {
        // Failures of this side that share a code with others.
        return switch (info.metadata().getOrDefault("kind", "")) {
            case "encryption" -> new EncryptionException(info);
            case "serialization" -> new SerializationException(info);
            default -> byCode(info);
        };
    }

    private static FlyMQException byCode(ErrorInfo info) {
        return switch (info.code()) {
            case "CONNECTION" -> new ConnectionException(info);
            case "TIMEOUT" -> new TimeoutException(info);
            case "TOPIC_NOT_FOUND" -> new TopicNotFoundException(info);
            case "TOPIC_ALREADY_EXISTS" -> new TopicAlreadyExistsException(info);
            case "PARTITION_NOT_FOUND" -> new PartitionNotFoundException(info);
            case "GROUP_NOT_FOUND" -> new GroupNotFoundException(info);
            case "OFFSET_OUT_OF_RANGE", "RECORD_NOT_FOUND" -> new OffsetOutOfRangeException(info);
            case "END_OF_PARTITION" -> new EndOfPartitionException(info);
            case "AUTHENTICATION_REQUIRED", "AUTHENTICATION_FAILED" -> new AuthenticationException(info);
            case "PERMISSION_DENIED" -> new PermissionDeniedException(info);
            case "INVALID_ARGUMENT", "DELAY_TOO_LONG" -> new InvalidArgumentException(info);
            case "RECORD_TOO_LARGE", "FRAME_TOO_LARGE" -> new RecordTooLargeException(info);
            case "SCHEMA_NOT_FOUND", "SCHEMA_INVALID", "SCHEMA_INCOMPATIBLE", "SCHEMA_VALIDATION_FAILED" ->
                    new SchemaException(info);
            case "UNKNOWN_PRODUCER", "TRANSACTION_NOT_FOUND", "TRANSACTION_STATE" -> new TransactionException(info);
            case "PRODUCER_FENCED" -> new ProducerFencedException(info);
            case "UNKNOWN_MEMBER", "ILLEGAL_GENERATION" -> new RebalanceException(info);
            case "INSTANCE_FENCED" -> new InstanceFencedException(info);
            case "RECORD_NOT_HELD" -> new RecordNotHeldException(info);
            case "IN_USE" -> new InUseException(info);
            case "UNIMPLEMENTED", "FEATURE_DISABLED", "UNSUPPORTED_VERSION" -> new UnsupportedException(info);
            case "CANCELLED" -> new ClosedException(info);
            case "INTERRUPTED" -> new InterruptedOperationException(ErrorInfo.local(
                    "INTERRUPTED",
                    "the thread was interrupted while it waited for FlyMQ",
                    "A request that was on its way may have taken effect."));
            default -> new ServerException(info);
        };
    }
}
