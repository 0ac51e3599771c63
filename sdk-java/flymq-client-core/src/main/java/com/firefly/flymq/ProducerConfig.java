package com.firefly.flymq;

import com.firefly.flymq.internal.Json;

import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;

/** Settings of a batching producer. */
public final class ProducerConfig {
    private int batchSize = 16_384;
    private int maxBatchMessages = 1_000;
    private Duration linger = Duration.ZERO;
    private Acks acks = Acks.ALL;
    private int retries = 3;
    private Duration retryBackoff = Duration.ofMillis(100);
    private int maxInFlight = 5;
    private int bufferBytes = 32 << 20;
    private Duration deliveryTimeout = Duration.ofSeconds(120);
    private String compressionType = "none";
    private Integer compressionLevel;
    private boolean enableIdempotence = true;

    /** Bytes after which a batch is sent without waiting. */
    public ProducerConfig batchSize(int batchSize) {
        this.batchSize = batchSize;
        return this;
    }

    /** Messages after which a batch is sent without waiting. */
    public ProducerConfig maxBatchMessages(int maxBatchMessages) {
        this.maxBatchMessages = maxBatchMessages;
        return this;
    }

    /** How long a batch that is not full may wait for more. */
    public ProducerConfig linger(Duration linger) {
        this.linger = linger;
        return this;
    }

    /** What a message's future waits for. */
    public ProducerConfig acks(Acks acks) {
        this.acks = acks;
        return this;
    }

    /** Repeats of a batch that failed without an effect. */
    public ProducerConfig retries(int retries) {
        this.retries = retries;
        return this;
    }

    /** Wait before the first repeat; it doubles each time. */
    public ProducerConfig retryBackoff(Duration retryBackoff) {
        this.retryBackoff = retryBackoff;
        return this;
    }

    /** Batches of one partition that may be on their way at once. Without idempotence only 1 keeps the order over repeats. */
    public ProducerConfig maxInFlight(int maxInFlight) {
        this.maxInFlight = maxInFlight;
        return this;
    }

    /** Bytes that may wait or be on their way; {@code send} waits for room above it. */
    public ProducerConfig bufferBytes(int bufferBytes) {
        this.bufferBytes = bufferBytes;
        return this;
    }

    /** From {@code send} to the answer, repeats included. */
    public ProducerConfig deliveryTimeout(Duration deliveryTimeout) {
        this.deliveryTimeout = deliveryTimeout;
        return this;
    }

    /**
     * How batches are compressed: {@code none}, {@code gzip}, {@code lz4}, {@code zstd} or {@code snappy}. A batch that would not
     * get smaller is sent as it is; consumers need no setting. Another name is refused when the producer is made.
     */
    public ProducerConfig compressionType(String compressionType) {
        this.compressionType = compressionType;
        return this;
    }

    /** Level of gzip (0-9, 6 unless set) and zstd (1-22, 1 unless set); others are moved to the nearest. */
    public ProducerConfig compressionLevel(int compressionLevel) {
        this.compressionLevel = compressionLevel;
        return this;
    }

    /**
     * Each message is stored once and in order, also where a batch is sent again because its answer was lost; so it is unless this is
     * false. With acks other than all it has no effect.
     */
    public ProducerConfig enableIdempotence(boolean enableIdempotence) {
        this.enableIdempotence = enableIdempotence;
        return this;
    }

    /** As the native side reads it. */
    byte[] json() {
        Map<String, Object> settings = new LinkedHashMap<>();
        settings.put("batch_bytes", batchSize);
        settings.put("batch_messages", maxBatchMessages);
        settings.put("linger_ms", linger.toMillis());
        settings.put("acks", acks.number());
        settings.put("retries", retries);
        settings.put("retry_backoff_ms", retryBackoff.toMillis());
        settings.put("max_in_flight", maxInFlight);
        settings.put("buffer_bytes", bufferBytes);
        settings.put("delivery_timeout_ms", deliveryTimeout.toMillis());
        settings.put("compression_type", compressionType);
        settings.put("compression_level", compressionLevel);
        settings.put("enable_idempotence", enableIdempotence);
        return Json.write(settings);
    }
}
