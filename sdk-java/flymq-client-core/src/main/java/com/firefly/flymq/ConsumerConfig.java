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
    private IsolationLevel isolationLevel = IsolationLevel.READ_COMMITTED;
    private boolean membership = true;
    private Duration sessionTimeout = Duration.ZERO;
    private Duration rebalanceTimeout = Duration.ZERO;
    private String assignor = "";
    private @Nullable String groupInstanceId;
    private @Nullable RebalanceListener rebalanceListener;
    private @Nullable Integer maxRetries;
    private @Nullable Duration retryDelay;

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

    /**
     * Only messages that match, as the server sees them: text whatever its case, a regular expression, {@code $.path} in JSON, or
     * {@code cel:} and an expression, such as {@code cel:value.total > 100}.
     */
    public ConsumerConfig filter(String filter) {
        this.filter = filter;
        return this;
    }

    /** What is read of transactions; committed ones alone unless set. */
    public ConsumerConfig isolationLevel(IsolationLevel isolationLevel) {
        this.isolationLevel = isolationLevel;
        return this;
    }

    /**
     * Whether a consumer with a group shares the group's partitions with its other members, as it does unless this is false; then it
     * reads all partitions of its topics, whoever else is in the group.
     */
    public ConsumerConfig membership(boolean membership) {
        this.membership = membership;
        return this;
    }

    /** How long a member may be silent before others get its partitions; the server's 10 s unless set. */
    public ConsumerConfig sessionTimeout(Duration sessionTimeout) {
        this.sessionTimeout = sessionTimeout;
        return this;
    }

    /** How long a member may go without a poll while partitions move; the server's 60 s unless set. */
    public ConsumerConfig rebalanceTimeout(Duration rebalanceTimeout) {
        this.rebalanceTimeout = rebalanceTimeout;
        return this;
    }

    /** How partitions are shared out: {@code cooperative} (unless set), {@code sticky} or {@code range}; what most members ask for counts. */
    public ConsumerConfig assignor(String assignor) {
        this.assignor = assignor;
        return this;
    }

    /** Makes it a static member: a process that starts again under the same id within the session keeps its partitions. */
    public ConsumerConfig groupInstanceId(String groupInstanceId) {
        this.groupInstanceId = groupInstanceId;
        return this;
    }

    /** Who hears of partitions that come and go. */
    public ConsumerConfig rebalanceListener(RebalanceListener rebalanceListener) {
        this.rebalanceListener = rebalanceListener;
        return this;
    }

    /** Of a {@link Listener}: redeliveries before a message goes to the dead letters; the broker's setting unless set. */
    public ConsumerConfig maxRetries(int maxRetries) {
        this.maxRetries = maxRetries;
        return this;
    }

    /** Of a {@link Listener}: wait before the first redelivery, doubled each time; the broker's setting unless set. */
    public ConsumerConfig retryDelay(Duration retryDelay) {
        this.retryDelay = retryDelay;
        return this;
    }

    @Nullable RebalanceListener rebalanceListener() {
        return rebalanceListener;
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
        settings.put("read_uncommitted", isolationLevel == IsolationLevel.READ_UNCOMMITTED);
        settings.put("membership", membership);
        settings.put("session_timeout_ms", sessionTimeout.toMillis());
        settings.put("rebalance_timeout_ms", rebalanceTimeout.toMillis());
        settings.put("assignor", assignor);
        settings.put("group_instance_id", groupInstanceId);
        settings.put("max_retries", maxRetries);
        settings.put("retry_delay_ms", retryDelay == null ? null : retryDelay.toMillis());
        return Json.write(settings);
    }
}
