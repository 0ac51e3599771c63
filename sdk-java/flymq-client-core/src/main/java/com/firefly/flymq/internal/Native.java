package com.firefly.flymq.internal;

import com.firefly.flymq.exception.FlyMQException;

import org.jspecify.annotations.Nullable;

/**
 * The native methods (sdk-java/native). Handles are numbers: a closed one is refused, never followed. Texts and JSON are
 * UTF-8 bytes, records one buffer per call ({@link Codec}). Methods that wait end early when their thread is interrupted.
 */
public final class Native {
    static {
        NativeLibrary.load();
    }

    private Native() {}

    public static native long connect(byte[] config);

    public static native void closeClient(long client);

    public static native void releaseClient(long client);

    public static native byte[] call(long client, byte[] rpc, byte[] request);

    public static native byte[] produce(long client, byte[] topic, int acks, byte[] messages);

    public static native byte[] consume(long client, byte[] topic, int partition, long offset);

    /** With an empty filter: all of them. */
    public static native byte[] fetch(
            long client, byte[] topic, int partition, long offset, int maxMessages, long maxWaitMs, byte[] filter);

    /** Two handles: the producer's, and that of its completions. */
    public static native byte[] newProducer(long client, byte[] config);

    public static native void send(long producer, long id, byte[] topic, byte[] message);

    public static native void flush(long producer);

    public static native void closeProducer(long producer);

    public static native void releaseProducer(long producer);

    /** Empty when none came in time, null when the producer is gone and all were told. */
    public static native byte @Nullable [] takeCompletions(long completions, long timeoutMs);

    public static native long newConsumer(long client, byte[] config);

    public static native void start(long consumer);

    public static native byte[] poll(long consumer, long timeoutMs, int max);

    /** Messages, or partitions that came or went. */
    public static native byte[] pollStep(long consumer, long timeoutMs, int max);

    public static native void interruptConsumer(long consumer);

    public static native byte[] assignment(long consumer);

    public static native void commit(long consumer);

    /** With an empty topic: in every topic of the consumer that has the partition. */
    public static native void seek(long consumer, byte[] topic, int partition, long offset);

    public static native void seekToEdge(long consumer, boolean end);

    public static native long position(long consumer, int partition);

    /** {@code places} as offsets ({@link Codec#writeOffsets}). */
    public static native void rewind(long consumer, byte[] places);

    public static native long newQueue(long client, byte[] config);

    /** Delivery counts, and messages. */
    public static native byte[] acquire(long queue, long timeoutMs, int max);

    /** {@code kind}: 0 accept, 1 reject, 2 release, 3 extend; {@code messages} as {@link Codec#writePositions} has them. */
    public static native void answer(long queue, int kind, byte[] messages, byte[] reason);

    public static native byte[] nack(long queue, int partition, long offset, byte[] reason);

    public static native void closeQueue(long queue);

    public static native void releaseQueue(long queue);

    public static native long newListener(long client, byte[] config);

    /** A delivery count and a message, or partitions that came or went; empty when nothing came. */
    public static native byte[] nextWork(long listener, long timeoutMs);

    public static native byte[] listenerAssignment(long listener);

    public static native void workDone(long listener);

    public static native byte[] workFailed(long listener, byte[] reason);

    public static native void interruptListener(long listener);

    public static native void closeListener(long listener);

    public static native void releaseListener(long listener);

    /** {@code avro} or {@code protobuf}; an empty subject: by topic. */
    public static native long newSerde(long client, byte[] name, byte[] subject);

    /** A JSON document as a framed value. */
    public static native byte[] encode(long serde, byte[] topic, byte[] document);

    /** The JSON document of a framed value. */
    public static native byte[] decode(long serde, byte[] value);

    public static native void releaseSerde(long serde);

    public static native long newTransactional(long client, byte[] id, long timeoutMs);

    public static native void initTransactional(long producer);

    public static native void beginTransaction(long producer);

    public static native void commitTransaction(long producer);

    public static native void abortTransaction(long producer);

    public static native byte[] sendInTransaction(long producer, byte[] topic, byte[] messages);

    public static native void sendOffsets(long producer, byte[] group, byte[] offsets);

    public static native void sendPolled(long producer, long consumer, byte[] offsets);

    public static native void transform(long producer, long consumer, byte[] offsets, byte[] made);

    public static native void releaseTransactional(long producer);

    public static native void closeConsumer(long consumer);

    public static native void releaseConsumer(long consumer);

    /** Called by the native side between the slices of a wait. */
    static boolean isInterrupted() {
        return Thread.currentThread().isInterrupted();
    }

    /** Called by the native side: the exception to throw for a failure. */
    static RuntimeException failure(byte[] document) {
        FlyMQException failure = Failures.read(document);
        // The frames of this border tell nothing.
        StackTraceElement[] trace = failure.getStackTrace();
        int skip = 0;
        while (skip < trace.length && trace[skip].getClassName().startsWith(Native.class.getPackageName() + ".")) {
            skip++;
        }
        failure.setStackTrace(java.util.Arrays.copyOfRange(trace, skip, trace.length));
        return failure;
    }
}
