package com.firefly.flymq.serde;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.firefly.flymq.exception.ErrorInfo;
import com.firefly.flymq.exception.SerializationException;

import java.io.IOException;
import java.nio.charset.StandardCharsets;

/** The serdes that come with the client. */
public final class Serdes {
    /** Bytes as they are; text is taken as UTF-8. */
    public static final Serde BINARY = new BinarySerde();
    /** UTF-8 text. */
    public static final Serde STRING = new StringSerde();
    /** JSON documents, by Jackson and the modules on the class path. */
    public static final Serde JSON = json(JsonMapper.builder().findAndAddModules().build());

    private Serdes() {}

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
            if (type.isAssignableFrom(String.class)) {
                return type.cast(new String(value, StandardCharsets.UTF_8));
            }
            throw unfit("STRING", type);
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
