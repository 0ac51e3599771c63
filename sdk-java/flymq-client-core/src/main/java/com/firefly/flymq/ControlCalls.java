package com.firefly.flymq;

import com.fasterxml.jackson.databind.JsonNode;
import com.firefly.flymq.internal.Json;
import com.firefly.flymq.model.ClusterMetadata;
import com.firefly.flymq.model.TopicInfo;
import com.firefly.flymq.model.TransactionInfo;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Topics, transactions and the cluster: one control call each. */
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

    /** Transactions that are open, or ending. */
    default List<TransactionInfo> listTransactions() {
        return Json.readList(call("ListTransactions", Map.of()).path("transactions"), TransactionInfo.class);
    }
}
