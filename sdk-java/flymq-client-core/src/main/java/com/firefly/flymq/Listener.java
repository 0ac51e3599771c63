package com.firefly.flymq;

import com.firefly.flymq.exception.FlyMQException;
import com.firefly.flymq.internal.Codec;
import com.firefly.flymq.internal.Native;
import com.firefly.flymq.internal.NativeObject;
import com.firefly.flymq.serde.Serde;

import org.jspecify.annotations.Nullable;

import java.lang.System.Logger.Level;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/**
 * Calls a handler with each message of some topics, as a member of a group, in a thread of its own, until it is closed. A message
 * whose handler throws comes again later, here or at another member, while the others go on, and goes to the dead letters in the end:
 * as the broker is set, or by {@link ConsumerConfig#maxRetries} and {@link ConsumerConfig#retryDelay}. {@link Message#deliveryCount}
 * says how often it came. A {@link ConsumerConfig#rebalanceListener} is called in the listener's thread, and at the end by {@link #close};
 * what it throws ends the listener.
 */
public final class Listener extends NativeObject {
    private static final System.Logger LOG = System.getLogger(Listener.class.getName());
    private static final long WAIT_MS = 1_000;
    // What a step of the native side may be, beside a message.
    private static final byte ASSIGNED = 1;
    private static final byte REVOKED = 2;
    private static final byte LOST = 3;

    private final MessageHandler handler;
    private final @Nullable RebalanceListener told;
    private final Supplier<Serde> serde;
    private final CountDownLatch closing = new CountDownLatch(1);
    private final Thread thread;
    private volatile @Nullable RuntimeException failure;

    private Listener(
            long handle,
            String group,
            MessageHandler handler,
            @Nullable RebalanceListener told,
            Supplier<Serde> serde) {
        super(handle, Native::releaseListener);
        this.told = told;
        this.handler = handler;
        this.serde = serde;
        this.thread = new Thread(this::run, "flymq-listener-" + group);
        thread.setDaemon(true);
    }

    static Listener start(
            long client,
            List<String> topics,
            String group,
            ConsumerConfig config,
            MessageHandler handler,
            Supplier<Serde> serde) {
        long handle = Native.newListener(client, config.json(topics, group));
        Listener listener = new Listener(handle, group, handler, config.rebalanceListener(), serde);
        listener.thread.start();
        return listener;
    }

    /** What ended it before it was closed: a failure of the reading that does not pass by itself. */
    public Optional<RuntimeException> failure() {
        return Optional.ofNullable(failure);
    }

    private void run() {
        try {
            while (closing.getCount() > 0) {
                step();
            }
        } catch (RuntimeException e) {
            LOG.log(Level.ERROR, "the listener ends", e);
            failure = e;
        }
    }

    private void step() {
        try {
            byte[] work = Native.nextWork(handle(), WAIT_MS);
            if (work.length > 0) {
                take(ByteBuffer.wrap(work));
            }
        } catch (FlyMQException e) {
            if (!e.retryable()) {
                throw e;
            }
            LOG.log(Level.WARNING, "the listener tries again", e);
            pause();
        }
    }

    private void take(ByteBuffer step) {
        byte kind = step.get();
        if (kind == 0) {
            int times = step.getInt();
            handle(Codec.readMessages(step, serde.get()).get(0).delivered(times));
        } else if (told != null) {
            tell(told, kind, Codec.readPlaces(step));
        }
    }

    private static void tell(RebalanceListener told, byte kind, List<TopicPartition> places) {
        switch (kind) {
            case ASSIGNED -> told.onAssign(places);
            case REVOKED -> told.onRevoke(places);
            case LOST -> told.onLost(places);
            default -> throw new IllegalStateException("the native library told a step of kind " + kind);
        }
    }

    private void handle(Message message) {
        try {
            handler.handle(message);
        } catch (Exception e) {
            tell(e, Codec.readFailure(ByteBuffer.wrap(Native.workFailed(handle(), Codec.utf8(e.toString())))));
            return;
        }
        Native.workDone(handle());
    }

    private static void tell(Exception cause, Failure told) {
        if (told.deadLettered()) {
            LOG.log(Level.ERROR, "a message failed " + told.attempts() + " times and is a dead letter now", cause);
        } else {
            LOG.log(Level.WARNING, "a message failed, and comes again in " + told.retryAfter(), cause);
        }
    }

    private void pause() {
        try {
            if (closing.await(WAIT_MS, TimeUnit.MILLISECONDS)) {
                return;
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void giveUp() {
        List<TopicPartition> owned = Codec.readPlaces(ByteBuffer.wrap(Native.listenerAssignment(handle())));
        if (told != null && !owned.isEmpty()) {
            told.onRevoke(owned);
        }
    }

    /** Ends after the message at hand, commits (with auto-commit) and leaves the group. */
    @Override
    public void close() {
        closing.countDown();
        try {
            Native.interruptListener(handle());
            if (Thread.currentThread() != thread) {
                thread.join(Duration.ofMinutes(1).toMillis());
            }
            giveUp();
            Native.closeListener(handle());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            release();
        }
    }
}
