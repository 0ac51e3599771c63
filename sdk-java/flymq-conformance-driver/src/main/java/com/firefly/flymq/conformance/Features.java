package com.firefly.flymq.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.firefly.flymq.Consumer;
import com.firefly.flymq.ConsumerConfig;
import com.firefly.flymq.Failure;
import com.firefly.flymq.FlyMQClient;
import com.firefly.flymq.HighLevelProducer;
import com.firefly.flymq.Listener;
import com.firefly.flymq.Message;
import com.firefly.flymq.NewMessage;
import com.firefly.flymq.OffsetReset;
import com.firefly.flymq.ProducerConfig;
import com.firefly.flymq.ProducerRecord;
import com.firefly.flymq.QueueConfig;
import com.firefly.flymq.QueueConsumer;
import com.firefly.flymq.RecordMetadata;
import com.firefly.flymq.TopicPartition;
import com.firefly.flymq.TransactionalProducer;
import com.firefly.flymq.serde.Serde;

import org.jspecify.annotations.Nullable;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;

/** What a client does by itself: members, transactions, queues, dead letters, schedules, schemas, serdes. */
final class Features {
    private static final JsonNodeFactory JSON = JsonNodeFactory.instance;
    private static final Duration WAIT = Duration.ofSeconds(1);
    /** Serdes that ask no registry. */
    private static final Set<String> PLAIN = Set.of("json", "string", "binary");

    private final FlyMQClient client;
    private final List<Listener> members = new ArrayList<>();
    private final List<String> read = new CopyOnWriteArrayList<>();

    Features(FlyMQClient client) {
        this.client = client;
    }

    /** The reply; null for an operation that is not known. */
    @Nullable JsonNode run(String op, JsonNode args) {
        return switch (op) {
            case "produce_many" -> produceMany(args);
            case "read_as_member" -> readAsMember(args);
            case "join" -> join(args);
            case "joined" -> joined();
            case "transaction" -> transaction(args);
            case "transform" -> transform(args);
            case "queue" -> queue(args);
            case "dead_letters", "replay", "purge" -> deadLetters(op, args);
            case "schedule", "schedules", "cancel", "deliver_now" -> schedules(op, args);
            case "produce_ttl" -> place(client.produceWithTtl(topic(args), bytes(args, "value"), args.path("ttl_ms").asLong()));
            case "register_schema" -> object().put("version", client.registerSchema(
                    text(args, "name"), text(args, "type"), text(args, "definition")).version());
            case "produce_with_schema" ->
                    place(client.produceWithSchema(topic(args), bytes(args, "value"), text(args, "schema")));
            case "serialize" -> serialize(args);
            case "deserialize" -> deserialize(args);
            default -> null;
        };
    }

    private JsonNode produceMany(JsonNode args) {
        ProducerConfig config = new ProducerConfig().enableIdempotence(args.path("idempotent").asBoolean());
        ArrayNode results = JSON.arrayNode();
        try (HighLevelProducer producer = client.producer(config)) {
            List<CompletableFuture<RecordMetadata>> sent = new ArrayList<>();
            args.path("values").forEach(value ->
                    sent.add(producer.send(topic(args), NewMessage.of(value.asText()).partition(0))));
            producer.flush();
            sent.forEach(future -> results.add(place(future.join())));
        }
        return object().set("results", results);
    }

    private static ConsumerConfig fromTheStart() {
        return new ConsumerConfig().autoOffsetReset(OffsetReset.EARLIEST).enableAutoCommit(false);
    }

    private JsonNode readAsMember(JsonNode args) {
        List<String> topics = new ArrayList<>();
        args.path("topics").forEach(topic -> topics.add(topic.asText()));
        List<Message> found = new ArrayList<>();
        int count = args.path("count").asInt();
        try (Consumer consumer = client.consumer(topics, text(args, "group"), fromTheStart())) {
            while (found.size() < count) {
                found.addAll(consumer.poll(WAIT, count - found.size()));
            }
            consumer.commit();
        }
        found.sort(Comparator.comparing(Message::topic).thenComparing(Message::offset));
        ArrayNode messages = JSON.arrayNode();
        found.forEach(message -> messages.add(Records.write(message).put("topic", message.topic())));
        return object().set("messages", messages);
    }

    /** Reads in the background, as a member, until the process ends. */
    private JsonNode join(JsonNode args) {
        ConsumerConfig config = new ConsumerConfig()
                .autoOffsetReset(OffsetReset.EARLIEST)
                .sessionTimeout(Duration.ofMillis(args.path("session_timeout_ms").asLong()));
        members.add(client.listen(
                List.of(topic(args)), text(args, "group"), config, message -> read.add(message.valueAsString())));
        return object();
    }

    private JsonNode joined() {
        ArrayNode values = JSON.arrayNode();
        read.forEach(values::add);
        return object().set("values", values);
    }

    private JsonNode transaction(JsonNode args) {
        try (TransactionalProducer producer = client.transactionalProducer(text(args, "id"));
                TransactionalProducer.Scope transaction = producer.begin()) {
            for (JsonNode one : args.path("sends")) {
                transaction.send(topic(one), NewMessage.of(text(one, "value")).partition(0));
            }
            JsonNode place = args.path("offset");
            if (place.isObject()) {
                TopicPartition partition = new TopicPartition(topic(place), place.path("partition").asInt());
                transaction.sendOffsets(text(args, "group"), Map.of(partition, place.path("offset").asLong()));
            }
            if (args.path("commit").asBoolean()) {
                transaction.commit();
            }
        }
        return object();
    }

    private JsonNode transform(JsonNode args) {
        int done = 0;
        try (TransactionalProducer producer = client.transactionalProducer(text(args, "id"));
                Consumer consumer = client.consumer(text(args, "from"), text(args, "group"), fromTheStart())) {
            while (done < args.path("count").asInt()) {
                List<Message> messages = consumer.poll(WAIT);
                if (messages.isEmpty()) {
                    continue;
                }
                producer.transform(consumer, messages, message -> List.of(ProducerRecord.of(
                        text(args, "to"), message.valueAsString().toUpperCase(Locale.ROOT))));
                done += messages.size();
            }
        }
        return object().put("done", done);
    }

    private JsonNode queue(JsonNode args) {
        QueueConfig config = new QueueConfig();
        if (args.has("max_retries")) {
            config.maxRetries(args.path("max_retries").asInt());
        }
        if (args.has("retry_delay_ms")) {
            config.retryDelay(Duration.ofMillis(args.path("retry_delay_ms").asLong()));
        }
        JsonNode answers = args.path("answers");
        ArrayNode messages = JSON.arrayNode();
        try (QueueConsumer queue = client.queue(topic(args), text(args, "group"), config)) {
            List<Message> held = new ArrayList<>();
            while (held.size() < answers.size()) {
                held.addAll(queue.poll(WAIT, answers.size() - held.size()));
            }
            for (int i = 0; i < answers.size(); i++) {
                messages.add(answer(queue, held.get(i), answers.path(i).asText()));
                if (args.path("twice").asBoolean()) {
                    queue.accept(held.get(i));
                }
            }
        }
        return object().set("messages", messages);
    }

    private static ObjectNode answer(QueueConsumer queue, Message message, String how) {
        ObjectNode told =
                object().put("value", message.valueAsString()).put("delivery_count", message.deliveryCount());
        switch (how) {
            case "accept" -> queue.accept(message);
            case "reject" -> queue.reject(message, "boom");
            case "release" -> queue.release(message);
            case "extend" -> queue.extend(message);
            case "nack" -> {
                Failure failure = queue.nack(message, "boom");
                told.put("attempts", failure.attempts()).put("dead_lettered", failure.deadLettered());
            }
            default -> { }
        }
        return told;
    }

    private JsonNode deadLetters(String op, JsonNode args) {
        switch (op) {
            case "dead_letters" -> {
                ArrayNode letters = JSON.arrayNode();
                client.fetchDlq(topic(args), 10).forEach(one -> letters.add(
                        object().put("id", one.id()).put("error", one.error()).put("attempts", one.attempts())));
                return object().set("dead_letters", letters);
            }
            case "replay" -> client.replayDlq(topic(args), text(args, "id"));
            default -> {
                return object().put("purged", client.purgeDlq(topic(args)));
            }
        }
        return object();
    }

    private JsonNode schedules(String op, JsonNode args) {
        switch (op) {
            case "schedule" -> {
                return object().put("id", schedule(args));
            }
            case "schedules" -> {
                ArrayNode waiting = JSON.arrayNode();
                client.listSchedules(topic(args), 100).forEach(one -> waiting.add(
                        object().put("id", one.id()).put("cron", one.cron()).put("value_size", one.valueSize())));
                return object().set("schedules", waiting);
            }
            case "cancel" -> client.cancelSchedule(topic(args), text(args, "id"));
            default -> {
                return object().put("offset", client.deliverScheduleNow(topic(args), text(args, "id")));
            }
        }
        return object();
    }

    private String schedule(JsonNode args) {
        if (args.has("cron")) {
            return client.produceRecurring(topic(args), bytes(args, "value"), text(args, "cron"));
        }
        if (args.has("at_ms")) {
            return client.produceAt(topic(args), bytes(args, "value"), args.path("at_ms").asLong());
        }
        return client.produceDelayed(topic(args), bytes(args, "value"), args.path("delay_ms").asLong());
    }

    private JsonNode serialize(JsonNode args) {
        String name = text(args, "serde");
        Serde serde = args.hasNonNull("subject") ? client.serde(name, text(args, "subject")) : client.serde(name);
        JsonNode document = args.path("document");
        byte[] value = serde.serialize(topic(args), ofText(name) && document.isTextual() ? document.asText() : document);
        HexFormat hex = HexFormat.of();
        if (PLAIN.contains(name)) {
            return object().put("bytes", hex.formatHex(value)).put("framed", value);
        }
        return object()
                .put("frame", hex.formatHex(Arrays.copyOf(value, 1)))
                .put("value", hex.formatHex(Arrays.copyOfRange(value, 5, value.length)))
                .put("framed", value);
    }

    private JsonNode deserialize(JsonNode args) {
        byte[] value = java.util.Base64.getDecoder().decode(text(args, "framed"));
        Serde serde = client.serde(text(args, "serde"));
        if (ofText(text(args, "serde"))) {
            return object().put("document", serde.deserialize(value, String.class));
        }
        return object().set("document", serde.deserialize(value, JsonNode.class));
    }

    private static boolean ofText(String serde) {
        return serde.equals("string") || serde.equals("binary");
    }

    private static ObjectNode place(RecordMetadata stored) {
        return object().put("partition", stored.partition()).put("offset", stored.offset());
    }

    private static String topic(JsonNode args) {
        return text(args, "topic");
    }

    private static String text(JsonNode args, String name) {
        return args.path(name).asText();
    }

    private static byte[] bytes(JsonNode args, String name) {
        return text(args, name).getBytes(StandardCharsets.UTF_8);
    }

    private static ObjectNode object() {
        return JSON.objectNode();
    }
}
