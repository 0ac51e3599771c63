package com.firefly.flymq.model;

import java.util.List;

/** Partitions of a topic. */
public record TopicPartitions(String topic, List<Integer> partitions) {}
