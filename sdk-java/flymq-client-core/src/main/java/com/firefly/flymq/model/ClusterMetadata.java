package com.firefly.flymq.model;

import java.util.List;

/** The cluster as clients see it. */
public record ClusterMetadata(String clusterId, List<ClusterMember> members, List<TopicMetadata> topics) {}
