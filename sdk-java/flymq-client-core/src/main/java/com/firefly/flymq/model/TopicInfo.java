package com.firefly.flymq.model;

import java.util.List;

/**
 * A topic.
 *
 * @param id stays the same for its life; a topic made anew has another
 */
public record TopicInfo(String name, String id, List<PartitionInfo> partitions) {}
