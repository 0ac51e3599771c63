package com.firefly.flymq;

import com.fasterxml.jackson.databind.JsonNode;
import com.firefly.flymq.internal.Json;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Delayed messages, messages with a lifetime and messages with a schema: one control call each.
 */
public interface MessagingCalls {
    /** As {@link ControlCalls#call}. */
    JsonNode call(String rpc, Object request);

    /** A record inside a JSON request, encrypted where the client has a key. */
    Map<String, Object> record(NewMessage message);

    /** Delivers a message after {@code delayMs}; the id by which it can be cancelled. */
    default String produceDelayed(String topic, byte[] data, long delayMs) {
        return schedule(topic, data, "delay_ms", delayMs);
    }

    /** Delivers a message at {@code atMs}, Unix time in milliseconds; the id by which it can be cancelled. */
    default String produceAt(String topic, byte[] data, long atMs) {
        return schedule(topic, data, "at_ms", atMs);
    }

    /** Delivers a message again and again ("minute hour day month weekday", in UTC); the id by which it can be cancelled. */
    default String produceRecurring(String topic, byte[] data, String cron) {
        return schedule(topic, data, "cron", cron);
    }

    /** Messages that wait, by due time. */
    default List<Schedule> listSchedules(String topic, int maxMessages) {
        List<Schedule> all = new ArrayList<>();
        for (JsonNode one : call("ListSchedules", Map.of("topic", topic, "page_size", maxMessages)).path("schedules")) {
            all.add(new Schedule(one.path("id").asText(), one.path("topic").asText(), one.path("due_ms").asLong(),
                    one.path("cron").asText(), one.path("value_size").asInt()));
        }
        return all;
    }

    /** Has a message never delivered (again). */
    default void cancelSchedule(String topic, String id) {
        call("CancelSchedule", Map.of("topic", topic, "id", id));
    }

    /** Delivers a message now; a recurring one stays as it is. Its offset. */
    default long deliverScheduleNow(String topic, String id) {
        return call("DeliverScheduleNow", Map.of("topic", topic, "id", id)).path("record").path("offset").asLong();
    }

    private String schedule(String topic, byte[] data, String field, Object when) {
        Map<String, Object> request = Map.of("topic", topic, "record", record(NewMessage.of(data)), field, when);
        return call("ScheduleMessage", request).path("schedule").path("id").asText();
    }

    /** A message that is gone after {@code ttlMs}. */
    default RecordMetadata produceWithTtl(String topic, byte[] data, long ttlMs) {
        return produceWith(topic, data, "ttl_ms", ttlMs);
    }

    /** A message that the server checks against a schema first. */
    default RecordMetadata produceWithSchema(String topic, byte[] data, String schema) {
        return produceWith(topic, data, "schema", schema);
    }

    private RecordMetadata produceWith(String topic, byte[] data, String field, Object value) {
        List<Map<String, Object>> records = List.of(record(NewMessage.of(data)));
        JsonNode reply = call("Produce", Map.of("topic", topic, "acks", "ACKS_ALL", "records", records, field, value));
        return Records.stored(reply);
    }
}
