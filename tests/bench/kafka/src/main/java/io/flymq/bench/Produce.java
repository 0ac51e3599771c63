package io.flymq.bench;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

/** Sends the messages from all producers at once and waits for every ack. */
final class Produce {
    private final Options options;
    private final List<KafkaProducer<byte[], byte[]>> connections = new ArrayList<>();
    private final AtomicLong failed = new AtomicLong();
    private final Payload values;

    private Produce(Options options) {
        this.options = options;
        values = new Payload(options.size());
        for (int i = 0; i < options.connections(); i++) {
            connections.add(Kafka.producer(options));
        }
    }

    static Result run(Options options) throws Exception {
        Kafka.ensureTopic(options);
        Produce produce = new Produce(options);
        try {
            produce.sendAll(options.warmup());
            produce.failed.set(0);
            long start = System.nanoTime();
            long[] latencies = produce.sendAll(options.messages());
            double seconds = (System.nanoTime() - start) / 1e9;
            return new Result(options.messages(), (long) options.messages() * options.size(), seconds, produce.failed.get(),
                    options.inFlight() == 1 ? latencies : new long[0], produce.flags());
        } finally {
            produce.connections.forEach(KafkaProducer::close);
        }
    }

    private Map<String, Object> flags() {
        Map<String, Object> flags = new LinkedHashMap<>();
        flags.put("size", options.size());
        flags.put("connections", options.connections());
        flags.put("producers", options.producers());
        flags.put("linger.ms", options.batch() ? Kafka.LINGER_MS : 0);
        flags.put("batch.size", Kafka.BATCH_BYTES);
        flags.put("wait_each", options.inFlight() == 1);
        return flags;
    }

    /** Shares {@code total} out over the producers; returns every latency in nanoseconds. */
    private long[] sendAll(int total) throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(options.producers());
        try {
            List<Future<long[]>> parts = new ArrayList<>();
            for (int p = 0; p < options.producers(); p++) {
                int count = total / options.producers() + (p < total % options.producers() ? 1 : 0);
                KafkaProducer<byte[], byte[]> producer = connections.get(p % connections.size());
                parts.add(threads.submit(() -> options.inFlight() == 1 ? oneByOne(producer, count) : pipelined(producer, count)));
            }
            long[] all = new long[0];
            for (Future<long[]> part : parts) {
                long[] some = part.get(10, TimeUnit.MINUTES);
                int before = all.length;
                all = Arrays.copyOf(all, before + some.length);
                System.arraycopy(some, 0, all, before, some.length);
            }
            return all;
        } finally {
            threads.shutdownNow();
        }
    }

    private long[] oneByOne(KafkaProducer<byte[], byte[]> producer, int count) throws Exception {
        long[] latencies = new long[count];
        for (int i = 0; i < count; i++) {
            ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(options.topic(), 0, null, values.value(i));
            long sent = System.nanoTime();
            producer.send(record).get(30, TimeUnit.SECONDS);
            latencies[i] = System.nanoTime() - sent;
        }
        return latencies;
    }

    /** No clock is read per message, so that the client runs at its best. */
    private long[] pipelined(KafkaProducer<byte[], byte[]> producer, int count) {
        for (int i = 0; i < count; i++) {
            producer.send(new ProducerRecord<>(options.topic(), 0, null, values.value(i)), (metadata, error) -> {
                if (error != null) {
                    failed.incrementAndGet();
                }
            });
        }
        producer.flush();
        return new long[0];
    }
}
