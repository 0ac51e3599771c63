package com.firefly.flymq;

import java.util.List;

/**
 * What a fetch found.
 *
 * @param nextOffset the offset to ask for next
 * @param highWatermark the offset after the last readable message
 * @param lowWatermark the first offset that is still there
 */
public record FetchResult(List<Message> messages, long nextOffset, long highWatermark, long lowWatermark) {}
