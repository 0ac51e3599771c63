package com.firefly.flymq;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.firefly.flymq.exception.ClosedException;
import com.firefly.flymq.exception.RecordNotHeldException;
import com.firefly.flymq.exception.TopicNotFoundException;
import com.firefly.flymq.model.DeadLetter;

import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.IntStream;

/** Listeners that fail, and queue mode: each message is answered for, and comes to an end. */
class QueueTest extends WithBroker {
    private static final Duration LONG = Duration.ofSeconds(30);
    private static final Duration NOW = Duration.ofMillis(1);

    private static String filled(String what, int count) {
        String topic = name(what);
        client.produceBatch(topic, IntStream.range(0, count).mapToObj(i -> NewMessage.of("v" + i)).toList());
        return topic;
    }

    private static List<String> values(List<Message> messages) {
        return messages.stream().map(Message::dataAsString).toList();
    }

    @Test
    void aListenerTellsOfPartitionsThatComeAndGo() {
        String topic = name("told");
        client.createTopic(topic, 2);
        String group = name("group");
        List<String> heard = new CopyOnWriteArrayList<>();
        ConsumerConfig config = fromTheStart().rebalanceListener(new RebalanceListener() {
            @Override
            public void onAssign(List<TopicPartition> partitions) {
                heard.add("assign " + partitions.size());
            }

            @Override
            public void onRevoke(List<TopicPartition> partitions) {
                heard.add("revoke " + partitions.size());
            }
        });
        try (Listener first = client.listen(List.of(topic), group, config, message -> {})) {
            Awaitility.await().atMost(LONG).until(() -> heard.equals(List.of("assign 2")));
            try (Listener other = client.listen(List.of(topic), group, fromTheStart(), message -> {})) {
                Awaitility.await().atMost(LONG).until(() -> heard.contains("revoke 1"));
                assertThat(other.failure()).isEmpty();
            }
            Awaitility.await().atMost(LONG).until(() -> heard.size() == 3);
            assertThat(first.failure()).isEmpty();
        }
        assertThat(heard).containsExactly("assign 2", "revoke 1", "assign 1", "revoke 2");
    }

    @Test
    void aMessageAtWhichAListenerThrowsComesAgainAndIsADeadLetterInTheEnd() {
        String topic = filled("listen", 4);
        String group = name("group");
        List<String> seen = new CopyOnWriteArrayList<>();
        ConsumerConfig config = fromTheStart().maxRetries(1).retryDelay(Duration.ofMillis(10));
        MessageHandler handler = message -> {
            seen.add(message.dataAsString() + "/" + message.deliveryCount());
            if (message.dataAsString().equals("v2") || message.dataAsString().equals("v1") && message.deliveryCount() == 1) {
                throw new IllegalStateException("not this");
            }
        };
        try (Listener listener = client.listen(List.of(topic), group, config, handler)) {
            Awaitility.await().atMost(LONG).until(() -> !client.fetchDlq(topic, 5).isEmpty() && seen.size() == 6);
            assertThat(listener.failure()).isEmpty();
        }
        assertThat(seen).containsExactlyInAnyOrder("v0/1", "v1/1", "v2/1", "v3/1", "v1/2", "v2/2");
        assertThat(client.fetchDlq(topic, 5)).extracting(DeadLetter::error)
                .containsExactly("java.lang.IllegalStateException: not this");
        assertThat(client.call("GetLag", Map.of("group", group, "topic", topic)).path("total").asInt()).isZero();
    }

    @Test
    void aListenerSaysWhatEndedIt() {
        try (Listener listener = client.listen(name("missing"), name("group"), message -> {})) {
            Awaitility.await().atMost(LONG).until(() -> listener.failure().isPresent());
            assertThat(listener.failure().orElseThrow()).isInstanceOf(TopicNotFoundException.class);
        }
    }

    @Test
    void aQueueGivesEachMessageToOneReader() {
        String topic = filled("queue", 5);
        String group = name("group");
        QueueConfig config = new QueueConfig().maxRetries(1).retryDelay(Duration.ZERO);
        QueueConsumer one = client.queue(topic, group, config);
        try (QueueConsumer other = client.queue(topic, group)) {
            List<Message> first = one.poll(LONG, 4);
            assertThat(values(first)).containsExactly("v0", "v1", "v2", "v3");
            assertThat(values(other.poll(LONG))).containsExactly("v4");
            one.accept(first.get(0));
            assertThatThrownBy(() -> one.accept(first.get(0))).isInstanceOf(RecordNotHeldException.class);
            assertThatThrownBy(() -> other.accept(first.get(1))).isInstanceOf(RecordNotHeldException.class);
            one.extend(first.get(1));
            one.reject(first.get(1), "no use");
            one.release(first.get(2));
            Message released = other.poll(LONG).get(0);
            assertThat(released.dataAsString() + "/" + released.deliveryCount()).isEqualTo("v2/1");
            other.accept(List.of(released));
            assertThat(one.nack(first.get(3), "boom")).isEqualTo(new Failure(1, false, Duration.ZERO));
            Message again = one.poll(LONG).get(0);
            assertThat(again.deliveryCount()).isEqualTo(2);
            assertThat(one.nack(again, "boom again").deadLettered()).isTrue();
            // What the other one holds it gives back.
        }
        assertThat(values(one.poll(LONG))).containsExactly("v4");
        one.close();
        assertThatThrownBy(() -> one.poll(NOW)).isInstanceOf(ClosedException.class);
        assertThat(client.fetchDlq(topic, 5)).extracting(DeadLetter::error).containsExactly("no use", "boom again");
    }

    @Test
    void locksAreExtendedWhileTheReaderWorks() {
        String topic = filled("locks", 2);
        String group = name("group");
        QueueConfig second = new QueueConfig().lock(Duration.ofSeconds(1));
        try (QueueConsumer works = client.queue(topic, group, second);
                QueueConsumer forgets = client.queue(topic, group, new QueueConfig().lock(Duration.ofSeconds(1)).hold(Duration.ZERO));
                QueueConsumer third = client.queue(topic, group)) {
            List<Message> held = new ArrayList<>(works.poll(LONG, 1));
            assertThat(values(forgets.poll(LONG, 1))).containsExactly("v1");
            Message again = third.poll(LONG, 1).get(0);
            assertThat(again.dataAsString() + "/" + again.deliveryCount()).isEqualTo("v1/2");
            assertThat(third.poll(Duration.ofMillis(1_500))).as("the other one is held on").isEmpty();
            works.accept(held);
            third.accept(again);
        }
    }
}
