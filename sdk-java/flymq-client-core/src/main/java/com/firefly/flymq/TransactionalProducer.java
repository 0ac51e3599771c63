package com.firefly.flymq;

import com.firefly.flymq.exception.FlyMQException;
import com.firefly.flymq.internal.Codec;
import com.firefly.flymq.internal.Native;
import com.firefly.flymq.internal.NativeObject;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * Sends messages in transactions under a transactional id, the producer's name over its restarts. Another producer of the same id
 * fences this one, and aborts what it left open: its next call throws a
 * {@link com.firefly.flymq.exception.ProducerFencedException}. One transaction at a time, so one thread at a time.
 *
 * <pre>{@code
 * try (TransactionalProducer producer = client.transactionalProducer("mill-1")) {
 *     try (TransactionalProducer.Scope transaction = producer.begin()) {
 *         transaction.send("flour", NewMessage.of("..."));
 *         transaction.commit();
 *     }
 * }
 * }</pre>
 */
public final class TransactionalProducer extends NativeObject {
    private TransactionalProducer(long handle) {
        super(handle, Native::releaseTransactional);
    }

    static TransactionalProducer open(long client, String id, Duration timeout) {
        return new TransactionalProducer(Native.newTransactional(client, Codec.utf8(id), timeout.toMillis()));
    }

    /** A transaction that is open. Closed without a commit, it is aborted. */
    public final class Scope implements AutoCloseable {
        private boolean over;
        private final Runnable onAbort;

        private Scope(Runnable onAbort) {
            this.onAbort = onAbort;
        }

        /** Stores a message, which is read once the transaction is committed. */
        public RecordMetadata send(String topic, NewMessage message) {
            return sendAll(topic, List.of(message)).get(0);
        }

        /** As {@link #send(String, NewMessage)}, without a key. */
        public RecordMetadata send(String topic, byte[] value) {
            return send(topic, NewMessage.of(value));
        }

        /** Stores messages, one batch for each partition; the metadata comes in their order. */
        public List<RecordMetadata> sendAll(String topic, List<NewMessage> messages) {
            byte[] stored = Native.sendInTransaction(handle(), Codec.utf8(topic), Codec.write(messages));
            return Codec.readStored(ByteBuffer.wrap(stored), topic);
        }

        /** Commits offsets of a group with the transaction: for each partition the next one to read. */
        public void sendOffsets(String group, Map<TopicPartition, Long> offsets) {
            Native.sendOffsets(handle(), Codec.utf8(group), Codec.writeOffsets(offsets));
        }

        /** Commits the offsets behind what a consumer has polled, as that member of its group, with the transaction. */
        public void sendPolled(Consumer consumer, List<Message> messages) {
            Native.sendPolled(handle(), consumer.nativeHandle(), Codec.writeOffsets(offsetsBehind(messages)));
        }

        /** Commits: all of it can be read when this returns. After an error of the way there it may be called again. */
        public void commit() {
            Native.commitTransaction(handle());
            over = true;
        }

        /** Aborts, unless it was committed: nobody reads what was sent. */
        @Override
        public void close() {
            if (over) {
                return;
            }
            over = true;
            onAbort.run();
            abortQuietly();
        }
    }

    /** What a transaction does. */
    @FunctionalInterface
    public interface Work<E extends Exception> {
        void in(Scope transaction) throws E;
    }

    /** Begins its life anew under its id: after a fenced call, if this process is the one that may. */
    public void init() {
        Native.initTransactional(handle());
    }

    /** Begins a transaction; one that is open is aborted before. */
    public Scope begin() {
        Native.beginTransaction(handle());
        return new Scope(() -> {});
    }

    /** Runs {@code work} in a transaction: committed when it returns, aborted when it throws. */
    public <E extends Exception> void inTransaction(Work<E> work) throws E {
        try (Scope transaction = begin()) {
            work.in(transaction);
            transaction.commit();
        }
    }

    /**
     * Runs {@code work} on what a member of a group has polled (without auto-commit): the offsets behind the messages are committed with
     * what the work sends. When it fails, the consumer's next poll goes on from what the group has committed.
     */
    public <E extends Exception> void inTransaction(Consumer consumer, List<Message> messages, Work<E> work) throws E {
        Native.beginTransaction(handle());
        try (Scope transaction = new Scope(() -> rewind(consumer, messages))) {
            work.in(transaction);
            transaction.sendPolled(consumer, messages);
            transaction.commit();
        }
    }

    /**
     * Exactly once: what {@code make} returns for each message is stored with the offsets behind them, in one transaction. The consumer
     * is a member of a group, without auto-commit. When this throws, nothing of it counts unless all of it does, and the next poll goes on
     * from what the group has committed: just poll again (after {@link #init}, where it was fenced).
     *
     * @throws com.firefly.flymq.exception.RebalanceException the partitions are another member's by now
     */
    public void transform(Consumer consumer, List<Message> messages, Function<Message, List<ProducerRecord>> make) {
        boolean done = false;
        try {
            List<ProducerRecord> made = new ArrayList<>();
            messages.forEach(message -> made.addAll(make.apply(message)));
            byte[] offsets = Codec.writeOffsets(offsetsBehind(messages));
            Native.transform(handle(), consumer.nativeHandle(), offsets, Codec.writeRecords(made));
            done = true;
        } finally {
            if (!done) {
                rewind(consumer, messages);
            }
        }
    }

    private static void rewind(Consumer consumer, List<Message> messages) {
        Native.rewind(consumer.nativeHandle(), Codec.writeOffsets(offsetsBehind(messages)));
    }

    private static Map<TopicPartition, Long> offsetsBehind(List<Message> messages) {
        Map<TopicPartition, Long> behind = new HashMap<>();
        messages.forEach(message ->
                behind.merge(new TopicPartition(message.topic(), message.partition()), message.offset() + 1, Math::max));
        return behind;
    }

    private void abortQuietly() {
        try {
            Native.abortTransaction(handle());
        } catch (FlyMQException e) {
            // It tells nothing that the failure before does not; the timeout aborts it as well.
            return;
        }
    }

    /** Aborts what is open. */
    @Override
    public void close() {
        abortQuietly();
        release();
    }
}
