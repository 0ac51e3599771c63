package com.firefly.flymq.internal;

import com.firefly.flymq.RecordMetadata;
import com.firefly.flymq.exception.ErrorInfo;
import com.firefly.flymq.exception.ClosedException;

import org.jspecify.annotations.Nullable;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/**
 * The futures of one producer, completed by a daemon thread of its own. It holds no reference to the producer, so that one
 * that is forgotten can be released; the thread ends when the native side has told everything.
 */
public final class Completions {
    private static final long WAIT_MS = 1_000;

    private record Pending(String topic, CompletableFuture<RecordMetadata> future) {}

    private final long handle;
    private final AtomicLong next = new AtomicLong();
    private final Map<Long, Pending> pending = new ConcurrentHashMap<>();
    private final Thread thread;

    public Completions(long handle) {
        this.handle = handle;
        this.thread = new Thread(this::run, "flymq-completions-" + handle);
        thread.setDaemon(true);
        thread.start();
    }

    /** Keeps a future under a new id. */
    public long add(String topic, CompletableFuture<RecordMetadata> future) {
        long id = next.getAndIncrement();
        pending.put(id, new Pending(topic, future));
        return id;
    }

    /** Completes a future that the native side never heard of. */
    public void fail(long id, RuntimeException failure) {
        Pending one = pending.remove(id);
        if (one != null) {
            one.future.completeExceptionally(failure);
        }
    }

    /** The futures that are open now. */
    public List<CompletableFuture<RecordMetadata>> open() {
        List<CompletableFuture<RecordMetadata>> futures = new ArrayList<>(pending.size());
        pending.values().forEach(one -> futures.add(one.future));
        return futures;
    }

    /** Whether this is the thread that runs the callbacks: it must not wait for them. */
    public boolean isCallback() {
        return Thread.currentThread() == thread;
    }

    private void run() {
        try {
            byte @Nullable [] told = Native.takeCompletions(handle, WAIT_MS);
            while (told != null) {
                ByteBuffer in = ByteBuffer.wrap(told);
                while (in.hasRemaining()) {
                    complete(in);
                }
                told = Native.takeCompletions(handle, WAIT_MS);
            }
        } finally {
            // Only when the native side failed: no future is left hanging.
            String hint = "The message may have been stored; make a new producer.";
            pending.values().forEach(one -> one.future.completeExceptionally(
                    new ClosedException(ErrorInfo.local("CANCELLED", "the producer is gone", hint))));
        }
    }

    private void complete(ByteBuffer in) {
        long id = in.getLong();
        boolean failed = in.get() != 0;
        Pending one = pending.remove(id);
        if (failed) {
            byte[] document = Codec.take(in, in.getInt());
            if (one != null) {
                one.future.completeExceptionally(Failures.read(document));
            }
        } else {
            RecordMetadata stored = Codec.readOneStored(in, one == null ? "" : one.topic);
            if (one != null) {
                one.future.complete(stored);
            }
        }
    }
}
