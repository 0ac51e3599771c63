package com.firefly.flymq.model;

/**
 * A place in a partition.
 *
 * @param offset next offset to read
 */
public record PartitionOffset(String topic, int partition, long offset) {}
