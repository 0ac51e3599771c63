package com.firefly.flymq;

/** What a consumer reads of transactions. */
public enum IsolationLevel {
    /** Nothing of transactions that are open or were aborted. */
    READ_COMMITTED,
    /** Everything, as it comes. */
    READ_UNCOMMITTED
}
