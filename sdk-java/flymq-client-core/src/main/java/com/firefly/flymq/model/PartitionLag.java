package com.firefly.flymq.model;

/**
 * How far a group is behind.
 *
 * @param committed next offset to read
 * @param latest high watermark
 * @param lag messages between them
 */
public record PartitionLag(String topic, int partition, long committed, long latest, long lag) {}
