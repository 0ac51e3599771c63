package com.firefly.flymq;

import com.firefly.flymq.internal.Codec;
import com.firefly.flymq.internal.Native;
import com.firefly.flymq.internal.NativeObject;
import com.firefly.flymq.serde.Serde;

import org.jspecify.annotations.Nullable;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.List;
import java.util.function.Supplier;

/**
 * Reads topics as a member of a consumer group, or alone. Delivery is at least once: {@link #poll} commits, with auto-commit,
 * only what earlier polls handed out. Threads may share it, but then their calls wait for each other; {@link #close} from
 * another thread ends a poll that waits.
 */
public final class Consumer extends NativeObject {
    private static final String ALL_TOPICS = "";

    private final Supplier<Serde> serde;

    private Consumer(long handle, Supplier<Serde> serde) {
        super(handle, Native::releaseConsumer);
        this.serde = serde;
    }

    static Consumer open(
            long client, List<String> topics, @Nullable String group, ConsumerConfig config, Supplier<Serde> serde) {
        return new Consumer(Native.newConsumer(client, config.json(topics, group)), serde);
    }

    /**
     * Finds the partitions and where each begins. Without it the first {@link #poll} does so; with it, "latest" means this moment.
     *
     * @throws com.firefly.flymq.exception.TopicNotFoundException when a topic does not exist
     */
    public void subscribe() {
        Native.start(handle());
    }

    /** Messages as they come; waits up to {@code timeout} for the first, empty when none came. */
    public List<Message> poll(Duration timeout) {
        return poll(timeout, 0);
    }

    /** As {@link #poll(Duration)}, at most {@code max} messages (0: the configuration's). */
    public List<Message> poll(Duration timeout, int max) {
        byte[] messages = Native.poll(handle(), timeout.toMillis(), max);
        return Codec.readMessages(ByteBuffer.wrap(messages), serde.get());
    }

    /** Commits what was handed out so far; durable when it returns. Nothing to do without a group. */
    public void commit() {
        Native.commit(handle());
    }

    /** The next poll reads the partition from {@code offset}, in every subscribed topic that has it. */
    public void seek(int partition, long offset) {
        Native.seek(handle(), Codec.utf8(ALL_TOPICS), partition, offset);
    }

    /** The next poll reads the partition of this topic from {@code offset}. */
    public void seek(String topic, int partition, long offset) {
        Native.seek(handle(), Codec.utf8(topic), partition, offset);
    }

    /** The next poll reads all partitions from their first message. */
    public void seekToBeginning() {
        Native.seekToEdge(handle(), false);
    }

    /** The next poll reads only what comes from now on. */
    public void seekToEnd() {
        Native.seekToEdge(handle(), true);
    }

    /** The next offset that a poll hands out of a partition (of the first topic that has it). */
    public long position(int partition) {
        return Native.position(handle(), partition);
    }

    /** Commits (with auto-commit) and stops. */
    @Override
    public void close() {
        try {
            Native.closeConsumer(handle());
        } finally {
            release();
        }
    }
}
