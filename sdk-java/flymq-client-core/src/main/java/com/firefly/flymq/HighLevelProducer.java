package com.firefly.flymq;

import com.firefly.flymq.exception.FlyMQException;
import com.firefly.flymq.exception.InterruptedOperationException;
import com.firefly.flymq.exception.ErrorInfo;
import com.firefly.flymq.internal.Codec;
import com.firefly.flymq.internal.Completions;
import com.firefly.flymq.internal.Native;
import com.firefly.flymq.internal.NativeObject;
import com.firefly.flymq.serde.Serde;

import org.jspecify.annotations.Nullable;

import java.nio.ByteBuffer;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.function.Supplier;

/**
 * Sends messages in batches, asynchronously. Safe for use from many threads. Callbacks of its futures run on a thread of the
 * producer's own, one after the other: leave long work to an executor ({@code whenCompleteAsync}).
 */
public final class HighLevelProducer extends NativeObject {
    private final Completions completions;
    private final Supplier<Serde> serde;

    private HighLevelProducer(long handle, Completions completions, Supplier<Serde> serde) {
        super(handle, Native::releaseProducer);
        this.completions = completions;
        this.serde = serde;
    }

    static HighLevelProducer open(long client, ProducerConfig config, Supplier<Serde> serde) {
        ByteBuffer handles = ByteBuffer.wrap(Native.newProducer(client, config.json()));
        return new HighLevelProducer(handles.getLong(), new Completions(handles.getLong()), serde);
    }

    /** Queues a message without key. */
    public CompletableFuture<RecordMetadata> send(String topic, byte[] value) {
        return send(topic, NewMessage.of(value));
    }

    /** Queues a message: mind the order, first the value, then the key. */
    public CompletableFuture<RecordMetadata> send(String topic, byte[] value, byte @Nullable [] key) {
        return send(topic, NewMessage.of(value).key(key));
    }

    /** Queues an object, made into bytes by the client's serde. */
    public CompletableFuture<RecordMetadata> send(String topic, Object value) {
        return send(topic, NewMessage.of(serde.get().serialize(topic, value)));
    }

    /**
     * Queues a message; the future tells where it was stored, or why not. Waits only while the producer's buffer is full, or to
     * learn a new topic's partitions.
     */
    public CompletableFuture<RecordMetadata> send(String topic, NewMessage message) {
        CompletableFuture<RecordMetadata> future = new CompletableFuture<>();
        byte[] encoded = Codec.write(List.of(message));
        long id = completions.add(topic, future);
        try {
            Native.send(handle(), id, Codec.utf8(topic), encoded);
        } catch (FlyMQException e) {
            completions.fail(id, e);
        }
        return future;
    }

    /**
     * Sends everything queued so far and waits until all those futures are complete.
     *
     * @throws FlyMQException the first failure among the messages that were still on their way
     */
    public void flush() {
        List<CompletableFuture<RecordMetadata>> open = completions.open();
        Native.flush(handle());
        waitFor(open);
    }

    /** Flushes, then refuses further messages. Throws as {@link #flush} does. */
    @Override
    public void close() {
        List<CompletableFuture<RecordMetadata>> open = completions.open();
        try {
            Native.closeProducer(handle());
        } finally {
            release();
        }
        waitFor(open);
    }

    private void waitFor(List<CompletableFuture<RecordMetadata>> futures) {
        if (completions.isCallback()) {
            return;
        }
        CompletableFuture<?>[] all = futures.toArray(new CompletableFuture<?>[0]);
        try {
            // Failures are thrown by the native flush; the futures tell their own.
            CompletableFuture.allOf(all).exceptionally(failure -> null).get();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InterruptedOperationException(
                    ErrorInfo.local("INTERRUPTED", "the thread was interrupted while it waited for the callbacks", ""));
        } catch (ExecutionException e) {
            throw new IllegalStateException("a future that swallows failures has none", e);
        }
    }
}
