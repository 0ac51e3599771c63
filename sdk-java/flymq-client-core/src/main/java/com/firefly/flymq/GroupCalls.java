package com.firefly.flymq;

import com.fasterxml.jackson.databind.JsonNode;
import com.firefly.flymq.internal.Json;
import com.firefly.flymq.model.GroupInfo;
import com.firefly.flymq.model.PartitionLag;
import com.firefly.flymq.model.PartitionOffset;

import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Consumer groups and their offsets: one control call each. */
public interface GroupCalls {
    /** As {@link ControlCalls#call}. */
    JsonNode call(String rpc, Object request);

    /** Names of all consumer groups. */
    default List<String> listGroups() {
        List<String> names = new ArrayList<>();
        call("ListGroups", Map.of()).path("groups").forEach(group -> names.add(group.path("group").asText()));
        return names;
    }

    /**
     * A group with its members and offsets.
     *
     * @throws com.firefly.flymq.exception.GroupNotFoundException when it has neither
     */
    default GroupInfo describeGroup(String group) {
        return Json.read(call("DescribeGroup", Map.of("group", group)), GroupInfo.class);
    }

    /** A group's committed offsets: each the next to read. */
    default List<PartitionOffset> committed(String group, String topic) {
        JsonNode reply = call("GetOffsets", Map.of("group", group, "topic", topic));
        return Json.readList(reply.path("offsets"), PartitionOffset.class);
    }

    /** Commits the next offset to read of a group; durable when it returns. */
    default void commitOffset(String group, String topic, int partition, long offset) {
        Map<String, Object> place = Map.of("topic", topic, "partition", partition, "offset", offset);
        call("CommitOffsets", Map.of("group", group, "offsets", List.of(place)));
    }

    /** How far a group is behind, by partition. */
    default List<PartitionLag> lag(String group, String topic) {
        JsonNode reply = call("GetLag", Map.of("group", group, "topic", topic));
        return Json.readList(reply.path("partitions"), PartitionLag.class);
    }

    /** How far a group is behind in all topics that it has committed. */
    default List<PartitionLag> lag(String group) {
        return lag(group, "");
    }

    /**
     * Lets a group that has no members begin anew in all partitions of a topic; where it begins now.
     *
     * @throws com.firefly.flymq.exception.InUseException while members read the topic
     */
    default List<PartitionOffset> resetOffsets(String group, String topic, OffsetReset to) {
        return reset(group, topic, Map.of("to", "START_FROM_" + to.name()));
    }

    /** As {@link #resetOffsets(String, String, OffsetReset)}, with the message of an offset. */
    default List<PartitionOffset> resetOffsets(String group, String topic, long offset) {
        return reset(group, topic, Map.of("to", "START_FROM_OFFSET", "offset", offset));
    }

    /** As {@link #resetOffsets(String, String, OffsetReset)}, with the first message of that time or later. */
    default List<PartitionOffset> resetOffsets(String group, String topic, Instant from) {
        return reset(group, topic, Map.of("to", "START_FROM_TIMESTAMP", "timestamp_ms", from.toEpochMilli()));
    }

    private List<PartitionOffset> reset(String group, String topic, Map<String, ?> to) {
        Map<String, Object> request = new HashMap<>(to);
        request.put("group", group);
        request.put("topic", topic);
        return Json.readList(call("ResetOffsets", request).path("offsets"), PartitionOffset.class);
    }

    /**
     * Forgets a group and its offsets.
     *
     * @throws com.firefly.flymq.exception.InUseException while it has members
     */
    default void deleteGroup(String group) {
        call("DeleteGroup", Map.of("group", group));
    }

    /** Forgets a group's offsets of one topic. */
    default void deleteGroup(String group, String topic) {
        call("DeleteGroup", Map.of("group", group, "topic", topic));
    }
}
