package com.firefly.flymq;

import com.fasterxml.jackson.databind.JsonNode;
import com.firefly.flymq.internal.Json;
import com.firefly.flymq.model.ClusterMetadata;
import com.firefly.flymq.model.PartitionLag;
import com.firefly.flymq.model.PartitionOffset;
import com.firefly.flymq.model.TopicInfo;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Topics, groups and the cluster: one control call each. */
public interface ControlCalls {
    /**
     * Any unary rpc of the protocol by name, with the proto's field names: {@code call("GetTopic", Map.of("name", "orders"))}.
     *
     * @throws com.firefly.flymq.exception.FlyMQException what the broker answers
     */
    JsonNode call(String rpc, Object request);

    /**
     * @throws com.firefly.flymq.exception.TopicAlreadyExistsException when it exists
     */
    default TopicInfo createTopic(String name, int partitions) {
        JsonNode reply = call("CreateTopic", Map.of("name", name, "options", Map.of("partitions", partitions)));
        return Json.read(reply.path("topic"), TopicInfo.class);
    }

    /** Deletes a topic and its data. */
    default void deleteTopic(String name) {
        call("DeleteTopic", Map.of("name", name));
    }

    /** Names of all topics but internal ones. */
    default List<String> listTopics() {
        List<String> names = new ArrayList<>();
        call("ListTopics", Map.of()).path("topics").forEach(topic -> names.add(topic.path("name").asText()));
        return names;
    }

    /** A topic's partitions with their watermarks. */
    default TopicInfo topicInfo(String name) {
        return Json.read(call("GetTopic", Map.of("name", name)).path("topic"), TopicInfo.class);
    }

    /** Members of the cluster, and topics with their partitions. */
    default ClusterMetadata getClusterMetadata() {
        return Json.read(call("GetMetadata", Map.of()), ClusterMetadata.class);
    }

    /** Names of all consumer groups. */
    default List<String> listGroups() {
        List<String> names = new ArrayList<>();
        call("ListGroups", Map.of()).path("groups").forEach(group -> names.add(group.path("group").asText()));
        return names;
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

    /** Forgets a group and its offsets. */
    default void deleteGroup(String group) {
        call("DeleteGroup", Map.of("group", group));
    }
}
