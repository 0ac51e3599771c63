package com.firefly.flymq;

import com.fasterxml.jackson.databind.JsonNode;
import com.firefly.flymq.internal.Json;
import com.firefly.flymq.model.DeadLetter;
import com.firefly.flymq.model.DeadLetterStats;

import java.util.List;
import java.util.Map;

/** Messages that failed too often, and when that is: one control call each. */
public interface DeadLetterCalls {
    /** As {@link ControlCalls#call}. */
    JsonNode call(String rpc, Object request);

    /** Messages of a topic that failed too often. */
    default List<DeadLetter> fetchDlq(String topic, int maxMessages) {
        JsonNode reply = call("ListDeadLetters", Map.of("topic", topic, "max_messages", maxMessages));
        return Json.readList(reply.path("dead_letters"), DeadLetter.class);
    }

    /** Sends a dead letter to its topic again. */
    default void replayDlq(String topic, String id) {
        call("ReplayDeadLetters", Map.of("topic", topic, "ids", List.of(id)));
    }

    /** Sends dead letters, up to 1,000, to their topic again; how many that were. */
    default int replayDlq(String topic, List<String> ids) {
        return call("ReplayDeadLetters", Map.of("topic", topic, "ids", ids)).path("replayed").asInt();
    }

    /** Sends all dead letters of a topic to it again; how many that were. */
    default int replayAllDlq(String topic) {
        return call("ReplayDeadLetters", Map.of("topic", topic, "all", true)).path("replayed").asInt();
    }

    /**
     * Sends the dead letters that match to their topic again; how many that were.
     *
     * @param filter a text in value, key, error, reason or group, or {@code cel:} and an expression
     */
    default int replayDlqMatching(String topic, String filter) {
        return call("ReplayDeadLetters", Map.of("topic", topic, "filter", filter)).path("replayed").asInt();
    }

    /** How many dead letters a topic has, by reason and by group. */
    default DeadLetterStats dlqStats(String topic) {
        return Json.read(call("GetDeadLetterStats", Map.of("topic", topic)), DeadLetterStats.class);
    }

    /**
     * Says how often and when messages of a topic that fail come again, and where they go then, for all groups that say nothing
     * themselves.
     *
     * @param policy {@code enabled}, {@code max_retries}, {@code retry_delay_ms}, {@code backoff_factor}, {@code max_retry_delay_ms}
     *     and {@code topic}, the proto's {@code DeadLetterPolicy}; what is left out stays, an empty one takes all away
     */
    default void setDeadLetterPolicy(String topic, Map<String, ?> policy) {
        call("AlterTopic", Map.of("name", topic, "options", Map.of("dead_letters", policy)));
    }

    /** The same for one group. */
    default void setDeadLetterPolicy(String topic, String group, Map<String, ?> policy) {
        Map<String, Object> options = Map.of("group_dead_letters", Map.of(group, policy));
        call("AlterTopic", Map.of("name", topic, "options", options));
    }

    /** Forgets the dead letters of a topic; how many there were. */
    default int purgeDlq(String topic) {
        return call("PurgeDeadLetters", Map.of("topic", topic)).path("purged").asInt();
    }
}
