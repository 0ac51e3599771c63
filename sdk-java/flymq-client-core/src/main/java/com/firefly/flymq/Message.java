package com.firefly.flymq;

import com.firefly.flymq.serde.Serde;

import org.jspecify.annotations.Nullable;

import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/** A message that was read. Its byte arrays are not copied: leave them as they are. */
public final class Message {
    private final String topic;
    private final int partition;
    private final long offset;
    private final Instant timestamp;
    private final byte @Nullable [] key;
    private final byte[] value;
    private final boolean tombstone;
    private final List<Header> headers;
    private final Serde serde;
    private final int deliveryCount;

    /** For the SDK itself; messages come from consumers. */
    public Message(
            String topic,
            int partition,
            long offset,
            Instant timestamp,
            byte @Nullable [] key,
            byte[] value,
            boolean tombstone,
            List<Header> headers,
            Serde serde) {
        this(topic, partition, offset, timestamp, key, value, tombstone, headers, serde, 1);
    }

    private Message(
            String topic,
            int partition,
            long offset,
            Instant timestamp,
            byte @Nullable [] key,
            byte[] value,
            boolean tombstone,
            List<Header> headers,
            Serde serde,
            int deliveryCount) {
        this.deliveryCount = deliveryCount;
        this.topic = topic;
        this.partition = partition;
        this.offset = offset;
        this.timestamp = timestamp;
        this.key = key;
        this.value = value;
        this.tombstone = tombstone;
        this.headers = headers;
        this.serde = serde;
    }

    public String topic() {
        return topic;
    }

    public int partition() {
        return partition;
    }

    public long offset() {
        return offset;
    }

    /** The producer's time (milliseconds). */
    public Instant timestamp() {
        return timestamp;
    }

    public byte @Nullable [] key() {
        return key;
    }

    /** Empty for a tombstone. */
    public byte[] value() {
        return value;
    }

    /** The same as {@link #value()}. */
    public byte[] data() {
        return value;
    }

    /** How often it was handed out: 1 at first, more where it failed before. */
    public int deliveryCount() {
        return deliveryCount;
    }

    Message delivered(int times) {
        return new Message(topic, partition, offset, timestamp, key, value, tombstone, headers, serde, times);
    }

    /** A message without value: its key is deleted. */
    public boolean isTombstone() {
        return tombstone;
    }

    public List<Header> headers() {
        return headers;
    }

    /** The last header of that name. */
    public Optional<Header> header(String name) {
        return headers.stream().filter(header -> header.name().equals(name)).reduce((first, second) -> second);
    }

    /** The key as UTF-8 text, null without key. */
    public @Nullable String keyAsString() {
        return key == null ? null : new String(key, StandardCharsets.UTF_8);
    }

    /** The value as UTF-8 text. */
    public String valueAsString() {
        return new String(value, StandardCharsets.UTF_8);
    }

    /** The same as {@link #valueAsString()}. */
    public String dataAsString() {
        return valueAsString();
    }

    /** The value as an object, by the serde that the client had when the message was read. */
    public <T> T decode(Class<T> type) {
        return serde.deserialize(value, type);
    }

    @Override
    public String toString() {
        return "Message[" + topic + "/" + partition + "@" + offset + ", " + value.length + " bytes]";
    }
}
