package com.firefly.flymq;

import com.firefly.flymq.internal.Json;

import org.jspecify.annotations.Nullable;

import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;

/** Settings of a reader in queue mode. */
public final class QueueConfig {
    private Duration lock = Duration.ofSeconds(30);
    private Duration hold = Duration.ofMinutes(10);
    private boolean ordered;
    private OffsetReset autoOffsetReset = OffsetReset.EARLIEST;
    private @Nullable Integer maxRetries;
    private @Nullable Duration retryDelay;

    /** How long a message is held (1 s to 15 min): a reader that dies gives it back by then. */
    public QueueConfig lock(Duration lock) {
        this.lock = lock;
        return this;
    }

    /** So long a message that is not answered for is held on, by extending its lock in the background. Zero: for one lock alone. */
    public QueueConfig hold(Duration hold) {
        this.hold = hold;
        return this;
    }

    /** Messages of one key come one at a time, in order. */
    public QueueConfig ordered(boolean ordered) {
        this.ordered = ordered;
        return this;
    }

    /** Where a group without committed offset begins; with the first message unless set. */
    public QueueConfig autoOffsetReset(OffsetReset autoOffsetReset) {
        this.autoOffsetReset = autoOffsetReset;
        return this;
    }

    /** Redeliveries before a message goes to the dead letters; the broker's setting unless set. */
    public QueueConfig maxRetries(int maxRetries) {
        this.maxRetries = maxRetries;
        return this;
    }

    /** Wait before the first redelivery, doubled each time; the broker's setting unless set. */
    public QueueConfig retryDelay(Duration retryDelay) {
        this.retryDelay = retryDelay;
        return this;
    }

    /** As the native side reads it. */
    byte[] json(String topic, String group) {
        Map<String, Object> settings = new LinkedHashMap<>();
        settings.put("topic", topic);
        settings.put("group", group);
        settings.put("lock_ms", lock.toMillis());
        settings.put("hold_ms", hold.toMillis());
        settings.put("ordered", ordered);
        settings.put("latest", autoOffsetReset == OffsetReset.LATEST);
        settings.put("max_retries", maxRetries);
        settings.put("retry_delay_ms", retryDelay == null ? null : retryDelay.toMillis());
        return Json.write(settings);
    }
}
