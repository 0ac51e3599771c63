package com.firefly.flymq.spring;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.firefly.flymq.FlyMQClient;
import com.firefly.flymq.Message;
import com.firefly.flymq.NewMessage;
import com.firefly.flymq.exception.ProducerFencedException;
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
import org.springframework.transaction.CannotCreateTransactionException;
import org.springframework.transaction.IllegalTransactionStateException;
import org.springframework.transaction.UnexpectedRollbackException;
import org.springframework.transaction.annotation.Propagation;
import org.springframework.transaction.annotation.Transactional;

import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/** {@code @Transactional} methods of an application, against the real server. */
@SpringBootTest(classes = TransactionsTest.App.class)
@DirtiesContext
class TransactionsTest {
    private static final TestBroker BROKER = TestBroker.start();

    @SpringBootConfiguration
    @EnableAutoConfiguration
    @Import({Ledger.class, Auditor.class})
    static class App {}

    @Service
    static class Auditor {
        private final FlyMQTransactionManager transactions;

        Auditor(FlyMQTransactionManager transactions) {
            this.transactions = transactions;
        }

        @Transactional
        public void note(String topic, String value) {
            transactions.current().send(topic, NewMessage.of(value));
            if (value.equals("unheard of")) {
                throw new IllegalStateException("no such thing");
            }
        }

        @Transactional(propagation = Propagation.REQUIRES_NEW)
        public void apart() {}
    }

    @Service
    static class Ledger {
        private final FlyMQTransactionManager transactions;
        private final Auditor auditor;

        Ledger(FlyMQTransactionManager transactions, Auditor auditor) {
            this.transactions = transactions;
            this.auditor = auditor;
        }

        @Transactional
        public void book(String topic, String value, boolean fails) {
            transactions.current().send(topic, NewMessage.of(value));
            transactions.current().send(topic, NewMessage.of(value + " again"));
            if (fails) {
                throw new IllegalStateException("not enough");
            }
        }

        @Transactional
        public void bookAndNote(String topic, String audit) {
            transactions.current().send(topic, NewMessage.of("booked"));
            try {
                auditor.note(topic, audit);
            } catch (IllegalStateException e) {
                // The transaction is one: it is lost all the same.
                return;
            }
        }

        @Transactional
        public void apart() {
            auditor.apart();
        }

        public void outside() {
            transactions.current();
        }
    }

    @DynamicPropertySource
    static void broker(DynamicPropertyRegistry registry) {
        registry.add("flymq.host", BROKER::host);
        registry.add("flymq.port", BROKER::port);
        registry.add("flymq.transactional-id", () -> "ledger");
    }

    @AfterAll
    static void stop() {
        BROKER.close();
    }

    @Autowired
    private Ledger ledger;

    @Autowired
    private FlyMQClient client;

    private List<String> read(String topic) {
        return client.fetch(topic, 0, 0, 100).messages().stream().map(Message::valueAsString).toList();
    }

    @Test
    void aMethodThatReturnsCommitsAndOneThatThrowsDoesNot() {
        client.createTopic("bookings", 1);
        ledger.book("bookings", "one", false);
        assertThatThrownBy(() -> ledger.book("bookings", "two", true)).hasMessage("not enough");
        ledger.book("bookings", "three", false);
        assertThat(read("bookings")).containsExactly("one", "one again", "three", "three again");
    }

    @Test
    void anInnerMethodTakesPartInTheOuterOnes() {
        client.createTopic("notes", 1);
        ledger.bookAndNote("notes", "known");
        assertThatThrownBy(() -> ledger.bookAndNote("notes", "unheard of")).isInstanceOf(UnexpectedRollbackException.class);
        assertThat(read("notes")).containsExactly("booked", "known");
    }

    @Test
    void threadsTakeTurns() throws Exception {
        client.createTopic("turns", 1);
        try (Pool pool = new Pool()) {
            for (int i = 0; i < 20; i++) {
                String value = "v" + i;
                pool.threads.submit(() -> ledger.book("turns", value, false));
            }
        }
        assertThat(read("turns")).hasSize(40);
    }

    private record Pool(ExecutorService threads) implements AutoCloseable {
        Pool() {
            this(Executors.newFixedThreadPool(4));
        }

        @Override
        public void close() {
            threads.shutdown();
            try {
                assertThat(threads.awaitTermination(60, TimeUnit.SECONDS)).isTrue();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
    }

    @Test
    void whatCannotBeSaysSo() {
        assertThatThrownBy(ledger::outside).isInstanceOf(IllegalTransactionStateException.class).hasMessageContaining("@Transactional");
        assertThatThrownBy(ledger::apart).isInstanceOf(IllegalTransactionStateException.class).hasMessageContaining("one transaction at a time");
    }

    @Test
    @DirtiesContext
    void aProducerThatWasFencedBeginsNoTransaction() {
        client.createTopic("fenced", 1);
        client.transactionalProducer("ledger").close();
        assertThatThrownBy(() -> ledger.book("fenced", "late", false))
                .isInstanceOf(CannotCreateTransactionException.class)
                .hasCauseInstanceOf(ProducerFencedException.class);
        assertThat(read("fenced")).isEmpty();
    }
}
