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
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Clients with the settings that the report prints. */
final class Kafka {
    static final int BATCH_BYTES = 262_144;
    static final int LINGER_MS = 10;
    static final int POLL_RECORDS = 10_000;

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

    /** Makes the topic with one partition; an equal one may be there already. */
    static void ensureTopic(Options options) throws Exception {
        Map<String, String> config = new HashMap<>();
        if (options.acks().equals("fsync")) {
            config.put("flush.messages", "1");
        }
        NewTopic topic = new NewTopic(options.topic(), Optional.of(1), Optional.of((short) 1)).configs(config);
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", options.servers()))) {
            admin.createTopics(List.of(topic)).all().get(30, TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            if (!(e.getCause() instanceof TopicExistsException)) {
                throw e;
            }
        }
    }
}
