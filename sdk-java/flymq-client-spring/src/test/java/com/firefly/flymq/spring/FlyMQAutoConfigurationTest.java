package com.firefly.flymq.spring;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.firefly.flymq.FlyMQClient;
import com.firefly.flymq.TransactionalProducer;
import com.firefly.flymq.exception.ClosedException;
import com.firefly.flymq.exception.ConnectionException;
import com.firefly.flymq.test.TestBroker;

import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.atomic.AtomicReference;

/** When the bean is made, from what, and when not. */
class FlyMQAutoConfigurationTest {
    private static TestBroker broker;

    private final ApplicationContextRunner runner =
            new ApplicationContextRunner().withConfiguration(AutoConfigurations.of(FlyMQAutoConfiguration.class));

    @BeforeAll
    static void start() {
        broker = TestBroker.start();
    }

    @AfterAll
    static void stop() {
        broker.close();
    }

    @Configuration
    static class OwnClient {
        @Bean
        FlyMQClient mine() {
            return FlyMQClient.connect(broker.address());
        }
    }

    @Test
    void theClientIsClosedWithTheContext() {
        AtomicReference<FlyMQClient> seen = new AtomicReference<>();
        runner.withPropertyValues("flymq.bootstrap-servers=127.0.0.1:1," + broker.address()).run(context -> {
            seen.set(context.getBean(FlyMQClient.class));
            assertThat(seen.get().listTopics()).isNotNull();
        });
        assertThatThrownBy(seen.get()::listTopics).isInstanceOf(ClosedException.class);
    }

    @Test
    void aClientOfTheApplicationWins() {
        runner.withUserConfiguration(OwnClient.class).withPropertyValues("flymq.port=1").run(context -> {
            assertThat(context).hasSingleBean(FlyMQClient.class).hasBean("mine");
        });
        runner.withPropertyValues("flymq.enabled=false").run(context -> {
            assertThat(context).doesNotHaveBean(FlyMQClient.class);
        });
    }

    @Test
    void aBrokerThatIsNotThereStopsTheStart() {
        runner.withPropertyValues("flymq.port=1", "flymq.max-retries=0").run(context -> {
            assertThat(context).hasFailed();
            assertThat(context.getStartupFailure()).hasRootCauseInstanceOf(ConnectionException.class);
            assertThat(new FlyMQFailureAnalyzer().analyze(context.getStartupFailure()).getAction())
                    .contains("Start it with: flymq")
                    .contains("flymq.host");
        });
    }

    @Test
    void aTransactionalIdMakesAProducer() {
        String address = "flymq.bootstrap-servers=" + broker.address();
        runner.withPropertyValues(address).run(context -> assertThat(context).doesNotHaveBean(TransactionalProducer.class));
        runner.withPropertyValues(address, "flymq.transactional-id=mill").run(context -> {
            FlyMQClient client = context.getBean(FlyMQClient.class);
            client.createTopic("spring-txn", 1);
            TransactionalProducer producer = context.getBean(TransactionalProducer.class);
            producer.inTransaction(transaction -> transaction.send("spring-txn", "a".getBytes(StandardCharsets.UTF_8)));
            assertThat(client.consume("spring-txn", 0).dataAsString()).isEqualTo("a");
        });
    }

    @Test
    void secretsAreNotPrinted() {
        String key = "ab".repeat(32);
        runner.withPropertyValues(
                        "flymq.bootstrap-servers=" + broker.address(),
                        "flymq.encryption-key=" + key)
                .run(context -> {
                    assertThat(context.getBean(FlyMQProperties.class).toString()).doesNotContain(key);
                    assertThat(context.getBean(FlyMQProperties.class).encryptionKey()).isEqualTo(key);
                });
    }

    @Test
    void editorsKnowTheProperties() throws IOException {
        try (InputStream in = getClass().getResourceAsStream("/META-INF/spring-configuration-metadata.json")) {
            String metadata = new String(in.readAllBytes(), StandardCharsets.UTF_8);
            for (String name : new String[] {"host", "port", "username", "password", "encryption-key", "max-retries"}) {
                assertThat(metadata).contains("\"name\": \"flymq." + name + "\"");
            }
        }
    }
}
