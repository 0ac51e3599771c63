package com.firefly.flymq.model;

import java.util.Map;

/**
 * How many dead letters a topic has.
 *
 * @param byReason {@code max_retries_exceeded}, {@code rejected}
 * @param byGroup the groups in which they failed
 */
public record DeadLetterStats(long total, Map<String, Long> byReason, Map<String, Long> byGroup) {}
