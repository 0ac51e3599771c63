package com.firefly.flymq.exception;

/** A value cannot be made into bytes, or bytes into a value. */
public class SerializationException extends InvalidArgumentException {
    private static final long serialVersionUID = 1;

    public SerializationException(ErrorInfo info) {
        super(info);
    }
}
