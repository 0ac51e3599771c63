package com.firefly.flymq.spring.webflux;

import com.firefly.flymq.Consumer;
import com.firefly.flymq.Message;

import org.jspecify.annotations.Nullable;

import reactor.core.publisher.FluxSink;
import reactor.core.scheduler.Scheduler;
import reactor.core.scheduler.Schedulers;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;

/**
 * One subscription: polls for exactly what is requested, on a thread of its own, as it waits most of the time: shared ones
 * would all be taken by a few subscriptions. A poll waits a slice at most, so that a cancelled subscription ends soon.
 */
final class PollLoop {
    private static final Duration SLICE = Duration.ofMillis(100);
    private static final int MOST = 500;

    private final FluxSink<Message> sink;
    private final Supplier<Consumer> consumers;
    private final Scheduler scheduler = Schedulers.newSingle("flymq-subscription", true);
    private final Scheduler.Worker worker = scheduler.createWorker();
    /** Requests since the loop began to run; 0: it does not run. */
    private final AtomicInteger wakeUps = new AtomicInteger();
    private volatile boolean stopped;
    // Of the worker's thread only.
    private @Nullable Consumer consumer;

    private PollLoop(FluxSink<Message> sink, Supplier<Consumer> consumers) {
        this.sink = sink;
        this.consumers = consumers;
    }

    static void start(FluxSink<Message> sink, Supplier<Consumer> consumers) {
        PollLoop loop = new PollLoop(sink, consumers);
        loop.worker.schedule(loop::open);
        sink.onDispose(loop::stop);
        sink.onRequest(requested -> loop.wake());
    }

    private void open() {
        if (stopped) {
            return;
        }
        try {
            Consumer made = consumers.get();
            consumer = made;
            made.subscribe();
        } catch (RuntimeException e) {
            sink.error(e);
        }
    }

    private void wake() {
        if (!stopped && wakeUps.getAndIncrement() == 0) {
            worker.schedule(this::run);
        }
    }

    private void run() {
        int seen = wakeUps.get();
        do {
            try {
                drain();
            } catch (RuntimeException e) {
                sink.error(e);
                return;
            }
            seen = wakeUps.addAndGet(-seen);
        } while (seen != 0);
    }

    private void drain() {
        Consumer open = consumer;
        while (open != null && !stopped && sink.requestedFromDownstream() > 0) {
            int most = (int) Math.min(sink.requestedFromDownstream(), MOST);
            List<Message> messages = open.poll(SLICE, most);
            messages.forEach(sink::next);
        }
    }

    private void stop() {
        stopped = true;
        // After the poll that may be running, on the same thread, which ends with it.
        worker.schedule(() -> {
            try {
                if (consumer != null) {
                    consumer.close();
                }
            } finally {
                scheduler.dispose();
            }
        });
    }
}
