package com.firefly.flymq.model;

import java.util.List;

/** A topic in the cluster's metadata. */
public record TopicMetadata(String name, List<PartitionInfo> partitions) {}
