package com.firefly.flymq;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.firefly.flymq.exception.InvalidArgumentException;
import com.firefly.flymq.exception.ProducerFencedException;
import com.firefly.flymq.exception.RebalanceException;
import com.firefly.flymq.exception.TransactionException;
import com.firefly.flymq.model.PartitionOffset;

import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;

/** Transactional producers: all or nothing, fenced, with the offsets of a group. */
class TransactionalProducerTest extends WithBroker {
    private static List<String> committed(String topic) {
        return client.fetch(topic, 0, 0, 1_000).messages().stream().map(Message::dataAsString).toList();
    }

    private static Consumer member(String topic, String group) {
        return client.consumer(List.of(topic), group, fromTheStart().enableAutoCommit(false));
    }

    private static List<Message> polled(Consumer consumer, int count) {
        List<Message> messages = new ArrayList<>();
        Awaitility.await().atMost(Duration.ofSeconds(20)).until(() -> {
            messages.addAll(consumer.poll(Duration.ofSeconds(1)));
            return messages.size() >= count;
        });
        return messages;
    }

    private static void fail(Object after) {
        throw new IllegalStateException("mine, after " + after);
    }

    @Test
    void aScopeCommitsOrAborts() {
        String topic = name("scope");
        client.createTopic(topic, 1);
        try (TransactionalProducer producer = client.transactionalProducer(name("id"))) {
            try (TransactionalProducer.Scope transaction = producer.begin()) {
                assertThat(transaction.send(topic, NewMessage.of("one").key("k")).offset()).isZero();
                assertThat(committed(topic)).isEmpty();
                transaction.commit();
            }
            assertThat(committed(topic)).containsExactly("one");
            try (TransactionalProducer.Scope transaction = producer.begin()) {
                transaction.send(topic, NewMessage.of("never"));
            }
            assertThatThrownBy(() -> producer.inTransaction(transaction -> fail(transaction.send(topic, new byte[0]))))
                    .isInstanceOf(IllegalStateException.class);
            producer.inTransaction(transaction ->
                    transaction.sendAll(topic, List.of(NewMessage.of("two"), NewMessage.of("three"))));
            producer.begin().send(topic, NewMessage.of("neither"));
        }
        assertThat(committed(topic)).containsExactly("one", "two", "three");
        ConsumerConfig all = fromTheStart().isolationLevel(IsolationLevel.READ_UNCOMMITTED);
        try (Consumer consumer = client.consumer(topic, null, all)) {
            assertThat(polled(consumer, 6)).hasSize(6);
        }
    }

    @Test
    void theNextProducerOfTheIdFencesTheOneBefore() {
        String topic = name("fenced");
        String id = name("id");
        client.createTopic(topic, 1);
        TransactionalProducer first = client.transactionalProducer(id);
        TransactionalProducer.Scope open = first.begin();
        open.send(topic, NewMessage.of("of the first"));
        TransactionalProducer second = client.transactionalProducer(id, Duration.ofSeconds(30));
        assertThatThrownBy(open::commit)
                .isInstanceOf(TransactionException.class)
                .isInstanceOfSatisfying(ProducerFencedException.class, e -> assertThat(e.hint()).isNotEmpty());
        second.inTransaction(transaction -> transaction.send(topic, NewMessage.of("of the second")));
        first.init();
        first.inTransaction(transaction -> transaction.send(topic, NewMessage.of("of the first again")));
        assertThatThrownBy(() -> second.inTransaction(transaction -> transaction.send(topic, NewMessage.of("late"))))
                .isInstanceOf(ProducerFencedException.class);
        assertThat(committed(topic)).containsExactly("of the second", "of the first again");
        first.close();
        second.close();
    }

    @Test
    void offsetsCountWithTheMessages() {
        String topic = name("raw");
        String made = name("made");
        String group = name("group");
        client.createTopic(made, 1);
        client.produceBatch(topic, List.of(NewMessage.of("a"), NewMessage.of("b")));
        try (Consumer consumer = member(topic, group);
                TransactionalProducer producer = client.transactionalProducer(group)) {
            List<Message> first = polled(consumer, 2);
            assertThatThrownBy(() -> producer.inTransaction(
                            consumer, first, transaction -> fail(transaction.send(made, NewMessage.of("half of it")))))
                    .isInstanceOf(IllegalStateException.class);
            List<Message> again = polled(consumer, 2);
            assertThat(again).as("what was not committed comes again").extracting(Message::dataAsString).containsExactly("a", "b");
            producer.inTransaction(consumer, again, transaction -> again.forEach(message ->
                    transaction.send(made, NewMessage.of(message.dataAsString().toUpperCase(Locale.ROOT)))));
            assertThat(committed(made)).containsExactly("A", "B");
            assertThat(client.committed(group, topic)).containsExactly(new PartitionOffset(topic, 0, 2));
            String other = name("group");
            producer.inTransaction(transaction ->
                    transaction.sendOffsets(other, Map.of(new TopicPartition(topic, 0), 1L)));
            assertThat(client.committed(other, topic)).containsExactly(new PartitionOffset(topic, 0, 1));
        }
    }

    @Test
    void transformIsAllOrNothing() {
        String topic = name("raw");
        String made = name("made");
        String group = name("group");
        client.createTopic(made, 1);
        client.produceBatch(topic, List.of(NewMessage.of("a"), NewMessage.of("b")));
        AtomicBoolean failing = new AtomicBoolean(true);
        try (Consumer consumer = member(topic, group);
                TransactionalProducer producer = client.transactionalProducer(group)) {
            assertThatThrownBy(() -> producer.transform(consumer, polled(consumer, 2), message -> {
                        if (failing.get() && message.dataAsString().equals("b")) {
                            fail(message);
                        }
                        return List.of(ProducerRecord.of(made, message.value()));
                    }))
                    .isInstanceOf(IllegalStateException.class);
            failing.set(false);
            List<Message> lost = polled(consumer, 2);
            JsonNode member = client.call("DescribeGroup", Map.of("group", group)).path("members").path(0);
            client.call("LeaveGroup", Map.of("group", group, "member_id", member.path("member_id").asText()));
            assertThatThrownBy(() -> producer.transform(
                            consumer, lost, message -> List.of(ProducerRecord.of(made, message.value()))))
                    .isInstanceOf(RebalanceException.class);
            assertThat(committed(made)).isEmpty();
            producer.transform(
                    consumer,
                    polled(consumer, 2),
                    message -> List.of(ProducerRecord.of(made, message.value()), ProducerRecord.of(made, "and more")));
            assertThat(committed(made)).containsExactly("a", "and more", "b", "and more");
        }
    }

    @Test
    void whatCannotBeSaysSo() {
        String topic = name("raw");
        client.produce(topic, "a");
        assertThatThrownBy(() -> client.transactionalProducer("")).isInstanceOf(InvalidArgumentException.class);
        try (TransactionalProducer producer = client.transactionalProducer(name("id"));
                Consumer commitsItself = client.consumer(topic, name("group"), fromTheStart());
                Consumer noMember = client.consumer(topic, null, fromTheStart().enableAutoCommit(false))) {
            assertThatThrownBy(() -> producer.transform(commitsItself, polled(commitsItself, 1), message -> List.of()))
                    .isInstanceOf(InvalidArgumentException.class)
                    .hasMessageContaining("auto-commit");
            assertThatThrownBy(() -> producer.transform(noMember, polled(noMember, 1), message -> List.of()))
                    .isInstanceOf(InvalidArgumentException.class)
                    .hasMessageContaining("member");
            TransactionalProducer.Scope over = producer.begin();
            over.commit();
            assertThatThrownBy(over::commit).isInstanceOf(TransactionException.class);
        }
    }
}
