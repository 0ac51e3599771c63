package com.firefly.flymq;

/** One partition of a topic. */
public record TopicPartition(String topic, int partition) {}
