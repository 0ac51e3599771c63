package io.flymq.bench;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

/** Sends at a fixed rate whatever the answers do (open loop) and times each message from the moment it was due. */
final class EndToEnd {
    private static final long GIVE_UP_NANOS = 600_000_000_000L;
    private final Options options;
    private final int total;
    private final long[] latencies;
    private final AtomicLong failed = new AtomicLong();
    private final Payload values;
    /** Due time of message 0, in {@link System#nanoTime} units; set before the first send. */
    private volatile long start;

    private EndToEnd(Options options) {
        this.options = options;
        total = options.warmup() + options.rate() * options.seconds();
        latencies = new long[total];
        values = new Payload(options.size());
    }

    static Result run(Options options) throws Exception {
        Kafka.ensureTopic(options);
        EndToEnd run = new EndToEnd(options);
        ExecutorService reader = Executors.newSingleThreadExecutor();
        try (KafkaConsumer<byte[], byte[]> consumer = Kafka.consumer(options);
                KafkaProducer<byte[], byte[]> producer = Kafka.producer(options)) {
            consumer.seekToBeginning(consumer.assignment());
            consumer.poll(Duration.ofMillis(500));
            producer.partitionsFor(options.topic());
            run.start = System.nanoTime() + 50_000_000L;
            Future<?> read = reader.submit(() -> run.readAll(consumer));
            run.sendAll(producer);
            read.get(10, TimeUnit.MINUTES);
            return run.result();
        } finally {
            reader.shutdownNow();
        }
    }

    private Result result() {
        int measured = total - options.warmup();
        Map<String, Object> flags = new LinkedHashMap<>();
        flags.put("size", options.size());
        flags.put("rate", options.rate());
        flags.put("linger.ms", options.batch() ? Kafka.LINGER_MS : 0);
        return new Result(measured, (long) measured * options.size(), (System.nanoTime() - due(options.warmup())) / 1e9,
                failed.get(), Arrays.copyOfRange(latencies, options.warmup(), total), flags);
    }

    private long due(int i) {
        return start + i * 1_000_000_000L / options.rate();
    }

    private void sendAll(KafkaProducer<byte[], byte[]> producer) {
        for (int i = 0; i < total; i++) {
            for (long wait = due(i) - System.nanoTime(); wait > 0; wait = due(i) - System.nanoTime()) {
                LockSupport.parkNanos(wait);
            }
            producer.send(new ProducerRecord<>(options.topic(), 0, null, values.numbered(i)), (metadata, error) -> {
                if (error != null) {
                    failed.incrementAndGet();
                }
            });
        }
        producer.flush();
    }

    private Void readAll(KafkaConsumer<byte[], byte[]> consumer) throws TimeoutException {
        long deadline = System.nanoTime() + GIVE_UP_NANOS;
        for (int seen = 0; seen < total;) {
            if (System.nanoTime() > deadline) {
                throw new TimeoutException("not every message arrived in time");
            }
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                int i = (int) ByteBuffer.wrap(record.value()).getLong(0);
                latencies[i] = System.nanoTime() - due(i);
                seen++;
            }
        }
        return null;
    }
}
