package com.firefly.flymq.model;

import java.util.List;

/**
 * A transaction.
 *
 * @param transactionId producer id, epoch and transactional id with dots between
 * @param state {@code ongoing}, {@code prepare_commit} or {@code prepare_abort}
 * @param startedMs Unix time in milliseconds
 * @param partitions where it has written
 */
public record TransactionInfo(
        String transactionId,
        long producerId,
        int producerEpoch,
        String state,
        long startedMs,
        List<TopicPartitions> partitions) {
    public TransactionInfo {
        state = Constants.plain("TRANSACTION_STATE_", state);
    }
}
