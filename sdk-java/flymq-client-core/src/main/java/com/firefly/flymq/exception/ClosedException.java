package com.firefly.flymq.exception;

/** The client, producer or consumer was closed before. */
public class ClosedException extends FlyMQException {
    private static final long serialVersionUID = 1;

    public ClosedException(ErrorInfo info) {
        super(info);
    }
}
