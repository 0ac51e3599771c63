package com.firefly.flymq;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.firefly.flymq.crypto.Encryptor;
import com.firefly.flymq.exception.EncryptionException;
import com.firefly.flymq.exception.EndOfPartitionException;
import com.firefly.flymq.exception.FlyMQException;
import com.firefly.flymq.exception.PartitionNotFoundException;
import com.firefly.flymq.exception.SerializationException;
import com.firefly.flymq.exception.TopicNotFoundException;
import com.firefly.flymq.serde.Serdes;

import org.junit.jupiter.api.Test;

import java.time.Duration;
import java.time.Instant;
import java.util.List;

/** Produce, consume, fetch. */
class RecordsTest extends WithBroker {
    record Order(String id, int amount) {}

    @Test
    void bytesComeBack() {
        String topic = name("bytes");
        byte[] value = {0, (byte) 0xff, 'a'};
        RecordMetadata stored = client.produce(topic, value);
        assertThat(stored.topic()).isEqualTo(topic);
        assertThat(stored.partition()).isZero();
        assertThat(stored.offset()).isZero();
        assertThat(stored.timestamp()).isBetween(Instant.now().minusSeconds(600), Instant.now().plusSeconds(1));
        Message message = client.consume(topic, stored.offset());
        assertThat(message.value()).isEqualTo(value);
        assertThat(message.data()).isSameAs(message.value());
        assertThat(message.key()).isNull();
        assertThat(message.keyAsString()).isNull();
        assertThat(message.topic()).isEqualTo(topic);
    }

    @Test
    void keysComeFirstInProduceWithKey() {
        String topic = name("keys");
        client.produceWithKey(topic, "user-1", "grüß 🎈");
        client.produceWithKey(topic, new byte[] {1}, new byte[] {2});
        Message text = client.consumeWithKey(topic, 0);
        assertThat(text.keyAsString()).isEqualTo("user-1");
        assertThat(text.dataAsString()).isEqualTo("grüß 🎈");
        Message bytes = client.consumeWithKey(topic, 1);
        assertThat(bytes.key()).containsExactly(1);
        assertThat(bytes.value()).containsExactly(2);
    }

    @Test
    void everythingAMessageCanSayComesBack() {
        String topic = name("headers");
        client.createTopic(topic, 3);
        Instant when = Instant.ofEpochMilli(1_700_000_000_123L);
        NewMessage message = NewMessage.of("v").key("k").partition(2).timestamp(when)
                .header("trace", "1").header("trace", "2").header("raw", new byte[] {0});
        RecordMetadata stored = client.produce(topic, message);
        assertThat(stored.partition()).isEqualTo(2);
        Message read = client.consume(topic, 2, stored.offset());
        assertThat(read.timestamp()).isEqualTo(when);
        assertThat(read.headers()).extracting(Header::name).containsExactly("trace", "trace", "raw");
        assertThat(read.header("trace").orElseThrow().valueAsString()).isEqualTo("2");
        assertThat(read.header("raw").orElseThrow().value()).containsExactly(0);
        assertThat(read.isTombstone()).isFalse();
        client.produce(topic, NewMessage.tombstone(new byte[] {7}).partition(2));
        assertThat(client.consume(topic, 2, 1).isTombstone()).isTrue();
    }

    @Test
    void batchesKeepTheirOrderAndFetchPagesThroughThem() {
        String topic = name("batch");
        List<NewMessage> messages = List.of(NewMessage.of("a"), NewMessage.of("b"), NewMessage.of("c"));
        assertThat(client.produceBatch(topic, messages)).extracting(RecordMetadata::offset).containsExactly(0L, 1L, 2L);
        FetchResult first = client.fetch(topic, 0, 0, 2);
        assertThat(first.messages()).extracting(Message::valueAsString).containsExactly("a", "b");
        assertThat(first.nextOffset()).isEqualTo(2);
        assertThat(first.highWatermark()).isEqualTo(3);
        FetchResult rest = client.fetch(topic, 0, first.nextOffset(), 10, Duration.ofSeconds(5));
        assertThat(rest.messages()).extracting(Message::valueAsString).containsExactly("c");
        assertThat(client.fetch(topic, 0, rest.nextOffset(), 10).messages()).isEmpty();
    }

    @Test
    void aFilterLeavesOutWhatDoesNotMatch() {
        String topic = name("filter");
        client.produceBatch(topic, List.of(NewMessage.of("{\"total\": 5}"), NewMessage.of("an ERROR"), NewMessage.of("{\"total\": 500}")));
        FetchResult found = client.fetch(topic, 0, 0, 10, Duration.ZERO, "cel:value.total > 100");
        assertThat(found.messages()).extracting(Message::offset).containsExactly(2L);
        assertThat(found.nextOffset()).isEqualTo(3);
        assertThatThrownBy(() -> client.fetch(topic, 0, 0, 10, Duration.ZERO, "cel:value.total >"))
                .isInstanceOfSatisfying(FlyMQException.class, e -> assertThat(e.code()).isEqualTo("FILTER_INVALID"));
    }

    @Test
    void objectsGoThroughTheSerde() {
        String topic = name("serde");
        try (FlyMQClient json = FlyMQClient.connect(broker.address()).setSerde(Serdes.JSON)) {
            RecordMetadata stored = json.produce(topic, new Order("o-1", 3));
            Message message = json.consume(topic, stored.offset());
            assertThat(message.decode(Order.class)).isEqualTo(new Order("o-1", 3));
            assertThat(message.dataAsString()).isEqualTo("{\"id\":\"o-1\",\"amount\":3}");
            assertThatThrownBy(() -> message.decode(Integer.class)).isInstanceOf(SerializationException.class);
        }
        assertThatThrownBy(() -> client.produce(topic, new Order("o-2", 1)))
                .isInstanceOf(SerializationException.class)
                .hasMessageContaining("setSerde");
    }

    @Test
    void valuesAreEncryptedForOthers() {
        String topic = name("secret");
        String key = Encryptor.generateKey();
        ClientConfig config = new ClientConfig().bootstrapServers(broker.address());
        try (FlyMQClient sealed = FlyMQClient.connect(config.encryptionKey(key))) {
            sealed.produce(topic, "secret".getBytes());
            assertThat(sealed.consume(topic, 0).valueAsString()).isEqualTo("secret");
        }
        Message seen = client.consume(topic, 0);
        assertThat(seen.valueAsString()).isNotEqualTo("secret");
        assertThat(seen.header(Encryptor.HEADER).orElseThrow().valueAsString()).isEqualTo(Encryptor.ALGORITHM);
        // The native side and javax.crypto agree on the layout.
        assertThat(Encryptor.fromHexKey(key).decrypt(seen.value())).isEqualTo("secret".getBytes());
        try (FlyMQClient other = FlyMQClient.connect(config.encryptionKey(Encryptor.generateKey()))) {
            assertThatThrownBy(() -> other.consume(topic, 0)).isInstanceOf(EncryptionException.class);
        }
    }

    @Test
    void failuresAreTypedAndSayWhatToDo() {
        String missing = name("missing");
        assertThatThrownBy(() -> client.consume(missing, 0))
                .isInstanceOfSatisfying(TopicNotFoundException.class, e -> {
                    assertThat(e.code()).isEqualTo("TOPIC_NOT_FOUND");
                    assertThat(e.hint()).contains("topic create " + missing);
                    assertThat(e.docUrl()).isNotEmpty();
                    assertThat(e.retryable()).isFalse();
                    assertThat(e.metadata()).containsEntry("topic", missing);
                    assertThat(e.requestId()).isNotEmpty();
                    assertThat(e.getStackTrace()[0].getClassName()).isEqualTo(FlyMQClient.class.getName());
                });
        String topic = name("errors");
        client.createTopic(topic, 1);
        assertThatThrownBy(() -> client.consume(topic, 0)).isInstanceOf(EndOfPartitionException.class);
        assertThatThrownBy(() -> client.consume(topic, 9, 0)).isInstanceOf(PartitionNotFoundException.class);
        assertThatThrownBy(() -> client.consume(topic, -1)).hasMessageContaining("must not be negative");
    }
}
