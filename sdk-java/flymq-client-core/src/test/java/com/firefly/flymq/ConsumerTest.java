package com.firefly.flymq;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.firefly.flymq.exception.ClosedException;
import com.firefly.flymq.exception.InvalidArgumentException;
import com.firefly.flymq.exception.PartitionNotFoundException;
import com.firefly.flymq.exception.TopicNotFoundException;
import com.firefly.flymq.model.PartitionOffset;

import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.IntStream;

/** Poll, commit, seek, close. */
class ConsumerTest extends WithBroker {
    private static final Duration LONG = Duration.ofSeconds(20);

    private static List<String> read(Consumer consumer, int count) {
        List<String> values = new ArrayList<>();
        Awaitility.await().atMost(LONG).until(() -> {
            consumer.poll(Duration.ofSeconds(1)).forEach(message -> values.add(message.dataAsString()));
            return values.size() >= count;
        });
        return values;
    }

    @Test
    void latestBeginsAtSubscribe() {
        String topic = name("latest");
        client.produce(topic, "before");
        try (Consumer consumer = client.consumer(topic, name("group"))) {
            consumer.subscribe();
            client.produce(topic, "after");
            assertThat(read(consumer, 1)).containsExactly("after");
        }
    }

    @Test
    void aGroupGoesOnWhereItCommitted() {
        String topic = name("resume");
        String group = name("group");
        IntStream.range(0, 6).forEach(i -> client.produce(topic, "m" + i));
        ConsumerConfig manual = fromTheStart().enableAutoCommit(false).maxPollRecords(2);
        try (Consumer consumer = client.consumer(List.of(topic), group, manual)) {
            assertThat(read(consumer, 2)).containsExactly("m0", "m1");
            consumer.commit();
            assertThat(read(consumer, 2)).containsExactly("m2", "m3");
        }
        assertThat(client.committed(group, topic)).containsExactly(new PartitionOffset(topic, 0, 2));
        try (Consumer consumer = client.consumer(List.of(topic), group, fromTheStart())) {
            assertThat(read(consumer, 4)).containsExactly("m2", "m3", "m4", "m5");
            assertThat(consumer.position(0)).isEqualTo(6);
        }
        // Closing commits, with auto-commit.
        assertThat(client.committed(group, topic)).containsExactly(new PartitionOffset(topic, 0, 6));
    }

    @Test
    void severalTopicsAndSeek() {
        String first = name("first");
        String second = name("second");
        client.produce(first, "a");
        client.produce(second, "b");
        try (Consumer consumer = client.consumer(List.of(first, second), null, fromTheStart())) {
            assertThat(read(consumer, 2)).containsExactlyInAnyOrder("a", "b");
            consumer.seek(second, 0, 0);
            assertThat(read(consumer, 1)).containsExactly("b");
            consumer.seekToBeginning();
            assertThat(read(consumer, 2)).containsExactlyInAnyOrder("a", "b");
            consumer.seekToEnd();
            client.produce(first, "c");
            assertThat(read(consumer, 1)).containsExactly("c");
            assertThatThrownBy(() -> consumer.seek(5, 0)).isInstanceOf(PartitionNotFoundException.class);
        }
        assertThat(client.consumerGroup(List.of(first), name("group")).poll(Duration.ZERO)).isEmpty();
    }

    @Test
    void closingEndsAPollThatWaits() {
        String topic = name("waiting");
        client.createTopic(topic, 1);
        Consumer consumer = client.consumer(topic, name("group"));
        consumer.subscribe();
        AtomicReference<Throwable> seen = new AtomicReference<>();
        Thread waiting = new Thread(() -> {
            try {
                consumer.poll(Duration.ofMinutes(10));
            } catch (RuntimeException e) {
                seen.set(e);
            }
        });
        waiting.start();
        Awaitility.await().atMost(LONG).until(() -> inPoll(waiting));
        consumer.close();
        Awaitility.await().atMost(LONG).until(() -> !waiting.isAlive());
        assertThat(seen.get()).isInstanceOf(ClosedException.class).hasMessageContaining("the consumer is closed");
        assertThatThrownBy(() -> consumer.poll(Duration.ZERO)).isInstanceOf(ClosedException.class);
    }

    private static boolean inPoll(Thread thread) {
        StackTraceElement[] stack = thread.getStackTrace();
        return stack.length > 0 && stack[0].getMethodName().equals("poll");
    }

    @Test
    void whatCannotBeIsRefused() {
        assertThatThrownBy(() -> client.consumer(List.of(), "g")).isInstanceOf(InvalidArgumentException.class);
        assertThatThrownBy(() -> client.consumer(name("missing"), "g").subscribe())
                .isInstanceOf(TopicNotFoundException.class);
        ConsumerConfig bad = fromTheStart().filter("cel:vale.total > 1");
        String topic = name("filter");
        client.produce(topic, "v");
        try (Consumer consumer = client.consumer(List.of(topic), null, bad)) {
            assertThatThrownBy(() -> consumer.poll(LONG)).hasMessageContaining("column 1");
        }
    }

    @Test
    void theServerFilters() {
        String topic = name("filtered");
        client.produce(topic, "{\"total\": 5}");
        client.produce(topic, "an ERROR");
        client.produce(topic, "{\"total\": 500}");
        for (String filter : List.of("ERROR", "^an E.*", "cel:text.contains('ERROR')")) {
            try (Consumer consumer = client.consumer(List.of(topic), null, fromTheStart().filter(filter))) {
                assertThat(read(consumer, 1)).containsExactly("an ERROR");
            }
        }
        ConsumerConfig large = fromTheStart().filter("cel:value.total > 100");
        try (Consumer consumer = client.consumer(List.of(topic), name("group"), large)) {
            assertThat(read(consumer, 1)).containsExactly("{\"total\": 500}");
            assertThat(consumer.position(0)).isEqualTo(3);
        }
    }
}
