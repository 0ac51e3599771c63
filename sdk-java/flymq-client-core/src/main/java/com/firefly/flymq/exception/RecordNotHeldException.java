package com.firefly.flymq.exception;

/** The message is not held by this reader (any more): it is over, or another one's. */
public class RecordNotHeldException extends FlyMQException {
    private static final long serialVersionUID = 1;

    public RecordNotHeldException(ErrorInfo info) {
        super(info);
    }
}
