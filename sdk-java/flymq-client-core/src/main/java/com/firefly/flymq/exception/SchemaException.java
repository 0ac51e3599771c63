package com.firefly.flymq.exception;

/** A schema is missing, invalid or incompatible, or a message does not fit it. */
public class SchemaException extends FlyMQException {
    private static final long serialVersionUID = 1;

    public SchemaException(ErrorInfo info) {
        super(info);
    }
}
