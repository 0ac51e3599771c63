package com.firefly.flymq.spring.webflux;

import static org.assertj.core.api.Assertions.assertThat;

import com.firefly.flymq.ConsumerConfig;
import com.firefly.flymq.FlyMQClient;
import com.firefly.flymq.Message;
import com.firefly.flymq.OffsetReset;
import com.firefly.flymq.exception.TopicNotFoundException;
import com.firefly.flymq.model.PartitionOffset;
import com.firefly.flymq.test.TestBroker;

import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.springframework.beans.factory.annotation.Autowired;
import org.springframework.boot.SpringBootConfiguration;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.test.context.SpringBootTest;
import org.springframework.test.annotation.DirtiesContext;
import org.springframework.test.context.DynamicPropertyRegistry;
import org.springframework.test.context.DynamicPropertySource;

import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Schedulers;
import reactor.test.StepVerifier;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.stream.IntStream;

/** The reactive bean against the real server. */
@SpringBootTest(classes = ReactiveFlyMQClientTest.App.class)
@DirtiesContext
class ReactiveFlyMQClientTest {
    private static final TestBroker BROKER = TestBroker.start();
    private static final Duration LONG = Duration.ofSeconds(20);

    @SpringBootConfiguration
    @EnableAutoConfiguration
    static class App {}

    @DynamicPropertySource
    static void broker(DynamicPropertyRegistry registry) {
        registry.add("flymq.bootstrap-servers", BROKER::address);
    }

    @AfterAll
    static void stop() {
        BROKER.close();
    }

    @Autowired
    private ReactiveFlyMQClient reactive;

    @Autowired
    private FlyMQClient client;

    private static String name(String what) {
        return what + "-" + UUID.randomUUID();
    }

    private static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private Flux<Message> fromTheStart(String topic, String group) {
        return reactive.subscribe(List.of(topic), group, new ConsumerConfig().autoOffsetReset(OffsetReset.EARLIEST));
    }

    @Test
    void produceIsTheOffsetAndLazy() {
        String topic = name("produce");
        client.createTopic(topic, 1);
        Mono<Long> stored = reactive.produce(topic, utf8("a"));
        assertThat(client.fetch(topic, 0, 0, 1).messages()).isEmpty();
        StepVerifier.create(stored).expectNext(0L).expectComplete().verify(LONG);
        StepVerifier.create(stored).expectNext(1L).expectComplete().verify(LONG);
        StepVerifier.create(reactive.produceRecord(topic, utf8("b")))
                .assertNext(metadata -> assertThat(metadata.topic()).isEqualTo(topic))
                .expectComplete()
                .verify(LONG);
    }

    @Test
    void onlyWhatIsRequestedIsTakenAndCommitted() {
        String topic = name("demand");
        String group = name("group");
        for (int i = 0; i < 10; i++) {
            client.produce(topic, "m" + i);
        }
        StepVerifier.create(fromTheStart(topic, group).map(Message::dataAsString), 0)
                .expectSubscription()
                .thenRequest(2)
                .expectNext("m0", "m1")
                .thenRequest(3)
                .expectNext("m2", "m3", "m4")
                .thenCancel()
                .verify(LONG);
        // The consumer underneath handed out those five and no more: closing it committed that place.
        Awaitility.await().atMost(LONG).ignoreExceptions().untilAsserted(() -> assertThat(
                client.committed(group, topic)).containsExactly(new PartitionOffset(topic, 0, 5)));
        StepVerifier.create(fromTheStart(topic, group).map(Message::dataAsString).take(5))
                .expectNext("m5", "m6", "m7", "m8", "m9")
                .expectComplete()
                .verify(LONG);
    }

    @Test
    void messagesArriveWhileSubscribed() {
        String topic = name("live");
        client.createTopic(topic, 1);
        StepVerifier.create(fromTheStart(topic, name("group")).map(Message::dataAsString))
                .then(() -> client.produce(topic, "one"))
                .expectNext("one")
                .then(() -> client.produce(topic, "two"))
                .expectNext("two")
                .thenCancel()
                .verify(LONG);
    }

    @Test
    void manySubscriptionsDoNotStarveEachOther() {
        int many = 3 * Schedulers.DEFAULT_BOUNDED_ELASTIC_SIZE / 2;
        String topic = name("crowd");
        client.createTopic(topic, 1);
        List<Flux<String>> crowd = IntStream.range(0, many)
                .mapToObj(i -> fromTheStart(topic, name("group")).map(Message::dataAsString).take(2))
                .toList();
        client.produce(topic, "one");
        StepVerifier.create(Flux.merge(Flux.fromIterable(crowd), many))
                .expectNextCount(many)
                .then(() -> client.produce(topic, "two"))
                .expectNextCount(many)
                .expectComplete()
                .verify(LONG);
        Awaitility.await().atMost(LONG).until(() -> Thread.getAllStackTraces().keySet().stream()
                .noneMatch(thread -> thread.getName().startsWith("flymq-subscription")));
    }

    @Test
    void failuresEndTheFlux() {
        StepVerifier.create(reactive.subscribe(name("missing"), "g"))
                .expectError(TopicNotFoundException.class)
                .verify(LONG);
    }

    @Test
    void aTransactionIsOneChain() {
        Mono<Void> chain = reactive.beginTransaction()
                .flatMap(txn -> txn.produce("a", utf8("x")).then(txn.produce("b", utf8("y"))).then(txn.commit()));
        StepVerifier.create(chain).expectComplete().verify(LONG);
    }

    @Test
    void aChainThatIsCancelledRollsBack() {
        String topic = name("cancelled");
        client.createTopic(topic, 1);
        Mono<Object> chain = reactive.inTransaction(txn -> txn.produce(topic, utf8("never")).then(Mono.never()));
        StepVerifier.create(chain)
                .then(() -> Awaitility.await().atMost(LONG).until(() -> written(topic)))
                .thenCancel()
                .verify(LONG);
        // Nothing is open any more, so what comes next can be read, without what was rolled back.
        StepVerifier.create(reactive.produce(topic, utf8("after"))).expectNextCount(1).expectComplete().verify(LONG);
        Awaitility.await().atMost(LONG).until(() -> !client.fetch(topic, 0, 0, 10).messages().isEmpty());
        assertThat(client.fetch(topic, 0, 0, 10).messages()).extracting(Message::dataAsString).containsExactly("after");
    }

    private boolean written(String topic) {
        return client.call("GetTopic", Map.of("name", topic)).path("topic").path("partitions").path(0).path("high_watermark").asInt() > 0;
    }
}
