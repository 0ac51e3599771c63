package com.firefly.flymq.spring;

import static org.assertj.core.api.Assertions.assertThat;

import com.firefly.flymq.FlyMQClient;
import com.firefly.flymq.Message;
import com.firefly.flymq.OffsetReset;
import com.firefly.flymq.RecordMetadata;
import com.firefly.flymq.model.DeadLetter;
import com.firefly.flymq.test.TestBroker;

import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.springframework.beans.factory.annotation.Autowired;
import org.springframework.boot.SpringBootConfiguration;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.test.context.SpringBootTest;
import org.springframework.context.annotation.Import;
import org.springframework.stereotype.Service;
import org.springframework.test.annotation.DirtiesContext;
import org.springframework.test.context.DynamicPropertyRegistry;
import org.springframework.test.context.DynamicPropertySource;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/** An application as users write it, against the real server. */
@SpringBootTest(classes = SpringBootAppTest.App.class)
@DirtiesContext
class SpringBootAppTest {
    private static final TestBroker BROKER = TestBroker.start();

    @SpringBootConfiguration
    @EnableAutoConfiguration
    @Import(OrderService.class)
    static class App {}

    @Service
    static class OrderService {
        private final FlyMQClient client;
        private final List<String> billed = new CopyOnWriteArrayList<>();
        private final List<String> audited = new CopyOnWriteArrayList<>();

        OrderService(FlyMQClient client) {
            this.client = client;
            client.createTopic("bills", 2);
        }

        RecordMetadata place(String id, String order) {
            return client.produceWithKey("orders", id, order);
        }

        @FlyMQListener(
                topics = "${app.topic:bills}",
                group = "billing",
                autoOffsetReset = OffsetReset.EARLIEST,
                maxRetries = 1,
                retryDelayMs = 0)
        void bill(String order) {
            billed.add(order);
            if (order.equals("bad")) {
                throw new IllegalStateException("no such customer");
            }
        }

        @FlyMQListener(topics = "bills", group = "audit", autoOffsetReset = OffsetReset.EARLIEST, concurrency = 2)
        void audit(Message order) {
            audited.add(order.dataAsString());
        }

        String read(long offset) {
            return client.consumeWithKey("orders", offset).dataAsString();
        }
    }

    @DynamicPropertySource
    static void broker(DynamicPropertyRegistry registry) {
        registry.add("flymq.host", BROKER::host);
        registry.add("flymq.port", BROKER::port);
    }

    @AfterAll
    static void stop() {
        BROKER.close();
    }

    @Autowired
    private OrderService orders;

    @Test
    void listenersAreCalledAndWhatFailsIsADeadLetterInTheEnd() {
        List.of("one", "bad", "two").forEach(order -> orders.client.produce("bills", order));
        Awaitility.await().atMost(Duration.ofSeconds(30)).untilAsserted(() -> {
            assertThat(orders.billed).containsExactlyInAnyOrder("one", "bad", "bad", "two");
            assertThat(orders.audited).containsExactlyInAnyOrder("one", "bad", "two");
            assertThat(orders.client.fetchDlq("bills", 10))
                    .extracting(DeadLetter::error)
                    .containsExactly("java.lang.IllegalStateException: no such customer");
        });
    }

    @Test
    void theServiceUsesTheInjectedClient() {
        RecordMetadata stored = orders.place("o-1", "{\"amount\":3}");
        assertThat(stored.offset()).isZero();
        assertThat(orders.read(stored.offset())).isEqualTo("{\"amount\":3}");
    }
}
