package com.firefly.flymq;

import com.fasterxml.jackson.databind.JsonNode;
import com.firefly.flymq.crypto.Encryptor;

import org.jspecify.annotations.Nullable;

import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Records inside control calls: JSON, bytes as base64. */
final class Records {
    private Records() {}

    /** A record to send, its value encrypted where there is an encryptor: this way does not pass the native side's. */
    static Map<String, Object> of(NewMessage message, @Nullable Encryptor encryptor) {
        Map<String, Object> record = new HashMap<>();
        List<Map<String, Object>> headers = new ArrayList<>();
        message.headers().forEach(header -> headers.add(header(header.name(), header.value())));
        byte[] key = message.key();
        byte[] value = message.value();
        if (key != null) {
            record.put("key", base64(key));
        }
        if (value == null) {
            record.put("tombstone", true);
        } else if (encryptor == null) {
            record.put("value", base64(value));
        } else {
            record.put("value", base64(encryptor.encrypt(value)));
            Header sealed = Header.of(Encryptor.HEADER, Encryptor.ALGORITHM);
            headers.add(header(sealed.name(), sealed.value()));
        }
        record.put("headers", headers);
        return record;
    }

    private static Map<String, Object> header(String name, byte[] value) {
        return Map.of("name", name, "value", base64(value));
    }

    private static String base64(byte[] bytes) {
        return Base64.getEncoder().encodeToString(bytes);
    }

    /** Where the only record of a reply was stored. */
    static RecordMetadata stored(JsonNode reply) {
        JsonNode record = reply.path("records").path(0);
        return new RecordMetadata(
                record.path("topic").asText(),
                record.path("partition").asInt(),
                record.path("offset").asLong(),
                Instant.ofEpochMilli(record.path("timestamp_ms").asLong()));
    }
}
