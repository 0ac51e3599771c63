package com.firefly.flymq;

/** Where a partition begins that the group has no committed offset for. */
public enum OffsetReset {
    /** At its first message. */
    EARLIEST,
    /** With what comes from now on. */
    LATEST
}
