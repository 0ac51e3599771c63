package com.firefly.flymq;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.firefly.flymq.exception.GroupNotFoundException;
import com.firefly.flymq.exception.InUseException;
import com.firefly.flymq.exception.InvalidArgumentException;
import com.firefly.flymq.exception.SchemaException;
import com.firefly.flymq.model.GroupInfo;
import com.firefly.flymq.model.GroupMember;
import com.firefly.flymq.model.PartitionOffset;
import com.firefly.flymq.model.Schema;
import com.firefly.flymq.model.SchemaReference;
import com.firefly.flymq.model.TopicPartitions;
import com.firefly.flymq.model.TransactionInfo;

import org.junit.jupiter.api.Test;

import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;

/** What operators ask for: groups, dead letters, schemas, transactions. */
class RegistryAndGroupsTest extends WithBroker {
    private static final String ID = "{\"type\": \"object\", \"required\": [\"id\"]}";

    @Test
    void aGroupIsDescribedWithItsMembers() {
        String topic = name("described");
        String group = name("group");
        client.createTopic(topic, 2);
        assertThatThrownBy(() -> client.describeGroup(group)).isInstanceOf(GroupNotFoundException.class);
        try (Consumer consumer = client.consumer(topic, group, fromTheStart())) {
            consumer.poll(Duration.ofMillis(1));
            GroupInfo info = client.describeGroup(group);
            assertThat(info.state()).isEqualTo("stable");
            GroupMember member = info.members().get(0);
            assertThat(member.topics()).containsExactly(topic);
            assertThatThrownBy(() -> client.resetOffsets(group, topic, 0)).isInstanceOf(InUseException.class);
            assertThat(member.target()).containsExactly(new TopicPartitions(topic, List.of(0, 1)));
        }
        client.commitOffset(group, topic, 1, 0);
        assertThat(client.describeGroup(group).state()).isEqualTo("empty");
        assertThat(client.describeGroup(group).offsets()).contains(new PartitionOffset(topic, 1, 0));
    }

    @Test
    void aGroupBeginsAnew() {
        String topic = name("reset");
        String group = name("group");
        client.createTopic(topic, 1);
        client.produce(topic, NewMessage.of("old").timestamp(Instant.ofEpochMilli(1_000)));
        client.produce(topic, NewMessage.of("new").timestamp(Instant.ofEpochMilli(5_000)));
        assertThat(client.resetOffsets(group, topic, OffsetReset.LATEST)).containsExactly(at(topic, 2));
        assertThat(client.resetOffsets(group, topic, OffsetReset.EARLIEST)).containsExactly(at(topic, 0));
        assertThat(client.resetOffsets(group, topic, Instant.ofEpochMilli(2_000))).containsExactly(at(topic, 1));
        assertThat(client.resetOffsets(group, topic, 2)).containsExactly(at(topic, 2));
        assertThat(client.committed(group, topic)).containsExactly(at(topic, 2));
        client.deleteGroup(group, topic);
        assertThatThrownBy(() -> client.committed(group, topic)).isInstanceOf(GroupNotFoundException.class);
    }

    private static PartitionOffset at(String topic, long offset) {
        return new PartitionOffset(topic, 0, offset);
    }

    @Test
    void deadLettersAreCountedAndReplayedByChoice() {
        String topic = name("dead");
        String group = name("group");
        client.createTopic(topic, 1);
        List<String> values = List.of("ada", "bob", "ada again", "eve");
        for (int offset = 0; offset < values.size(); offset++) {
            client.produce(topic, values.get(offset));
            client.call("Nack", Map.of("group", group, "topic", topic, "offset", offset, "max_retries", 0));
        }
        assertThat(client.dlqStats(topic).total()).isEqualTo(4);
        assertThat(client.dlqStats(topic).byGroup()).containsExactly(Map.entry(group, 4L));
        assertThat(client.dlqStats(topic).byReason()).containsExactly(Map.entry("max_retries_exceeded", 4L));
        assertThat(client.replayDlqMatching(topic, "ADA")).isEqualTo(2);
        String bob = client.fetchDlq(topic, 1).get(0).id();
        assertThat(client.replayDlq(topic, List.of(bob))).isEqualTo(1);
        assertThatThrownBy(() -> client.replayDlq(topic, List.of())).isInstanceOf(InvalidArgumentException.class);
        assertThat(client.replayAllDlq(topic)).isEqualTo(1);
        assertThat(client.dlqStats(topic).total()).isZero();
    }

    @Test
    void schemasAreRegisteredComparedBoundAndDeleted() {
        String name = name("schema");
        Schema first = client.registerSchema(name, "json", ID);
        assertThat(first.type()).isEqualTo("json");
        assertThat(first.compatibility()).isEqualTo("backward");
        String stricter = "{\"type\": \"object\", \"required\": [\"id\", \"to\"]}";
        assertThatThrownBy(() -> client.checkSchema(name, "json", stricter)).isInstanceOf(SchemaException.class);
        client.setCompatibility(name, "none");
        client.checkSchema(name, "json", stricter);
        assertThat(client.listSchemas(name)).hasSize(1);
        assertThat(client.registerSchema(name, "json", stricter).version()).isEqualTo(2);
        assertThat(client.getSchema(name).definition()).isEqualTo(stricter);
        assertThat(client.getSchema(name, 1).globalId()).isEqualTo(first.globalId());
        assertThat(client.validateSchema(name, "{\"id\": 1, \"to\": \"x\"}")).isEmpty();
        assertThat(client.validateSchema(name, "{\"id\": 1}")).singleElement().asString().contains("to");
        String topic = name("bound");
        client.createTopic(topic, 1);
        client.bindSchema(topic, name, "strict");
        assertThatThrownBy(() -> client.produce(topic, "{\"id\": 1}")).isInstanceOf(SchemaException.class);
        client.unbindSchema(topic);
        client.produce(topic, "{\"id\": 1}");
        assertThat(client.deleteSchema(name, 1)).containsExactly(1);
        assertThat(client.deleteSchema(name)).containsExactly(2);
    }

    @Test
    void aSchemaRefersToAnother() {
        String address = name("address");
        client.registerSchema(address, "avro", "{\"type\":\"record\",\"name\":\"Address\",\"fields\":"
                + "[{\"name\":\"town\",\"type\":\"string\"}]}");
        List<SchemaReference> references = List.of(new SchemaReference("Address", address, 1));
        Schema order = client.registerSchema(name("order"), "avro", "{\"type\":\"record\",\"name\":\"Order\",\"fields\":"
                + "[{\"name\":\"to\",\"type\":\"Address\"}]}", references);
        assertThat(client.getSchema(order.name()).references()).isEqualTo(references);
    }

    @Test
    void openTransactionsAreListed() {
        String topic = name("open");
        client.createTopic(topic, 1);
        String id = name("producer");
        try (TransactionalProducer producer = client.transactionalProducer(id)) {
            producer.init();
            try (TransactionalProducer.Scope scope = producer.begin()) {
                scope.send(topic, NewMessage.of("x"));
                TransactionInfo open = client.listTransactions().stream()
                        .filter(one -> one.transactionId().endsWith("." + id))
                        .findAny()
                        .orElseThrow();
                assertThat(open.state()).isEqualTo("ongoing");
                assertThat(open.partitions()).containsExactly(new TopicPartitions(topic, List.of(0)));
            }
            assertThat(client.listTransactions()).noneMatch(one -> one.transactionId().endsWith("." + id));
        }
    }
}
