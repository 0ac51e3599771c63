package com.firefly.flymq.spring;

import static org.assertj.core.api.Assertions.assertThat;

import com.firefly.flymq.FlyMQClient;
import com.firefly.flymq.RecordMetadata;
import com.firefly.flymq.test.TestBroker;

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

        OrderService(FlyMQClient client) {
            this.client = client;
        }

        RecordMetadata place(String id, String order) {
            return client.produceWithKey("orders", id, order);
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
    void theServiceUsesTheInjectedClient() {
        RecordMetadata stored = orders.place("o-1", "{\"amount\":3}");
        assertThat(stored.offset()).isZero();
        assertThat(orders.read(stored.offset())).isEqualTo("{\"amount\":3}");
    }
}
