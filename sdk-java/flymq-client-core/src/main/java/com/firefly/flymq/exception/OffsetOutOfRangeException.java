package com.firefly.flymq.exception;

/** The offset is not in the partition (any more). */
public class OffsetOutOfRangeException extends FlyMQException {
    private static final long serialVersionUID = 1;

    public OffsetOutOfRangeException(ErrorInfo info) {
        super(info);
    }
}
