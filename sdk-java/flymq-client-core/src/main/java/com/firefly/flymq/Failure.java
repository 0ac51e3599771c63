package com.firefly.flymq;

import java.time.Duration;

/**
 * What became of a message that failed.
 *
 * @param attempts so often it has failed; 0 where it is another reader's by now
 * @param deadLettered it was moved to the dead letters
 * @param retryAfter until it comes again, where it does
 */
public record Failure(int attempts, boolean deadLettered, Duration retryAfter) {}
