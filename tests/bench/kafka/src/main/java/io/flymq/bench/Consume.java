package io.flymq.bench;

import java.time.Duration;
import java.util.Map;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;

/** Reads one partition from its first message; a warm-up reads the beginning once before, so that the code is compiled. */
final class Consume {
    private static final long GIVE_UP_NANOS = 600_000_000_000L;

    private Consume() {}

    static Result run(Options options) throws Exception {
        try (KafkaConsumer<byte[], byte[]> consumer = Kafka.consumer(options)) {
            for (int left = options.warmup(); left > 0; left -= options.messages()) {
                consumer.seekToBeginning(consumer.assignment());
                read(consumer, Math.min(left, options.messages()));
            }
            consumer.seekToBeginning(consumer.assignment());
            long start = System.nanoTime();
            long bytes = read(consumer, options.messages());
            double seconds = (System.nanoTime() - start) / 1e9;
            return new Result(options.messages(), bytes, seconds, 0, new long[0], Map.of("max.poll.records", Kafka.POLL_RECORDS));
        }
    }

    /** Returns the value bytes of {@code count} messages. */
    private static long read(KafkaConsumer<byte[], byte[]> consumer, int count) throws TimeoutException {
        long deadline = System.nanoTime() + GIVE_UP_NANOS;
        long bytes = 0;
        for (int seen = 0; seen < count;) {
            if (System.nanoTime() > deadline) {
                throw new TimeoutException("not every message arrived in time");
            }
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                if (seen++ < count) {
                    bytes += record.value().length;
                }
            }
        }
        return bytes;
    }
}
