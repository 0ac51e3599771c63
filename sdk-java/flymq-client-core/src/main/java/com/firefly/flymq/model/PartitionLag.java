package com.firefly.flymq.model;

/**
 * How far a group is behind.
 *
 * @param committed next offset to read
 * @param latest high watermark
 * @param lag messages between them
 * @param lagMs age in milliseconds of the oldest of them; 0: there is none
 */
public record PartitionLag(String topic, int partition, long committed, long latest, long lag, long lagMs) {}
