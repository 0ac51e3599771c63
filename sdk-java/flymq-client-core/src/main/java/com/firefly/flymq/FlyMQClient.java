package com.firefly.flymq;

import com.fasterxml.jackson.databind.JsonNode;
import com.firefly.flymq.crypto.Encryptor;
import com.firefly.flymq.exception.ErrorInfo;
import com.firefly.flymq.exception.InvalidArgumentException;
import com.firefly.flymq.internal.Codec;
import com.firefly.flymq.internal.Json;
import com.firefly.flymq.internal.Native;
import com.firefly.flymq.internal.NativeObject;
import com.firefly.flymq.serde.SchemaSerde;
import com.firefly.flymq.serde.Serde;
import com.firefly.flymq.serde.Serdes;

import org.jspecify.annotations.Nullable;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;

/**
 * A connected client. Safe for use from many threads; its producers and consumers share its connections.
 *
 * <pre>{@code
 * try (FlyMQClient client = FlyMQClient.connect("localhost:9092")) {
 *     RecordMetadata stored = client.produce("orders", "hello".getBytes());
 *     System.out.println(client.consume("orders", stored.offset()).dataAsString());
 * }
 * }</pre>
 *
 * <p>Calls that wait end with an {@link com.firefly.flymq.exception.InterruptedOperationException} when their thread is
 * interrupted; every failure is a {@link com.firefly.flymq.exception.FlyMQException} that says what to do next.
 */
public final class FlyMQClient extends NativeObject
        implements ControlCalls, DeadLetterCalls, GroupCalls, MessagingCalls, SchemaCalls {
    private final @Nullable Encryptor encryptor;
    private volatile Serde serde = Serdes.BINARY;

    private FlyMQClient(long handle, @Nullable Encryptor encryptor) {
        super(handle, Native::releaseClient);
        this.encryptor = encryptor;
    }

    /**
     * Connects to {@code "host:port"}, or to the first that answers of {@code "h1:p,h2:p"}.
     *
     * @throws com.firefly.flymq.exception.ConnectionException when none answers
     */
    public static FlyMQClient connect(String servers) {
        return connect(new ClientConfig().bootstrapServers(servers));
    }

    /** As {@link #connect(String)}, with all settings. */
    public static FlyMQClient connect(ClientConfig config) {
        Encryptor encryptor = config.encryptor();
        return new FlyMQClient(Native.connect(config.json()), encryptor);
    }

    /** How objects become values from now on, here and in the producers and consumers of this client. */
    public FlyMQClient setSerde(Serde serde) {
        this.serde = serde;
        return this;
    }

    /** As {@link #setSerde(Serde)}, by name: {@code binary}, {@code string}, {@code json}, {@code avro}, {@code protobuf}, or one of yours. */
    public FlyMQClient setSerde(String name) {
        return setSerde(serde(name));
    }

    /** The serde of a name; {@code avro} and {@code protobuf} write by the subject {@code <topic>-value}. */
    public Serde serde(String name) {
        return Serdes.isOverSchemas(name) ? new SchemaSerde(handle(), name, null, Serdes.JSON) : Serdes.byName(name);
    }

    /**
     * {@code avro} or {@code protobuf}, writing by {@code subject} whatever the topic.
     *
     * @throws com.firefly.flymq.exception.InvalidArgumentException another has no subject
     */
    public Serde serde(String name, String subject) {
        if (!Serdes.isOverSchemas(name)) {
            Serdes.byName(name);
            String what = "the serde \"" + name + "\" has no schema, so no subject";
            String hint = "Leave it out: client.serde(\"" + name + "\").";
            throw new InvalidArgumentException(ErrorInfo.local("INVALID_ARGUMENT", what, hint));
        }
        return new SchemaSerde(handle(), name, subject, Serdes.JSON);
    }

    // Records

    /** Stores one message with {@code acks=all}; an unknown topic is created where the server allows it. */
    public RecordMetadata produce(String topic, byte[] value) {
        return produce(topic, NewMessage.of(value));
    }

    /** Stores an object, made into bytes by the serde. */
    public RecordMetadata produce(String topic, Object value) {
        return produce(topic, NewMessage.of(serde.serialize(topic, value)));
    }

    /** Stores one message, with all that may be said about it. */
    public RecordMetadata produce(String topic, NewMessage message) {
        return produce(topic, message, Acks.ALL);
    }

    /** As {@link #produce(String, NewMessage)}, with another guarantee. */
    public RecordMetadata produce(String topic, NewMessage message, Acks acks) {
        return produceBatch(topic, List.of(message), acks).get(0);
    }

    /** Stores a message with key: mind the order, first the key, then the value. */
    public RecordMetadata produceWithKey(String topic, String key, String value) {
        return produce(topic, NewMessage.of(value).key(key));
    }

    /** Stores a message with key: mind the order, first the key, then the value. */
    public RecordMetadata produceWithKey(String topic, byte[] key, byte[] value) {
        return produce(topic, NewMessage.of(value).key(key));
    }

    /** Stores messages in their order (per partition); the metadata comes in the same order. */
    public List<RecordMetadata> produceBatch(String topic, List<NewMessage> messages) {
        return produceBatch(topic, messages, Acks.ALL);
    }

    /** As {@link #produceBatch(String, List)}, with another guarantee. */
    public List<RecordMetadata> produceBatch(String topic, List<NewMessage> messages, Acks acks) {
        byte[] stored = Native.produce(handle(), Codec.utf8(topic), acks.number(), Codec.write(messages));
        return Codec.readStored(ByteBuffer.wrap(stored), topic);
    }

    /** Reads the message at an offset of partition 0. */
    public Message consume(String topic, long offset) {
        return consume(topic, 0, offset);
    }

    /**
     * Reads the message at an offset.
     *
     * @throws com.firefly.flymq.exception.EndOfPartitionException when there is none yet
     * @throws com.firefly.flymq.exception.OffsetOutOfRangeException when it is gone
     */
    public Message consume(String topic, int partition, long offset) {
        byte[] found = Native.consume(handle(), Codec.utf8(topic), partition, offset);
        return Codec.readMessages(ByteBuffer.wrap(found), serde).get(0);
    }

    /** Reads the message with its key at an offset of partition 0; every message carries its key, so as {@link #consume}. */
    public Message consumeWithKey(String topic, long offset) {
        return consume(topic, offset);
    }

    /** Reads up to {@code maxMessages} from an offset on, at once. */
    public FetchResult fetch(String topic, int partition, long offset, int maxMessages) {
        return fetch(topic, partition, offset, maxMessages, Duration.ZERO);
    }

    /** As {@link #fetch(String, int, long, int)}; the server may wait up to {@code maxWait} for a first message. */
    public FetchResult fetch(String topic, int partition, long offset, int maxMessages, Duration maxWait) {
        return fetch(topic, partition, offset, maxMessages, maxWait, "");
    }

    /**
     * As {@link #fetch(String, int, long, int, Duration)}, only messages that match {@code filter} (as {@link ConsumerConfig#filter} has
     * it). Go on from {@link FetchResult#nextOffset()}, also where none matched.
     */
    public FetchResult fetch(
            String topic, int partition, long offset, int maxMessages, Duration maxWait, String filter) {
        ByteBuffer in = ByteBuffer.wrap(Native.fetch(
                handle(),
                Codec.utf8(topic),
                partition,
                offset,
                maxMessages,
                maxWait.toMillis(),
                Codec.utf8(filter)));
        long next = in.getLong();
        long high = in.getLong();
        long low = in.getLong();
        return new FetchResult(Codec.readMessages(in, serde), next, high, low);
    }

    // Producers and consumers

    /** A batching producer with the default settings. */
    public HighLevelProducer producer() {
        return producer(new ProducerConfig());
    }

    public HighLevelProducer producer(ProducerConfig config) {
        return HighLevelProducer.open(handle(), config, () -> serde);
    }

    /** A consumer of one topic in a group. */
    public Consumer consumer(String topic, @Nullable String group) {
        return consumer(List.of(topic), group);
    }

    /** A consumer of several topics in a group. */
    public Consumer consumer(List<String> topics, @Nullable String group) {
        return consumer(topics, group, new ConsumerConfig());
    }

    public Consumer consumer(String topic, @Nullable String group, ConsumerConfig config) {
        return consumer(List.of(topic), group, config);
    }

    /** As {@link #consumer(List, String)}, with all settings. Without a group nothing is committed. */
    public Consumer consumer(List<String> topics, @Nullable String group, ConsumerConfig config) {
        return Consumer.open(handle(), List.copyOf(topics), group, config, () -> serde);
    }

    /** A member of a consumer group, also of topics by pattern ({@code shop/+}, {@code shop/#}); it reads from its first poll on. */
    public Consumer consumerGroup(List<String> topics, String group) {
        return consumer(topics, group);
    }

    /** Calls {@code handler} with each message, as a member of a group, in a thread of its own; what it throws at comes again. */
    public Listener listen(String topic, String group, MessageHandler handler) {
        return listen(List.of(topic), group, new ConsumerConfig(), handler);
    }

    /** As {@link #listen(String, String, MessageHandler)}, of topics by name or pattern, with all settings. */
    public Listener listen(List<String> topics, String group, ConsumerConfig config, MessageHandler handler) {
        return Listener.start(handle(), List.copyOf(topics), group, config, handler, () -> serde);
    }

    /** A reader in queue mode: messages are handed out and answered for one by one, to any number of readers. */
    public QueueConsumer queue(String topic, String group) {
        return queue(topic, group, new QueueConfig());
    }

    /** As {@link #queue(String, String)}, with all settings. */
    public QueueConsumer queue(String topic, String group, QueueConfig config) {
        return QueueConsumer.open(handle(), topic, group, config, () -> serde);
    }

    // Transactions

    /** Begins a transaction; close it without a commit to roll it back. */
    public Transaction beginTransaction() {
        return new Transaction(this, call("BeginTransaction", Map.of()).path("transaction_id").asText());
    }

    /** A producer whose messages all belong to transactions; it fences an earlier one of the same id. */
    public TransactionalProducer transactionalProducer(String transactionalId) {
        return transactionalProducer(transactionalId, Duration.ZERO);
    }

    /** As {@link #transactionalProducer(String)}; a transaction that is open for longer than {@code timeout} is aborted (zero: 60 s). */
    public TransactionalProducer transactionalProducer(String transactionalId, Duration timeout) {
        return TransactionalProducer.open(handle(), transactionalId, timeout);
    }

    RecordMetadata produceInTransaction(String id, String topic, NewMessage message) {
        Map<String, Object> request = Map.of("transaction_id", id, "topic", topic, "records", List.of(record(message)));
        return Records.stored(call("ProduceInTransaction", request));
    }

    void endTransaction(String rpc, String id) {
        call(rpc, Map.of("transaction_id", id));
    }

    @Override
    public JsonNode call(String rpc, Object request) {
        byte[] name = rpc.getBytes(StandardCharsets.UTF_8);
        return Json.parse(Native.call(handle(), name, Json.write(request)));
    }

    @Override
    public Map<String, Object> record(NewMessage message) {
        return Records.of(message, encryptor);
    }

    /** Drops the connections; calls of this client, its producers and consumers fail from now on. */
    @Override
    public void close() {
        Native.closeClient(handle());
        release();
    }
}
