package com.firefly.flymq.exception;

/** The server does not offer this operation (in this version, or by its settings). */
public class UnsupportedException extends FlyMQException {
    private static final long serialVersionUID = 1;

    public UnsupportedException(ErrorInfo info) {
        super(info);
    }
}
