package com.firefly.flymq.exception;

/** An argument that cannot be; nothing was sent or changed. */
public class InvalidArgumentException extends FlyMQException {
    private static final long serialVersionUID = 1;

    public InvalidArgumentException(ErrorInfo info) {
        super(info);
    }
}
