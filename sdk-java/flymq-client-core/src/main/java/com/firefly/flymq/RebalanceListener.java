package com.firefly.flymq;

import java.util.List;

/** Hears of partitions that come to a member of a group, and go. It is called inside a poll, by the polling thread. */
public interface RebalanceListener {
    /** They are the consumer's own from now on; it may seek in them. */
    default void onAssign(List<TopicPartition> partitions) {}

    /** They go to another member after this call (or by a close): what was handed out of them may be committed here. */
    default void onRevoke(List<TopicPartition> partitions) {}

    /** They are another member's already, since this one was silent for a session or was replaced: a commit is refused. */
    default void onLost(List<TopicPartition> partitions) {}
}
