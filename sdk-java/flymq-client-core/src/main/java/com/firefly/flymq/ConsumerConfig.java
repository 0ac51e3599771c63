package com.firefly.flymq;

import com.firefly.flymq.internal.Json;

import org.jspecify.annotations.Nullable;

import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Settings of a consumer: {@code new ConsumerConfig().autoOffsetReset(OffsetReset.EARLIEST)}. */
public final class ConsumerConfig {
    private OffsetReset autoOffsetReset = OffsetReset.LATEST;
    private boolean enableAutoCommit = true;
    private Duration autoCommitInterval = Duration.ofMillis(5_000);
    private int maxPollRecords = 500;
    private int fetchMaxBytes = 1 << 20;
    private Duration fetchMaxWait = Duration.ofMillis(500);
    private @Nullable String filter;

    /** Where a partition begins that the group has no committed offset for. */
    public ConsumerConfig autoOffsetReset(OffsetReset autoOffsetReset) {
        this.autoOffsetReset = autoOffsetReset;
        return this;
    }

    /** Commits by itself what earlier polls handed out. */
    public ConsumerConfig enableAutoCommit(boolean enableAutoCommit) {
        this.enableAutoCommit = enableAutoCommit;
        return this;
    }

    /** How often, at most. */
    public ConsumerConfig autoCommitInterval(Duration autoCommitInterval) {
        this.autoCommitInterval = autoCommitInterval;
        return this;
    }

    /** Most messages that one poll returns. */
    public ConsumerConfig maxPollRecords(int maxPollRecords) {
        this.maxPollRecords = maxPollRecords;
        return this;
    }

    /** Most bytes that one fetch asks for. */
    public ConsumerConfig fetchMaxBytes(int fetchMaxBytes) {
        this.fetchMaxBytes = fetchMaxBytes;
        return this;
    }

    /** How long the server may hold a fetch that finds nothing. */
    public ConsumerConfig fetchMaxWait(Duration fetchMaxWait) {
        this.fetchMaxWait = fetchMaxWait;
        return this;
    }

    /** Only messages that match (text, regular expression or {@code $.path}); evaluated by the server. Servers that have no filters yet refuse it. */
    public ConsumerConfig filter(String filter) {
        this.filter = filter;
        return this;
    }

    /** As the native side reads it. */
    byte[] json(List<String> topics, @Nullable String group) {
        Map<String, Object> settings = new LinkedHashMap<>();
        settings.put("topics", topics);
        settings.put("group", group);
        settings.put("earliest", autoOffsetReset == OffsetReset.EARLIEST);
        settings.put("auto_commit", enableAutoCommit);
        settings.put("auto_commit_interval_ms", autoCommitInterval.toMillis());
        settings.put("max_poll_records", maxPollRecords);
        settings.put("fetch_max_bytes", fetchMaxBytes);
        settings.put("fetch_max_wait_ms", fetchMaxWait.toMillis());
        settings.put("filter", filter);
        return Json.write(settings);
    }
}
