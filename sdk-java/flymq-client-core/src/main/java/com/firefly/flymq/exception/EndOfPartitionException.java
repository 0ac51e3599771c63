package com.firefly.flymq.exception;

/** There is no message at this offset yet. */
public class EndOfPartitionException extends OffsetOutOfRangeException {
    private static final long serialVersionUID = 1;

    public EndOfPartitionException(ErrorInfo info) {
        super(info);
    }
}
