package com.firefly.flymq;

import java.time.Instant;

/**
 * Where a message was stored.
 *
 * @param offset its place in the partition, from 0
 * @param timestamp when the broker appended it (milliseconds)
 */
public record RecordMetadata(String topic, int partition, long offset, Instant timestamp) {}
