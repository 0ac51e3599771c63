package com.firefly.flymq.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.firefly.flymq.Consumer;
import com.firefly.flymq.ConsumerConfig;
import com.firefly.flymq.FetchResult;
import com.firefly.flymq.FlyMQClient;
import com.firefly.flymq.HighLevelProducer;
import com.firefly.flymq.Message;
import com.firefly.flymq.NewMessage;
import com.firefly.flymq.OffsetReset;
import com.firefly.flymq.ProducerConfig;
import com.firefly.flymq.RecordMetadata;
import com.firefly.flymq.model.PartitionInfo;
import com.firefly.flymq.model.PartitionLag;

import org.jspecify.annotations.Nullable;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.CompletableFuture;

/** One operation of the suite each, by the SDK's own methods where it has them. */
final class Operations {
    private static final JsonNodeFactory JSON = JsonNodeFactory.instance;

    private final FlyMQClient client;
    private final Features features;

    Operations(FlyMQClient client) {
        this.client = client;
        this.features = new Features(client);
    }

    /** The reply; null for an operation that is not known. */
    @Nullable JsonNode run(String op, JsonNode args) {
        return switch (op) {
            case "create_topic", "delete_topic", "list_topics", "topic_info" -> topics(op, args);
            case "produce" -> place(client.produce(topic(args), Records.read(args), Records.acks(args)));
            case "produce_batch" -> produceBatch(args);
            case "consume" -> Records.write(client.consume(topic(args), partition(args), args.path("offset").asLong()));
            case "fetch" -> fetch(args);
            case "subscribe" -> subscribe(args);
            case "commit", "committed", "reset", "lag", "start_offset" -> offsets(op, args);
            case "list_groups", "describe_group", "delete_group" -> groups(op, args);
            case "health" -> object().set("ready", client.call("GetHealth", Map.of()).path("ready"));
            case "call" -> client.call(args.path("rpc").asText(), args.has("request") ? args.get("request") : object());
            default -> features.run(op, args);
        };
    }

    private JsonNode topics(String op, JsonNode args) {
        switch (op) {
            case "create_topic" -> client.createTopic(topic(args), args.path("partitions").asInt(1));
            case "delete_topic" -> client.deleteTopic(topic(args));
            case "list_topics" -> {
                ArrayNode names = JSON.arrayNode();
                client.listTopics().forEach(names::add);
                return object().set("topics", names);
            }
            default -> {
                ArrayNode partitions = JSON.arrayNode();
                client.topicInfo(topic(args)).partitions().forEach(info -> partitions.add(watermarks(info)));
                return object().set("partitions", partitions);
            }
        }
        return object();
    }

    private static ObjectNode watermarks(PartitionInfo info) {
        return object()
                .put("partition", info.partition())
                .put("low", info.lowWatermark())
                .put("high", info.highWatermark())
                .put("log_end", info.logEndOffset());
    }

    private JsonNode produceBatch(JsonNode args) {
        List<NewMessage> messages = new ArrayList<>();
        for (JsonNode given : args.path("messages")) {
            NewMessage message = Records.read(given);
            if (args.hasNonNull("partition")) {
                message.partition(args.path("partition").asInt());
            }
            messages.add(message);
        }
        ArrayNode results = JSON.arrayNode();
        if (args.hasNonNull("compression")) {
            compressed(args, messages).forEach(stored -> results.add(place(stored)));
            return object().set("results", results);
        }
        client.produceBatch(topic(args), messages, Records.acks(args)).forEach(stored -> results.add(place(stored)));
        return object().set("results", results);
    }

    /** Through the batching producer, which is what compresses. */
    private List<RecordMetadata> compressed(JsonNode args, List<NewMessage> messages) {
        ProducerConfig config = new ProducerConfig()
                .linger(Duration.ofSeconds(60))
                .compressionType(args.path("compression").asText());
        try (HighLevelProducer producer = client.producer(config)) {
            List<CompletableFuture<RecordMetadata>> sent = new ArrayList<>();
            messages.forEach(message -> sent.add(producer.send(topic(args), message)));
            producer.flush();
            return sent.stream().map(CompletableFuture::join).toList();
        }
    }

    private JsonNode fetch(JsonNode args) {
        FetchResult found = client.fetch(
                topic(args),
                partition(args),
                args.path("offset").asLong(),
                args.path("max").asInt(100),
                Duration.ofMillis(args.path("max_wait_ms").asLong()),
                args.path("filter").asText(""));
        ObjectNode reply = object().put("next_offset", found.nextOffset());
        return reply.set("messages", Records.write(found.messages()));
    }

    private JsonNode subscribe(JsonNode args) {
        OffsetReset from = OffsetReset.valueOf(args.path("from").asText().toUpperCase(Locale.ROOT));
        ConsumerConfig config = new ConsumerConfig().autoOffsetReset(from).enableAutoCommit(false)
                .filter(args.path("filter").asText(""));
        int count = args.path("count").asInt();
        List<Message> found = new ArrayList<>();
        try (Consumer consumer = client.consumer(topic(args), args.path("group").asText(null), config)) {
            consumer.subscribe();
            while (found.size() < count) {
                found.addAll(consumer.poll(Duration.ofSeconds(1), count - found.size()));
            }
        }
        return object().set("messages", Records.write(found));
    }

    private JsonNode offsets(String op, JsonNode args) {
        ObjectNode request = object().put("group", args.path("group").asText("")).put("topic", topic(args));
        switch (op) {
            case "commit" -> client.commitOffset(
                    args.path("group").asText(), topic(args), partition(args), args.path("offset").asLong());
            case "committed" -> {
                JsonNode reply = client.call("GetOffsets", request.put("partition", partition(args)));
                JsonNode offset = reply.path("offsets").path(0).path("offset");
                return object().set("offset", offset.isMissingNode() ? JSON.nullNode() : offset);
            }
            case "lag" -> {
                PartitionLag lag = client.lag(args.path("group").asText(), topic(args)).stream()
                        .filter(one -> one.partition() == partition(args))
                        .findAny()
                        .orElseThrow();
                return object().put("committed", lag.committed()).put("latest", lag.latest())
                        .put("lag", lag.lag()).put("lag_ms", lag.lagMs());
            }
            case "start_offset" -> {
                request.put("partition", partition(args)).put("from", start(args.path("from")));
                return client.call("GetStartOffset", request);
            }
            default -> {
                JsonNode to = args.path("to");
                request.putArray("partitions").add(partition(args));
                request.put("to", to.isNumber() ? "START_FROM_OFFSET" : start(to));
                client.call("ResetOffsets", to.isNumber() ? request.put("offset", to.asLong()) : request);
            }
        }
        return object();
    }

    private JsonNode groups(String op, JsonNode args) {
        String group = args.path("group").asText();
        ArrayNode list = JSON.arrayNode();
        switch (op) {
            case "list_groups" -> {
                client.listGroups().forEach(list::add);
                return object().set("groups", list);
            }
            case "describe_group" -> {
                client.describeGroup(group).offsets().forEach(one -> list.add(
                        object().put("topic", one.topic()).put("partition", one.partition()).put("offset", one.offset())));
                return object().set("offsets", list);
            }
            default -> client.deleteGroup(group, args.path("topic").asText(""));
        }
        return object();
    }

    private static ObjectNode place(RecordMetadata stored) {
        return object().put("partition", stored.partition()).put("offset", stored.offset());
    }

    private static String start(JsonNode from) {
        return "START_FROM_" + from.asText().toUpperCase(Locale.ROOT);
    }

    private static String topic(JsonNode args) {
        return args.path("topic").asText();
    }

    private static int partition(JsonNode args) {
        return args.path("partition").asInt();
    }

    private static ObjectNode object() {
        return JSON.objectNode();
    }
}
