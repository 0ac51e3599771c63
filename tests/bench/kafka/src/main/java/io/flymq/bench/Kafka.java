package io.flymq.bench;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Clients with the settings that the report prints. */
final class Kafka {
    static final int BATCH_BYTES = 262_144;
    static final int LINGER_MS = 10;
    static final int POLL_RECORDS = 10_000;
    static final int PATIENCE_SECONDS = 60;

    private Kafka() {}

    static KafkaProducer<byte[], byte[]> producer(Options options) {
        return new KafkaProducer<>(Map.of(
                "bootstrap.servers", options.servers(),
                "acks", "all",
                "linger.ms", options.batch() ? LINGER_MS : 0,
                "batch.size", BATCH_BYTES,
                "compression.type", "none"),
                new ByteArraySerializer(), new ByteArraySerializer());
    }

    static KafkaConsumer<byte[], byte[]> consumer(Options options) {
        KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(Map.of(
                "bootstrap.servers", options.servers(),
                "enable.auto.commit", false,
                "max.poll.records", POLL_RECORDS),
                new ByteArrayDeserializer(), new ByteArrayDeserializer());
        consumer.assign(List.of(new TopicPartition(options.topic(), 0)));
        return consumer;
    }

    /** Makes the topic with one partition; an equal one may be there already. Waits for brokers of a fresh cluster. */
    static void ensureTopic(Options options) throws Exception {
        Map<String, String> config = new HashMap<>();
        if (options.acks().equals("fsync")) {
            config.put("flush.messages", "1");
        }
        if (options.replicas() > 1) {
            config.put("min.insync.replicas", "2");
        }
        NewTopic topic = new NewTopic(options.topic(), Optional.of(1), Optional.of((short) options.replicas())).configs(config);
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", options.servers()))) {
            while (!made(admin, topic)) {
                if (System.nanoTime() > deadline) {
                    throw new IllegalStateException("there are too few brokers for the topic");
                }
                Thread.sleep(100);
            }
        }
    }

    /** False where fewer brokers are there than the topic needs. */
    private static boolean made(Admin admin, NewTopic topic) throws Exception {
        try {
            admin.createTopics(List.of(topic)).all().get(30, TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            if (e.getCause() instanceof InvalidReplicationFactorException) {
                return false;
            }
            if (!(e.getCause() instanceof TopicExistsException)) {
                throw e;
            }
        }
        return true;
    }
}
