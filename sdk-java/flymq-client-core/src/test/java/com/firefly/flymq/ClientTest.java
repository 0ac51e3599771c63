package com.firefly.flymq;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.firefly.flymq.exception.ClosedException;
import com.firefly.flymq.exception.ConnectionException;
import com.firefly.flymq.exception.InterruptedOperationException;
import com.firefly.flymq.exception.InvalidArgumentException;
import com.firefly.flymq.exception.SchemaException;
import com.firefly.flymq.exception.TopicAlreadyExistsException;
import com.firefly.flymq.exception.TopicNotFoundException;
import com.firefly.flymq.exception.UnsupportedException;
import com.firefly.flymq.model.DeadLetter;
import com.firefly.flymq.model.PartitionInfo;
import com.firefly.flymq.model.PartitionLag;
import com.firefly.flymq.model.PartitionOffset;
import com.firefly.flymq.model.TopicInfo;
import com.firefly.flymq.model.TopicMetadata;

import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;

import java.net.ServerSocket;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicReference;

/** Connecting, control calls, closing, interrupts. */
class ClientTest extends WithBroker {
    @Test
    void aServerThatIsNotThereIsNamed() throws Exception {
        int port;
        try (ServerSocket free = new ServerSocket(0)) {
            port = free.getLocalPort();
        }
        ClientConfig config = new ClientConfig().bootstrapServers("127.0.0.1:" + port).maxRetries(0);
        assertThatThrownBy(() -> FlyMQClient.connect(config))
                .isInstanceOf(ConnectionException.class)
                .hasMessageContaining("127.0.0.1:" + port)
                .hasMessageContaining("Start it with: flymq");
        try (FlyMQClient second = FlyMQClient.connect("127.0.0.1:" + port + "," + broker.address())) {
            assertThat(second.listTopics()).isNotNull();
        }
        assertThatThrownBy(() -> FlyMQClient.connect("nowhere:port")).isInstanceOf(InvalidArgumentException.class);
    }

    @Test
    void topicsAreManaged() {
        String topic = name("topics");
        TopicInfo made = client.createTopic(topic, 3);
        assertThat(made.partitions()).extracting(PartitionInfo::partition).containsExactly(0, 1, 2);
        assertThatThrownBy(() -> client.createTopic(topic, 3)).isInstanceOf(TopicAlreadyExistsException.class);
        assertThat(client.listTopics()).contains(topic);
        client.produce(topic, NewMessage.of("x").partition(1));
        assertThat(client.topicInfo(topic).partitions().get(1).highWatermark()).isEqualTo(1);
        assertThat(client.getClusterMetadata().topics()).extracting(TopicMetadata::name).contains(topic);
        client.deleteTopic(topic);
        assertThat(client.listTopics()).doesNotContain(topic);
        assertThatThrownBy(() -> client.deleteTopic(topic)).isInstanceOf(TopicNotFoundException.class);
    }

    @Test
    void groupsCommitAndLag() {
        String topic = name("lag");
        String group = name("group");
        for (int i = 0; i < 5; i++) {
            client.produce(topic, "x");
        }
        client.commitOffset(group, topic, 0, 2);
        assertThat(client.committed(group, topic)).containsExactly(new PartitionOffset(topic, 0, 2));
        assertThat(client.lag(group, topic)).singleElement().satisfies(behind -> {
            assertThat(behind).isEqualTo(new PartitionLag(topic, 0, 2, 5, 3, behind.lagMs()));
            assertThat(behind.lagMs()).isNotNegative();
        });
        assertThat(client.lag(group)).extracting(PartitionLag::lag).containsExactly(3L);
        assertThat(client.listGroups()).contains(group);
        client.deleteGroup(group);
        assertThat(client.listGroups()).doesNotContain(group);
    }

    @Test
    void delayedMessagesAreListedCancelledAndDeliveredNow() {
        String topic = name("delayed");
        client.createTopic(topic, 1);
        String far = client.produceDelayed(topic, "far".getBytes(), 3_600_000);
        String again = client.produceRecurring(topic, "again".getBytes(), "0 0 1 1 *");
        assertThat(client.listSchedules(topic, 10)).extracting(Schedule::id).containsExactlyInAnyOrder(far, again);
        assertThat(client.deliverScheduleNow(topic, far)).isZero();
        client.cancelSchedule(topic, again);
        assertThat(client.listSchedules(topic, 10)).isEmpty();
    }

    @Test
    void deadLettersAreListedReplayedAndPurged() {
        String topic = "dead-" + System.nanoTime();
        client.createTopic(topic, 1);
        for (int offset = 0; offset < 2; offset++) {
            client.produce(topic, "value-" + offset);
            Map<String, Object> failed = Map.of(
                    "group", "g-" + topic, "topic", topic, "offset", offset, "reason", "boom", "max_retries", 0);
            assertThat(client.call("Nack", failed).path("dead_lettered").asBoolean()).isTrue();
        }
        List<DeadLetter> letters = client.fetchDlq(topic, 10);
        assertThat(letters).hasSize(2);
        assertThat(letters.get(0).error()).isEqualTo("boom");
        client.replayDlq(topic, letters.get(0).id());
        assertThat(client.fetchDlq(topic, 10)).hasSize(1);
        assertThat(client.purgeDlq(topic)).isEqualTo(1);
        assertThat(client.fetchDlq(topic, 10)).isEmpty();
    }

    @Test
    void aPolicySaysWhenAMessageIsDeadAndWhereItGoes() {
        String topic = "policy-" + System.nanoTime();
        client.createTopic(topic, 1);
        client.produce(topic, "value");
        client.setDeadLetterPolicy(topic, Map.of("max_retries", 0, "topic", topic + "-graves"));
        client.setDeadLetterPolicy(topic, "patient", Map.of("max_retries", 1, "retry_delay_ms", 0));
        assertThat(isDeadAfterAFailure(topic, "patient")).isFalse();
        assertThat(isDeadAfterAFailure(topic, "others")).isTrue();
        assertThat(client.fetchDlq(topic, 10)).hasSize(1);
        Map<String, Object> bad = Map.of("backoff_factor", 0.5);
        assertThatThrownBy(() -> client.setDeadLetterPolicy(topic, bad)).hasMessageContaining("backoff_factor");
        client.setDeadLetterPolicy(topic, "patient", Map.of());
        assertThat(isDeadAfterAFailure(topic, "patient")).isTrue();
    }

    private boolean isDeadAfterAFailure(String topic, String group) {
        Map<String, Object> failed = Map.of("group", group, "topic", topic, "offset", 0, "reason", "boom");
        return client.call("Nack", failed).path("dead_lettered").asBoolean();
    }

    @Test
    void aSchemaIsHeldAgainstWhatIsSentWithIt() {
        String topic = client.registerSchema("java-order", "json", "{\"type\": \"object\", \"required\": [\"id\"]}").name();
        client.createTopic(topic, 1);
        assertThatThrownBy(() -> client.produceWithSchema(topic, "{}".getBytes(), topic))
                .isInstanceOf(SchemaException.class)
                .hasMessageContaining("missing required field: id");
        assertThat(client.produceWithSchema(topic, "{\"id\": 1}".getBytes(), topic).offset()).isZero();
        assertThatThrownBy(() -> client.registerSchema(topic, "avro", "{")).isInstanceOf(SchemaException.class);
    }

    @Test
    void whatTheBrokerDoesNotOfferYetIsSaid() {
        assertThatThrownBy(() -> client.call("ListUsers", Map.of()))
                .isInstanceOfSatisfying(UnsupportedException.class, e -> assertThat(e.code()).isEqualTo("UNIMPLEMENTED"));
        assertThatThrownBy(() -> client.call("NoSuchRpc", Map.of())).isInstanceOf(InvalidArgumentException.class);
        assertThatThrownBy(() -> client.call("GetTopic", Map.of("nmae", "x"))).hasMessageContaining("nmae");
    }

    @Test
    void aClosedClientRefusesCalls() {
        FlyMQClient closed = FlyMQClient.connect(broker.address());
        closed.close();
        closed.close();
        assertThatThrownBy(() -> closed.produce("t", "x".getBytes()))
                .isInstanceOf(ClosedException.class)
                .hasMessageContaining("the client is closed");
        assertThatThrownBy(closed::producer).isInstanceOf(ClosedException.class);
    }

    @Test
    void anInterruptEndsAWait() {
        String topic = name("interrupt");
        client.createTopic(topic, 1);
        AtomicReference<Throwable> seen = new AtomicReference<>();
        AtomicReference<Boolean> flag = new AtomicReference<>();
        Thread waiting = new Thread(() -> {
            try (FlyMQClient own = FlyMQClient.connect(broker.address())) {
                own.fetch(topic, 0, 0, 1, Duration.ofSeconds(25));
            } catch (RuntimeException e) {
                seen.set(e);
                flag.set(Thread.currentThread().isInterrupted());
            }
        });
        waiting.start();
        waiting.interrupt();
        Awaitility.await().atMost(Duration.ofSeconds(20)).until(() -> !waiting.isAlive());
        assertThat(seen.get()).isInstanceOf(InterruptedOperationException.class);
        assertThat(flag.get()).isTrue();
    }

    @Test
    void aLongPollMayTakeLongerThanARequest() {
        String topic = name("patient");
        client.createTopic(topic, 1);
        ClientConfig config = new ClientConfig().bootstrapServers(broker.address()).requestTimeout(Duration.ofSeconds(2));
        try (FlyMQClient hasty = FlyMQClient.connect(config)) {
            assertThat(hasty.fetch(topic, 0, 0, 1, Duration.ofMillis(2_500)).messages()).isEmpty();
        }
    }

    @Test
    void aPoolHandsOutClientsInTurn() {
        ClientConfig config = new ClientConfig().bootstrapServers(broker.address());
        FlyMQClientPool pool = new FlyMQClientPool(config, 2);
        FlyMQClient first = pool.getClient();
        FlyMQClient second = pool.getClient();
        assertThat(second).isNotSameAs(first);
        assertThat(pool.getClient()).isSameAs(first);
        pool.close();
        assertThatThrownBy(pool::getClient).isInstanceOf(ClosedException.class);
        assertThatThrownBy(first::listTopics).isInstanceOf(ClosedException.class);
    }
}
