package com.firefly.flymq;

import com.firefly.flymq.internal.Codec;
import com.firefly.flymq.internal.Native;
import com.firefly.flymq.internal.NativeObject;
import com.firefly.flymq.serde.Serde;

import org.jspecify.annotations.Nullable;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Supplier;

/**
 * Reads topics as a member of a consumer group, whose members share the partitions of their topics, or alone. Delivery is at least once: {@link #poll} commits, with auto-commit,
 * only what earlier polls handed out. Threads may share it, but then their calls wait for each other; {@link #close} from
 * another thread ends a poll that waits.
 */
public final class Consumer extends NativeObject {
    private static final String ALL_TOPICS = "";
    // What a step of the native side may be, beside messages.
    private static final byte ASSIGNED = 1;
    private static final byte REVOKED = 2;
    private static final byte LOST = 3;

    private final Supplier<Serde> serde;
    private final @Nullable RebalanceListener listener;
    private final AtomicBoolean closed = new AtomicBoolean();

    private Consumer(long handle, @Nullable RebalanceListener listener, Supplier<Serde> serde) {
        super(handle, Native::releaseConsumer);
        this.listener = listener;
        this.serde = serde;
    }

    static Consumer open(
            long client, List<String> topics, @Nullable String group, ConsumerConfig config, Supplier<Serde> serde) {
        return new Consumer(Native.newConsumer(client, config.json(topics, group)), config.rebalanceListener(), serde);
    }

    long nativeHandle() {
        return handle();
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
        if (listener == null) {
            byte[] messages = Native.poll(handle(), timeout.toMillis(), max);
            return Codec.readMessages(ByteBuffer.wrap(messages), serde.get());
        }
        return pollAndTell(listener, timeout, max);
    }

    private List<Message> pollAndTell(RebalanceListener told, Duration timeout, int max) {
        long end = System.nanoTime() + timeout.toNanos();
        while (true) {
            long left = Math.max(0, TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime()));
            ByteBuffer step = ByteBuffer.wrap(Native.pollStep(handle(), left, max));
            switch (step.get()) {
                case ASSIGNED -> told.onAssign(Codec.readPlaces(step));
                case REVOKED -> told.onRevoke(Codec.readPlaces(step));
                case LOST -> told.onLost(Codec.readPlaces(step));
                default -> {
                    return Codec.readMessages(step, serde.get());
                }
            }
        }
    }

    /** The partitions that it reads; none before the first poll. */
    public List<TopicPartition> assignment() {
        return Codec.readPlaces(ByteBuffer.wrap(Native.assignment(handle())));
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
            if (closed.compareAndSet(false, true) && listener != null) {
                giveUp(listener);
            }
        } finally {
            closeNative();
        }
    }

    private void giveUp(RebalanceListener told) {
        Native.interruptConsumer(handle());
        List<TopicPartition> owned = assignment();
        if (!owned.isEmpty()) {
            told.onRevoke(owned);
        }
    }

    private void closeNative() {
        try {
            Native.closeConsumer(handle());
        } finally {
            release();
        }
    }
}
