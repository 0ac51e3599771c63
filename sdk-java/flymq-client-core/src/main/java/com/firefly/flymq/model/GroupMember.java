package com.firefly.flymq.model;

import java.util.List;

/**
 * A member of a group.
 *
 * @param instanceId of a static member, else empty
 * @param memberEpoch of the assignment that it was told last
 * @param assignment what it reads, with what it has not let go of yet
 * @param target what it is to read once the group is stable
 * @param topics names and patterns that it subscribes to
 */
public record GroupMember(
        String memberId,
        String clientId,
        String host,
        String instanceId,
        long memberEpoch,
        List<TopicPartitions> assignment,
        List<TopicPartitions> target,
        List<String> topics) {}
