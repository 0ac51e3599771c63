package com.firefly.flymq;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.firefly.flymq.exception.ClosedException;
import com.firefly.flymq.exception.InvalidArgumentException;
import com.firefly.flymq.exception.PartitionNotFoundException;
import com.firefly.flymq.exception.RecordTooLargeException;

import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** The batching producer. */
class ProducerTest extends WithBroker {
    private static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    @Test
    void valueBeforeKeyAndTheFutureTellsTheOffset() throws Exception {
        String topic = name("order");
        AtomicInteger told = new AtomicInteger();
        try (HighLevelProducer producer = client.producer()) {
            CompletableFuture<RecordMetadata> sent = producer.send(topic, utf8("value"), utf8("key"))
                    .whenComplete((metadata, failure) -> told.incrementAndGet());
            producer.flush();
            assertThat(sent.get(10, TimeUnit.SECONDS).offset()).isZero();
            assertThat(sent.get().topic()).isEqualTo(topic);
        }
        assertThat(told).hasValue(1);
        Message message = client.consume(topic, 0);
        assertThat(message.keyAsString()).isEqualTo("key");
        assertThat(message.dataAsString()).isEqualTo("value");
    }

    @Test
    void closeSendsAllInOrder() {
        String topic = name("many");
        client.createTopic(topic, 1);
        List<CompletableFuture<RecordMetadata>> sent = new ArrayList<>();
        try (HighLevelProducer producer = client.producer(new ProducerConfig().linger(Duration.ofMillis(5)))) {
            IntStream.range(0, 5_000).forEach(i -> sent.add(producer.send(topic, utf8("m" + i))));
        }
        assertThat(sent).allMatch(CompletableFuture::isDone);
        assertThat(sent).extracting(future -> future.join().offset())
                .containsExactlyElementsOf(IntStream.range(0, 5_000).mapToObj(Long::valueOf).toList());
        assertThat(client.consume(topic, 4_321).dataAsString()).isEqualTo("m4321");
    }

    @ParameterizedTest
    @ValueSource(strings = {"gzip", "lz4", "zstd", "snappy"})
    void compressedBatchesAreReadAsTheyWereSent(String codec) {
        String topic = name("packed-" + codec);
        client.createTopic(topic, 1);
        ProducerConfig config = new ProducerConfig()
                .linger(Duration.ofSeconds(60))
                .batchSize(1 << 20)
                .compressionType(codec)
                .compressionLevel(3);
        String value = "{\"city\": \"Chicago\", \"country\": \"USA\", \"id\": ";
        try (HighLevelProducer producer = client.producer(config)) {
            IntStream.range(0, 2_000).forEach(i -> producer.send(topic, utf8(value + i + "}")));
        }
        assertThat(client.consume(topic, 432).dataAsString()).isEqualTo(value + "432}");
        assertThat(client.topicInfo(topic).partitions().get(0).bytes()).isLessThan(2_000L * value.length() / 3);
    }

    @Test
    void anUnknownCompressionIsRefused() {
        assertThatThrownBy(() -> client.producer(new ProducerConfig().compressionType("brotli")))
                .isInstanceOf(InvalidArgumentException.class)
                .hasMessageContaining("compressionType");
    }

    @Test
    void aFailureIsInTheFutureAndInFlush() {
        String topic = name("failing");
        client.createTopic(topic, 1);
        HighLevelProducer producer = client.producer(new ProducerConfig().linger(Duration.ofSeconds(30)));
        CompletableFuture<RecordMetadata> lost = producer.send(topic, NewMessage.of("x").partition(7));
        assertThatThrownBy(producer::flush).isInstanceOf(PartitionNotFoundException.class);
        assertThatThrownBy(lost::join)
                .isInstanceOf(CompletionException.class)
                .hasCauseInstanceOf(PartitionNotFoundException.class);
        CompletableFuture<RecordMetadata> large = client.producer(new ProducerConfig().bufferBytes(100))
                .send(topic, new byte[1_000]);
        assertThatThrownBy(large::join).hasCauseInstanceOf(RecordTooLargeException.class);
        producer.close();
        assertThatThrownBy(producer.send(topic, utf8("late"))::join).hasCauseInstanceOf(ClosedException.class);
        producer.close();
    }

    @Test
    void aCallbackMaySendAndClose() throws Exception {
        String topic = name("callback");
        client.createTopic(topic, 1);
        CompletableFuture<Long> second = new CompletableFuture<>();
        HighLevelProducer producer = client.producer();
        producer.send(topic, utf8("first")).thenAccept(first -> {
            producer.send(topic, utf8("second")).thenAccept(stored -> second.complete(stored.offset()));
            producer.close();
        });
        assertThat(second.get(20, TimeUnit.SECONDS)).isEqualTo(1);
    }

    @Test
    void aForgottenProducerIsReleased() throws Exception {
        String topic = name("forgotten");
        client.createTopic(topic, 1);
        Set<Thread> before = completionThreads();
        CompletableFuture<RecordMetadata> sent = sendAndForget(topic);
        assertThat(completionThreads()).hasSizeGreaterThan(before.size());
        // Its thread ends when the native side has let go of it; what it queued is sent before.
        Awaitility.await().atMost(Duration.ofSeconds(20)).until(() -> {
            System.gc();
            return before.containsAll(completionThreads());
        });
        assertThat(sent.get(10, TimeUnit.SECONDS).offset()).isZero();
    }

    private static CompletableFuture<RecordMetadata> sendAndForget(String topic) {
        return client.producer(new ProducerConfig().linger(Duration.ofSeconds(60))).send(topic, utf8("kept"));
    }

    private static Set<Thread> completionThreads() {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().startsWith("flymq-completions"))
                .collect(Collectors.toSet());
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void aLostAnswerDoublesNothing(boolean idempotent) throws Exception {
        String topic = name("lost");
        int many = 200;
        client.createTopic(topic, 1);
        ProducerConfig config =
                new ProducerConfig().maxBatchMessages(3).retries(1_000).retryBackoff(Duration.ofMillis(1));
        if (!idempotent) {
            config.enableIdempotence(false);
        }
        try (LossyProxy proxy = new LossyProxy(broker.address(), 7);
                FlyMQClient through = FlyMQClient.connect(proxy.address())) {
            try (HighLevelProducer producer = through.producer(config)) {
                IntStream.range(0, many)
                        .forEach(i -> producer.send(topic, NewMessage.of(Integer.toString(i)).partition(0)));
            }
            assertThat(proxy.lost.get()).isGreaterThan(5);
        }
        List<Integer> stored = client.fetch(topic, 0, 0, 10 * many).messages().stream()
                .map(message -> Integer.valueOf(message.dataAsString()))
                .toList();
        if (idempotent) {
            assertThat(stored).isEqualTo(IntStream.range(0, many).boxed().toList());
        } else {
            assertThat(stored).as("the same way doubles messages where it is switched off").hasSizeGreaterThan(many);
        }
    }
}
