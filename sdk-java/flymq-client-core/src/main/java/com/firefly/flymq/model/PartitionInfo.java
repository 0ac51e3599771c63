package com.firefly.flymq.model;

/**
 * A partition.
 *
 * @param lowWatermark first offset that is still there
 * @param highWatermark offset after the last readable message
 * @param logEndOffset offset of the next message
 * @param bytes size on disk
 */
public record PartitionInfo(
        int partition,
        long lowWatermark,
        long highWatermark,
        long logEndOffset,
        int segments,
        long bytes,
        int leaderEpoch) {}
