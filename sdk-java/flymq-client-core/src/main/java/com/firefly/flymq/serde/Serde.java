package com.firefly.flymq.serde;

/** Makes objects into message values, and back. Must be safe for use from many threads. */
public interface Serde {
    /**
     * @throws com.firefly.flymq.exception.SerializationException when the object does not fit
     */
    byte[] serialize(Object value);

    /**
     * As {@link #serialize(Object)}, for a message of {@code topic}; one that goes by the topic overrides it.
     *
     * @throws com.firefly.flymq.exception.SerializationException when the object does not fit
     */
    default byte[] serialize(String topic, Object value) {
        return serialize(value);
    }

    /**
     * @throws com.firefly.flymq.exception.SerializationException when the bytes are no such object
     */
    <T> T deserialize(byte[] value, Class<T> type);
}
