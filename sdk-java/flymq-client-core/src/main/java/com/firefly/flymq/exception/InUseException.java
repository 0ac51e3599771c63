package com.firefly.flymq.exception;

/** Something still uses what is to be deleted or reset: members of a group, topics of a schema. */
public class InUseException extends FlyMQException {
    private static final long serialVersionUID = 1;

    public InUseException(ErrorInfo info) {
        super(info);
    }
}
