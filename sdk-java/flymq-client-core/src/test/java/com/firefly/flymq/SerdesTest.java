package com.firefly.flymq;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.firefly.flymq.exception.InvalidArgumentException;
import com.firefly.flymq.exception.SchemaException;
import com.firefly.flymq.exception.SerializationException;
import com.firefly.flymq.serde.SchemaSerde;
import com.firefly.flymq.serde.Serde;
import com.firefly.flymq.serde.Serdes;

import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Avro and Protobuf over the schema registry, and serdes by name. */
class SerdesTest extends WithBroker {
    private static final String ORDER = "{\"type\": \"record\", \"name\": \"Order\", \"fields\": [{\"name\": \"id\", \"type\": \"long\"},"
            + " {\"name\": \"to\", \"type\": [\"null\", \"string\"], \"default\": null}]}";
    private static final String ORDER_PROTO =
            "syntax = \"proto3\"; message Order { int64 id = 1; string to = 2; repeated string tags = 3; }";

    record Order(long id, @Nullable String to) {}

    record Tagged(long id, List<String> tags) {}

    private static FlyMQClient with(String serde) {
        return FlyMQClient.connect(broker.address()).setSerde(serde);
    }

    private static byte[] framed(String subject, int... value) {
        int id = client.call("GetSchema", Map.of("name", subject)).path("schema").path("global_id").asInt();
        ByteBuffer frame = ByteBuffer.allocate(5 + value.length).put((byte) 0).putInt(id);
        for (int one : value) {
            frame.put((byte) one);
        }
        return frame.array();
    }

    @Test
    void avroBySubjectOfTheTopic() {
        String topic = name("avro");
        client.registerSchema(topic + "-value", "avro", ORDER);
        try (FlyMQClient avro = with("avro")) {
            RecordMetadata stored = avro.produce(topic, new Order(7, "Lund"));
            Message message = avro.consume(topic, stored.offset());
            assertThat(message.decode(Order.class)).isEqualTo(new Order(7, "Lund"));
            assertThat(message.value()).isEqualTo(framed(topic + "-value", 14, 2, 8, 'L', 'u', 'n', 'd'));
            avro.produce(topic, Map.of("id", 8));
            assertThat(avro.consume(topic, 1).decode(Order.class)).isEqualTo(new Order(8, null));
        }
    }

    @Test
    void protobufByASubjectOfItsOwn() {
        String topic = name("protobuf");
        client.registerSchema(topic + "-order", "protobuf", ORDER_PROTO);
        try (FlyMQClient own = FlyMQClient.connect(broker.address())) {
            own.setSerde(own.serde("protobuf", topic + "-order"));
            own.produce(topic, new Tagged(7, List.of("a", "b")));
            Message message = own.consume(topic, 0);
            assertThat(message.decode(Object.class)).isEqualTo(Map.of("id", 7, "tags", List.of("a", "b")));
            assertThat(message.value()).isEqualTo(framed(topic + "-order", 0, 8, 7, 26, 1, 'a', 26, 1, 'b'));
        }
    }

    @Test
    void producersAndConsumersUseTheClientsSerde() {
        String topic = name("all");
        client.registerSchema(topic + "-value", "avro", ORDER);
        try (FlyMQClient avro = with("avro")) {
            try (HighLevelProducer producer = avro.producer()) {
                producer.send(topic, new Order(1, "a"));
                producer.send(topic, new Order(2, "b"));
            }
            List<Order> read = new ArrayList<>();
            try (Consumer consumer = avro.consumer(topic, name("group"), fromTheStart())) {
                while (read.size() < 2) {
                    consumer.poll(Duration.ofSeconds(1)).forEach(message -> read.add(message.decode(Order.class)));
                }
            }
            assertThat(read).containsExactly(new Order(1, "a"), new Order(2, "b"));
        }
    }

    @Test
    void whatDoesNotFitSaysWhere() {
        String topic = name("unfit");
        try (FlyMQClient avro = with("avro"); FlyMQClient protobuf = with("protobuf")) {
            assertThatThrownBy(() -> avro.produce(topic, new Order(1, null)))
                    .isInstanceOfSatisfying(SchemaException.class, e -> assertThat(e.code()).isEqualTo("SCHEMA_NOT_FOUND"));
            client.registerSchema(topic + "-value", "avro", ORDER);
            assertThatThrownBy(() -> avro.produce(topic, Map.of("id", "seven")))
                    .isInstanceOfSatisfying(SchemaException.class, e -> {
                        assertThat(e.code()).isEqualTo("SCHEMA_VALIDATION_FAILED");
                        assertThat(e.getMessage()).contains("$.id: the schema wants Long");
                        assertThat(e.hint()).isNotEmpty();
                    });
            assertThatThrownBy(() -> avro.produce(topic, new Object())).isInstanceOf(SerializationException.class);
            assertThatThrownBy(() -> protobuf.produce(topic, new Order(1, null)))
                    .isInstanceOfSatisfying(SerializationException.class, e -> {
                        assertThat(e.code()).isEqualTo("INVALID_ARGUMENT");
                        assertThat(e.getMessage()).contains("not one of protobuf");
                        assertThat(e.hint()).contains("serde of its type");
                    });
        }
    }

    @Test
    void valuesOfAnotherKindSaySo() {
        String topic = name("other");
        client.registerSchema(topic + "-value", "avro", ORDER);
        client.produce(topic, "plain".getBytes(StandardCharsets.UTF_8));
        client.produce(topic, framed(topic + "-value"));
        client.produce(topic, framed(topic + "-value", 14, 7));
        try (FlyMQClient avro = with("avro")) {
            for (Message message : avro.fetch(topic, 0, 0, 3).messages()) {
                assertThatThrownBy(() -> message.decode(Object.class))
                        .isInstanceOfSatisfying(SerializationException.class, e -> {
                            assertThat(e.code()).isEqualTo("INVALID_ARGUMENT");
                            assertThat(e.hint()).contains("serde that wrote it");
                        });
            }
        }
    }

    @Test
    void whatIsNoTextIsNotReadAsOne() {
        assertThat(Serdes.STRING.deserialize("grüße".getBytes(StandardCharsets.UTF_8), String.class)).isEqualTo("grüße");
        byte[] noText = {(byte) 0xff};
        assertThatThrownBy(() -> Serdes.STRING.deserialize(noText, String.class))
                .isInstanceOf(SerializationException.class)
                .hasMessageContaining("UTF-8");
    }

    @Test
    void serdesHaveNames() {
        assertThat(client.serde("json")).isSameAs(Serdes.JSON);
        assertThat(client.serde("avro")).isInstanceOf(SchemaSerde.class);
        assertThatThrownBy(() -> client.serde("yaml"))
                .isInstanceOf(InvalidArgumentException.class)
                .hasMessageContaining("avro, binary, json");
        assertThatThrownBy(() -> client.serde("json", "orders-value"))
                .isInstanceOf(InvalidArgumentException.class)
                .hasMessageContaining("no subject");
        assertThatThrownBy(() -> Serdes.byName("avro")).hasMessageContaining("client.serde(\"avro\")");
        assertThatThrownBy(() -> client.serde("avro").serialize(Map.of())).hasMessageContaining("no topic is given");
    }

    @Test
    void oneOfOnesOwnIsFoundByName() {
        Serdes.register("shout", Shout::new);
        String topic = name("shout");
        try (FlyMQClient own = with("shout")) {
            own.produce(topic, (Object) "a");
            assertThat(own.consume(topic, 0).decode(String.class)).isEqualTo("A");
        }
    }

    private static final class Shout implements Serde {
        @Override
        public byte[] serialize(Object value) {
            return value.toString().toUpperCase(Locale.ROOT).getBytes(StandardCharsets.UTF_8);
        }

        @Override
        public <T> T deserialize(byte[] value, Class<T> type) {
            return Serdes.STRING.deserialize(value, type);
        }
    }
}
