package com.firefly.flymq.model;

/**
 * A message that failed too often.
 *
 * @param error last failure
 */
public record DeadLetter(
        String id,
        String error,
        String reason,
        int attempts,
        String group,
        String originTopic,
        int originPartition,
        long originOffset) {}
