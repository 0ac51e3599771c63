package com.firefly.flymq;

import org.jspecify.annotations.Nullable;

import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;

/** A message to send, with all that may be said about it: {@code NewMessage.of(value).key(key).header("h", "1")}. */
public final class NewMessage {
    private final byte @Nullable [] value;
    private byte @Nullable [] key;
    private @Nullable Integer partition;
    private @Nullable Instant timestamp;
    private final List<Header> headers = new ArrayList<>();

    private NewMessage(byte @Nullable [] value) {
        this.value = value;
    }

    public static NewMessage of(byte[] value) {
        return new NewMessage(value);
    }

    public static NewMessage of(String value) {
        return new NewMessage(value.getBytes(StandardCharsets.UTF_8));
    }

    /** A message without value: it deletes its key when the topic is compacted. */
    public static NewMessage tombstone(byte[] key) {
        return new NewMessage(null).key(key);
    }

    /** Messages with the same key go to the same partition, in order. An empty key counts as none. */
    public NewMessage key(byte @Nullable [] key) {
        this.key = key;
        return this;
    }

    public NewMessage key(String key) {
        return key(key.getBytes(StandardCharsets.UTF_8));
    }

    /** Sends it to one partition, whatever the key. */
    public NewMessage partition(int partition) {
        this.partition = partition;
        return this;
    }

    /** When it happened; without: now. */
    public NewMessage timestamp(Instant timestamp) {
        this.timestamp = timestamp;
        return this;
    }

    public NewMessage header(String name, byte[] value) {
        headers.add(new Header(name, value));
        return this;
    }

    public NewMessage header(String name, String value) {
        headers.add(Header.of(name, value));
        return this;
    }

    public byte @Nullable [] value() {
        return value;
    }

    public byte @Nullable [] key() {
        return key;
    }

    public @Nullable Integer partition() {
        return partition;
    }

    public @Nullable Instant timestamp() {
        return timestamp;
    }

    public List<Header> headers() {
        return List.copyOf(headers);
    }
}
