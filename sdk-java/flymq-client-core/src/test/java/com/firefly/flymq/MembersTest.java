package com.firefly.flymq;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.firefly.flymq.exception.InstanceFencedException;
import com.firefly.flymq.exception.InvalidArgumentException;

import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/** Members of a group: they share partitions, and hear of those that come and go. */
class MembersTest extends WithBroker {
    private static final int PARTITIONS = 4;
    private static final Duration LONG = Duration.ofSeconds(30);
    private static final Duration SHORT = Duration.ofMillis(50);

    /** Writes down what it hears. */
    private static final class Heard implements RebalanceListener {
        private final List<String> calls = new ArrayList<>();

        @Override
        public void onAssign(List<TopicPartition> partitions) {
            add("assign", partitions);
        }

        @Override
        public void onRevoke(List<TopicPartition> partitions) {
            add("revoke", partitions);
        }

        @Override
        public void onLost(List<TopicPartition> partitions) {
            add("lost", partitions);
        }

        private void add(String kind, List<TopicPartition> partitions) {
            calls.add(kind + " " + numbers(partitions));
        }

        private String last() {
            return calls.get(calls.size() - 1);
        }
    }

    private static List<Integer> numbers(List<TopicPartition> partitions) {
        return partitions.stream().map(TopicPartition::partition).sorted().toList();
    }

    private static Consumer open(String topic, String group, ConsumerConfig config) {
        return client.consumer(List.of(topic), group, config);
    }

    /** Polls all of them until they have all partitions between them, and each at least one. */
    private static void pollUntilShared(Consumer... consumers) {
        List<Integer> all = IntStream.range(0, PARTITIONS).boxed().toList();
        Awaitility.await().atMost(LONG).pollInterval(Duration.ofMillis(1)).until(() -> {
            List<List<Integer>> shares = new ArrayList<>();
            for (Consumer consumer : consumers) {
                consumer.poll(SHORT);
            }
            Arrays.stream(consumers).forEach(consumer -> shares.add(numbers(consumer.assignment())));
            return shares.stream().noneMatch(List::isEmpty)
                    && shares.stream().flatMap(List::stream).sorted().toList().equals(all);
        });
    }

    @Test
    void membersShareThePartitionsAndHearOfIt() {
        String topic = name("shared");
        String group = name("group");
        client.createTopic(topic, PARTITIONS);
        Heard heardA = new Heard();
        Heard heardB = new Heard();
        try (Consumer a = open(topic, group, fromTheStart().rebalanceListener(heardA))) {
            pollUntilShared(a);
            assertThat(heardA.calls).containsExactly("assign [0, 1, 2, 3]");
            List<Integer> given;
            try (Consumer b = open(topic, group, fromTheStart().rebalanceListener(heardB))) {
                pollUntilShared(a, b);
                given = numbers(b.assignment());
                assertThat(given).hasSize(2);
                assertThat(heardA.last()).isEqualTo("revoke " + given);
                assertThat(heardB.calls).containsExactly("assign " + given);
            }
            assertThat(heardB.last()).isEqualTo("revoke " + given);
            pollUntilShared(a);
            assertThat(heardA.last()).isEqualTo("assign " + given);
        }
    }

    @Test
    void whatIsRevokedCanBeCommittedByTheListener() {
        String topic = name("revoked");
        String group = name("group");
        client.createTopic(topic, 2);
        IntStream.range(0, 2).forEach(i -> client.produce(topic, NewMessage.of("x").partition(i)));
        Consumer[] holder = new Consumer[1];
        RebalanceListener commits = new RebalanceListener() {
            @Override
            public void onRevoke(List<TopicPartition> partitions) {
                holder[0].commit();
            }
        };
        ConsumerConfig manual = fromTheStart().enableAutoCommit(false);
        Consumer a = open(topic, group, fromTheStart().enableAutoCommit(false).rebalanceListener(commits));
        holder[0] = a;
        List<Message> read = new ArrayList<>();
        Awaitility.await().atMost(LONG).until(() -> read.addAll(a.poll(Duration.ofSeconds(1))) && read.size() == 2
                || read.size() == 2);
        try (Consumer b = open(topic, group, manual)) {
            Awaitility.await().atMost(LONG).until(() -> {
                assertThat(a.poll(SHORT)).isEmpty();
                assertThat(b.poll(SHORT)).as("it was committed before it went").isEmpty();
                return !b.assignment().isEmpty();
            });
            a.close();
        }
    }

    @Test
    void aMemberThatWasSilentHearsThatItLostItsPartitions() {
        String topic = name("lost");
        String group = name("group");
        client.createTopic(topic, PARTITIONS);
        Heard heard = new Heard();
        try (Consumer consumer = open(topic, group, fromTheStart().rebalanceListener(heard))) {
            pollUntilShared(consumer);
            // What the coordinator does when a session ends.
            JsonNode member = client.call("DescribeGroup", Map.of("group", group)).path("members").path(0);
            client.call("LeaveGroup", Map.of("group", group, "member_id", member.path("member_id").asText()));
            Awaitility.await().atMost(LONG).until(() -> consumer.poll(SHORT).isEmpty() && heard.calls.size() >= 3);
            assertThat(heard.calls)
                    .containsExactly("assign [0, 1, 2, 3]", "lost [0, 1, 2, 3]", "assign [0, 1, 2, 3]");
        }
    }

    @Test
    void aStaticMemberKeepsItsPlaceAndFencesTheOneBefore() {
        String topic = name("static");
        String group = name("group");
        client.createTopic(topic, PARTITIONS);
        try (Consumer other = open(topic, group, fromTheStart())) {
            Consumer first = open(topic, group, fromTheStart().groupInstanceId("one"));
            pollUntilShared(other, first);
            List<Integer> mine = numbers(first.assignment());
            first.close();
            Heard heard = new Heard();
            Consumer second = open(topic, group, fromTheStart().groupInstanceId("one").rebalanceListener(heard));
            pollUntilShared(other, second);
            assertThat(heard.calls).as("nothing has moved").containsExactly("assign " + mine);
            try (Consumer third = open(topic, group, fromTheStart().groupInstanceId("one"))) {
                Awaitility.await().atMost(LONG).until(() -> third.poll(SHORT).isEmpty() && !third.assignment().isEmpty());
                assertThatThrownBy(() -> pollUntilShared(second, third))
                        .isInstanceOf(InstanceFencedException.class);
                assertThat(heard.last()).isEqualTo("lost " + mine);
            }
            second.close();
        }
        assertThatThrownBy(() -> open(topic, group, fromTheStart().membership(false).groupInstanceId("one")))
                .isInstanceOf(InvalidArgumentException.class);
    }

    @Test
    void consumerGroupTakesPatternsAndInNewTopics() {
        String base = name("pattern");
        client.produce(base + "/eu", "first");
        try (Consumer consumer = client.consumerGroup(List.of(base + "/+"), name("group"))) {
            List<String> read = new ArrayList<>();
            consumer.poll(SHORT);
            client.produce(base + "/us", "second");
            Awaitility.await().atMost(LONG).until(() -> {
                consumer.poll(SHORT).forEach(message -> read.add(message.dataAsString()));
                return read.contains("second");
            });
        }
        assertThatThrownBy(() -> client.consumer(base + "/+", null)).isInstanceOf(InvalidArgumentException.class);
    }

    @Test
    void withoutMembershipEachReadsAll() {
        String topic = name("all");
        String group = name("group");
        client.createTopic(topic, 2);
        try (Consumer a = open(topic, group, fromTheStart().membership(false));
                Consumer b = open(topic, group, fromTheStart().membership(false))) {
            a.subscribe();
            b.subscribe();
            assertThat(numbers(a.assignment())).containsExactly(0, 1);
            assertThat(numbers(b.assignment())).containsExactly(0, 1);
        }
    }
}
