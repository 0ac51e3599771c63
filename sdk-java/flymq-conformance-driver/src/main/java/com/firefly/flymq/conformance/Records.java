package com.firefly.flymq.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.firefly.flymq.Acks;
import com.firefly.flymq.Header;
import com.firefly.flymq.Message;
import com.firefly.flymq.NewMessage;

import org.jspecify.annotations.Nullable;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.List;
import java.util.Locale;

/** Messages in the suite's JSON: text where the bytes are text, else base64 in a field of its own. */
final class Records {
    private static final JsonNodeFactory JSON = JsonNodeFactory.instance;

    private Records() {}

    static NewMessage read(JsonNode args) {
        byte[] value = bytes(args, "value");
        byte[] key = bytes(args, "key");
        NewMessage message = value == null
                ? NewMessage.tombstone(key == null ? new byte[0] : key)
                : NewMessage.of(value).key(key);
        if (args.hasNonNull("partition")) {
            message.partition(args.path("partition").asInt());
        }
        args.path("headers").properties().forEach(header -> message.header(header.getKey(), header.getValue().asText()));
        return message;
    }

    static Acks acks(JsonNode args) {
        return Acks.valueOf(args.path("acks").asText("all").toUpperCase(Locale.ROOT));
    }

    private static byte @Nullable [] bytes(JsonNode args, String name) {
        if (args.hasNonNull(name + "_base64")) {
            return Base64.getDecoder().decode(args.path(name + "_base64").asText());
        }
        return args.hasNonNull(name) ? args.path(name).asText().getBytes(StandardCharsets.UTF_8) : null;
    }

    static ArrayNode write(List<Message> messages) {
        ArrayNode all = JSON.arrayNode();
        messages.forEach(message -> all.add(write(message)));
        return all;
    }

    static ObjectNode write(Message message) {
        ObjectNode reply = JSON.objectNode().put("offset", message.offset());
        put(reply, "key", message.key());
        put(reply, "value", message.value());
        if (!message.headers().isEmpty()) {
            ObjectNode headers = reply.putObject("headers");
            for (Header header : message.headers()) {
                headers.put(header.name(), header.valueAsString());
            }
        }
        return reply;
    }

    private static void put(ObjectNode reply, String name, byte @Nullable [] bytes) {
        if (bytes == null) {
            reply.putNull(name);
            return;
        }
        try {
            reply.put(name, StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString());
        } catch (CharacterCodingException e) {
            reply.put(name + "_base64", Base64.getEncoder().encodeToString(bytes));
        }
    }
}
