package com.firefly.flymq;

/**
 * A message that is delivered later.
 *
 * @param id names it within its topic
 * @param topic where it will be
 * @param dueMs Unix time in milliseconds of the next delivery
 * @param cron empty: it is delivered once
 * @param valueSize bytes
 */
public record Schedule(String id, String topic, long dueMs, String cron, int valueSize) {}
