package com.firefly.flymq;

import com.firefly.flymq.internal.Codec;
import com.firefly.flymq.internal.Native;
import com.firefly.flymq.internal.NativeObject;
import com.firefly.flymq.serde.Serde;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;

/**
 * Reads a topic record by record: any number of readers, each message held by one of them until it answers. Locks are extended in
 * the background while a message is worked on; a reader that dies gives its messages back. Safe for use from many threads.
 *
 * <pre>{@code
 * try (QueueConsumer queue = client.queue("mails", "senders")) {
 *     for (Message message : queue.poll(Duration.ofSeconds(5))) {
 *         queue.accept(message);
 *     }
 * }
 * }</pre>
 */
public final class QueueConsumer extends NativeObject {
    // How the native side numbers answers.
    private static final int ACCEPT = 0;
    private static final int REJECT = 1;
    private static final int RELEASE = 2;
    private static final int EXTEND = 3;

    private final Supplier<Serde> serde;

    private QueueConsumer(long handle, Supplier<Serde> serde) {
        super(handle, Native::releaseQueue);
        this.serde = serde;
    }

    static QueueConsumer open(long client, String topic, String group, QueueConfig config, Supplier<Serde> serde) {
        return new QueueConsumer(Native.newQueue(client, config.json(topic, group)), serde);
    }

    /** Up to 100 messages, waiting up to {@code timeout} for the first; redeliveries first. */
    public List<Message> poll(Duration timeout) {
        return poll(timeout, 0);
    }

    /** As {@link #poll(Duration)}, at most {@code max} messages. */
    public List<Message> poll(Duration timeout, int max) {
        ByteBuffer in = ByteBuffer.wrap(Native.acquire(handle(), timeout.toMillis(), max));
        int[] counts = new int[in.getInt()];
        for (int i = 0; i < counts.length; i++) {
            counts[i] = in.getInt();
        }
        List<Message> messages = Codec.readMessages(in, serde.get());
        List<Message> held = new ArrayList<>(counts.length);
        for (int i = 0; i < counts.length; i++) {
            held.add(messages.get(i).delivered(counts[i]));
        }
        return held;
    }

    /**
     * It is processed.
     *
     * @throws com.firefly.flymq.exception.RecordNotHeldException its lock has ended: another reader gets it
     */
    public void accept(Message message) {
        accept(List.of(message));
    }

    /** As {@link #accept(Message)}: of each partition all of them, or none. */
    public void accept(List<Message> messages) {
        answer(ACCEPT, messages, "");
    }

    /** It could not be processed: it comes again later, and goes to the dead letters in the end. */
    public Failure nack(Message message, String reason) {
        byte[] failure = Native.nack(handle(), message.partition(), message.offset(), Codec.utf8(reason));
        return Codec.readFailure(ByteBuffer.wrap(failure));
    }

    /** Nobody can process it: it goes to the dead letters at once. */
    public void reject(Message message, String reason) {
        answer(REJECT, List.of(message), reason);
    }

    /** Gives it back as it was: another reader gets it at once. */
    public void release(Message message) {
        answer(RELEASE, List.of(message), "");
    }

    /** Holds it for another lock from now, beside what is done in the background. */
    public void extend(Message message) {
        answer(EXTEND, List.of(message), "");
    }

    private void answer(int kind, List<Message> messages, String reason) {
        Native.answer(handle(), kind, Codec.writePositions(messages), Codec.utf8(reason));
    }

    /** Gives back what is held. */
    @Override
    public void close() {
        try {
            Native.closeQueue(handle());
        } finally {
            release();
        }
    }
}
