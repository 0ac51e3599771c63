package com.firefly.flymq.internal;

import com.firefly.flymq.Failure;
import com.firefly.flymq.Header;
import com.firefly.flymq.Message;
import com.firefly.flymq.NewMessage;
import com.firefly.flymq.ProducerRecord;
import com.firefly.flymq.RecordMetadata;
import com.firefly.flymq.TopicPartition;
import com.firefly.flymq.serde.Serde;

import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Records as bytes; the layout stands in sdk-java/native/src/codec.rs. */
public final class Codec {
    private static final int KEY = 1;
    private static final int TOMBSTONE = 2;
    private static final int HEADERS = 4;
    private static final int PARTITION = 8;
    private static final int TIMESTAMP = 16;
    private static final int LONGEST_NAME = 0xFFFF;

    private Codec() {}

    public static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** Messages to send. */
    public static byte[] write(List<NewMessage> messages) {
        int size = messages.stream().mapToInt(Codec::weight).sum();
        ByteArrayOutputStream buffer = new ByteArrayOutputStream(size);
        try (DataOutputStream out = new DataOutputStream(buffer)) {
            out.writeInt(messages.size());
            for (NewMessage message : messages) {
                write(out, message);
            }
        } catch (IOException e) {
            throw new UncheckedIOException("memory does not fail", e);
        }
        return buffer.toByteArray();
    }

    private static int weight(NewMessage message) {
        byte[] key = message.key();
        byte[] value = message.value();
        return 32 + (key == null ? 0 : key.length) + (value == null ? 0 : value.length);
    }

    private static void write(DataOutputStream out, NewMessage message) throws IOException {
        byte[] key = message.key();
        byte[] value = message.value();
        Integer partition = message.partition();
        Instant timestamp = message.timestamp();
        List<Header> headers = message.headers();
        out.writeByte((key != null ? KEY : 0)
                | (value == null ? TOMBSTONE : 0)
                | (headers.isEmpty() ? 0 : HEADERS)
                | (partition != null ? PARTITION : 0)
                | (timestamp != null ? TIMESTAMP : 0));
        if (partition != null) {
            out.writeInt(partition);
        }
        if (timestamp != null) {
            out.writeLong(timestamp.toEpochMilli());
        }
        if (key != null) {
            writeLong(out, key);
        }
        if (value != null) {
            writeLong(out, value);
        }
        if (!headers.isEmpty()) {
            write(out, headers);
        }
    }

    private static void write(DataOutputStream out, List<Header> headers) throws IOException {
        if (headers.size() > LONGEST_NAME) {
            throw new IllegalArgumentException("a message has at most " + LONGEST_NAME + " headers");
        }
        out.writeShort(headers.size());
        for (Header header : headers) {
            byte[] name = utf8(header.name());
            if (name.length > LONGEST_NAME) {
                throw new IllegalArgumentException("a header's name has at most " + LONGEST_NAME + " bytes");
            }
            out.writeShort(name.length);
            out.write(name);
            writeLong(out, header.value());
        }
    }

    private static void writeLong(DataOutputStream out, byte[] bytes) throws IOException {
        out.writeInt(bytes.length);
        out.write(bytes);
    }

    /** Messages that were read. */
    public static List<Message> readMessages(ByteBuffer in, Serde serde) {
        String[] topics = new String[Short.toUnsignedInt(in.getShort())];
        for (int i = 0; i < topics.length; i++) {
            topics[i] = new String(take(in, Short.toUnsignedInt(in.getShort())), StandardCharsets.UTF_8);
        }
        int count = in.getInt();
        List<Message> messages = new ArrayList<>(count);
        for (int i = 0; i < count; i++) {
            messages.add(readMessage(in, topics[Short.toUnsignedInt(in.getShort())], serde));
        }
        return messages;
    }

    private static Message readMessage(ByteBuffer in, String topic, Serde serde) {
        int partition = in.getInt();
        long offset = in.getLong();
        Instant timestamp = Instant.ofEpochMilli(in.getLong());
        int flags = in.get();
        byte[] key = (flags & KEY) == 0 ? null : take(in, in.getInt());
        byte[] value = take(in, in.getInt());
        List<Header> headers = (flags & HEADERS) == 0 ? List.of() : readHeaders(in);
        boolean tombstone = (flags & TOMBSTONE) != 0;
        return new Message(topic, partition, offset, timestamp, key, value, tombstone, headers, serde);
    }

    private static List<Header> readHeaders(ByteBuffer in) {
        int count = Short.toUnsignedInt(in.getShort());
        List<Header> headers = new ArrayList<>(count);
        for (int i = 0; i < count; i++) {
            String name = new String(take(in, Short.toUnsignedInt(in.getShort())), StandardCharsets.UTF_8);
            headers.add(new Header(name, take(in, in.getInt())));
        }
        return List.copyOf(headers);
    }

    /** Topics with partitions. */
    public static List<TopicPartition> readPlaces(ByteBuffer in) {
        int count = in.getInt();
        List<TopicPartition> places = new ArrayList<>(count);
        for (int i = 0; i < count; i++) {
            String topic = new String(take(in, Short.toUnsignedInt(in.getShort())), StandardCharsets.UTF_8);
            places.add(new TopicPartition(topic, in.getInt()));
        }
        return List.copyOf(places);
    }

    /** Topics with partitions and offsets. */
    public static byte[] writeOffsets(Map<TopicPartition, Long> offsets) {
        ByteArrayOutputStream buffer = new ByteArrayOutputStream();
        try (DataOutputStream out = new DataOutputStream(buffer)) {
            out.writeInt(offsets.size());
            for (Map.Entry<TopicPartition, Long> entry : offsets.entrySet()) {
                writeName(out, entry.getKey().topic());
                out.writeInt(entry.getKey().partition());
                out.writeLong(entry.getValue());
            }
        } catch (IOException e) {
            throw new UncheckedIOException("memory does not fail", e);
        }
        return buffer.toByteArray();
    }

    /** Where messages are, as offsets. */
    public static byte[] writePositions(List<Message> messages) {
        ByteArrayOutputStream buffer = new ByteArrayOutputStream();
        try (DataOutputStream out = new DataOutputStream(buffer)) {
            out.writeInt(messages.size());
            for (Message message : messages) {
                writeName(out, message.topic());
                out.writeInt(message.partition());
                out.writeLong(message.offset());
            }
        } catch (IOException e) {
            throw new UncheckedIOException("memory does not fail", e);
        }
        return buffer.toByteArray();
    }

    /** What became of a message that failed. */
    public static Failure readFailure(ByteBuffer in) {
        int attempts = in.getInt();
        boolean deadLettered = in.get() != 0;
        return new Failure(attempts, deadLettered, Duration.ofMillis(in.getLong()));
    }

    /** Messages to send, with their topics. */
    public static byte[] writeRecords(List<ProducerRecord> records) {
        Map<String, List<NewMessage>> byTopic = new LinkedHashMap<>();
        records.forEach(record ->
                byTopic.computeIfAbsent(record.topic(), topic -> new ArrayList<>()).add(record.message()));
        ByteArrayOutputStream buffer = new ByteArrayOutputStream();
        try (DataOutputStream out = new DataOutputStream(buffer)) {
            out.writeInt(byTopic.size());
            for (Map.Entry<String, List<NewMessage>> entry : byTopic.entrySet()) {
                writeName(out, entry.getKey());
                writeLong(out, write(entry.getValue()));
            }
        } catch (IOException e) {
            throw new UncheckedIOException("memory does not fail", e);
        }
        return buffer.toByteArray();
    }

    private static void writeName(DataOutputStream out, String name) throws IOException {
        byte[] bytes = utf8(name);
        if (bytes.length > LONGEST_NAME) {
            throw new IllegalArgumentException("a name has at most " + LONGEST_NAME + " bytes");
        }
        out.writeShort(bytes.length);
        out.write(bytes);
    }

    /** Where messages were stored. */
    public static List<RecordMetadata> readStored(ByteBuffer in, String topic) {
        int count = in.getInt();
        List<RecordMetadata> stored = new ArrayList<>(count);
        for (int i = 0; i < count; i++) {
            stored.add(readOneStored(in, topic));
        }
        return stored;
    }

    static RecordMetadata readOneStored(ByteBuffer in, String topic) {
        return new RecordMetadata(topic, in.getInt(), in.getLong(), Instant.ofEpochMilli(in.getLong()));
    }

    static byte[] take(ByteBuffer in, int length) {
        byte[] bytes = new byte[length];
        in.get(bytes);
        return bytes;
    }
}
