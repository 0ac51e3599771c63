package com.firefly.flymq.exception;

/** The topic has no such partition. */
public class PartitionNotFoundException extends FlyMQException {
    private static final long serialVersionUID = 1;

    public PartitionNotFoundException(ErrorInfo info) {
        super(info);
    }
}
