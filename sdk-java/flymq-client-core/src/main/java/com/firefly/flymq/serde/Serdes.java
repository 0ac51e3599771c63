package com.firefly.flymq.serde;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.firefly.flymq.exception.ErrorInfo;
import com.firefly.flymq.exception.InvalidArgumentException;
import com.firefly.flymq.exception.SerializationException;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.function.Supplier;

/** Serdes by name: those that come with the client, and those that were added. */
public final class Serdes {
    /** Bytes as they are; text is taken as UTF-8. */
    public static final Serde BINARY = new BinarySerde();
    /** UTF-8 text. */
    public static final Serde STRING = new StringSerde();
    /** JSON documents, by Jackson and the modules on the class path. */
    public static final Serde JSON = json(JsonMapper.builder().findAndAddModules().build());

    private static final Set<String> OVER_SCHEMAS = Set.of("avro", "protobuf");
    private static final Map<String, Supplier<Serde>> BY_NAME = new ConcurrentSkipListMap<>(
            Map.of("binary", () -> BINARY, "string", () -> STRING, "json", () -> JSON));

    private Serdes() {}

    /** Makes a serde known by name, for {@code client.setSerde(name)}, in place of what had it. */
    public static void register(String name, Supplier<Serde> make) {
        BY_NAME.put(name, make);
    }

    /** For the client itself: whether the name stands for a serde that asks a client's registry. */
    public static boolean isOverSchemas(String name) {
        return OVER_SCHEMAS.contains(name) && !BY_NAME.containsKey(name);
    }

    /**
     * The serde of a name; {@code avro} and {@code protobuf} need a client: {@link com.firefly.flymq.FlyMQClient#serde(String)}.
     *
     * @throws InvalidArgumentException that lists the names
     */
    public static Serde byName(String name) {
        Supplier<Serde> make = BY_NAME.get(name);
        if (make != null) {
            return make.get();
        }
        Set<String> known = new TreeSet<>(BY_NAME.keySet());
        known.addAll(OVER_SCHEMAS);
        String what = OVER_SCHEMAS.contains(name)
                ? "the serde \"" + name + "\" needs a client, whose registry it asks"
                : "unknown serde \"" + name + "\": use one of " + String.join(", ", known);
        String hint = OVER_SCHEMAS.contains(name)
                ? "Use client.serde(\"" + name + "\")."
                : "Known serdes: " + String.join(", ", known) + ".";
        throw new InvalidArgumentException(ErrorInfo.local("INVALID_ARGUMENT", what, hint));
    }

    /** JSON documents, by a mapper of your own. */
    public static Serde json(ObjectMapper mapper) {
        return new JsonSerde(mapper);
    }

    private static SerializationException unfit(String what, Throwable cause) {
        String hint = "Send what the active serde takes, or choose another one: client.setSerde(Serdes.JSON).";
        SerializationException failure =
                new SerializationException(ErrorInfo.local("INVALID_ARGUMENT", what, hint));
        failure.initCause(cause);
        return failure;
    }

    private static SerializationException unfit(String serde, Class<?> type) {
        String hint = "Choose a serde that knows it: client.setSerde(Serdes.JSON).";
        String what = "the serde " + serde + " does not know " + type.getName();
        return new SerializationException(ErrorInfo.local("INVALID_ARGUMENT", what, hint));
    }

    private record BinarySerde() implements Serde {
        @Override
        public byte[] serialize(Object value) {
            if (value instanceof byte[] bytes) {
                return bytes;
            }
            if (value instanceof CharSequence text) {
                return text.toString().getBytes(StandardCharsets.UTF_8);
            }
            throw unfit("BINARY", value.getClass());
        }

        @Override
        public <T> T deserialize(byte[] value, Class<T> type) {
            if (type == byte[].class) {
                return type.cast(value);
            }
            if (type == String.class) {
                return type.cast(new String(value, StandardCharsets.UTF_8));
            }
            throw unfit("BINARY", type);
        }
    }

    private record StringSerde() implements Serde {
        @Override
        public byte[] serialize(Object value) {
            if (value instanceof CharSequence text) {
                return text.toString().getBytes(StandardCharsets.UTF_8);
            }
            throw unfit("STRING", value.getClass());
        }

        @Override
        public <T> T deserialize(byte[] value, Class<T> type) {
            if (!type.isAssignableFrom(String.class)) {
                throw unfit("STRING", type);
            }
            try {
                // A new decoder reports what is no UTF-8; String's constructor would put something else in its place.
                return type.cast(StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(value)).toString());
            } catch (CharacterCodingException e) {
                throw unfit("the value is no UTF-8 text", e);
            }
        }
    }

    private record JsonSerde(ObjectMapper mapper) implements Serde {
        @Override
        public byte[] serialize(Object value) {
            try {
                return mapper.writeValueAsBytes(value);
            } catch (JsonProcessingException e) {
                String what = value.getClass().getName() + " cannot be written as JSON: " + e.getOriginalMessage();
                throw unfit(what, e);
            }
        }

        @Override
        public <T> T deserialize(byte[] value, Class<T> type) {
            try {
                return mapper.readValue(value, type);
            } catch (JsonProcessingException e) {
                throw unfit("the value is no " + type.getName() + " in JSON: " + e.getOriginalMessage(), e);
            } catch (IOException e) {
                throw unfit("the value cannot be read: " + e.getMessage(), e);
            }
        }
    }
}
