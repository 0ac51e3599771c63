package com.firefly.flymq.exception;

/** The thread was interrupted while it waited; its interrupt flag stays set. A request that was on its way may have taken effect. */
public class InterruptedOperationException extends FlyMQException {
    private static final long serialVersionUID = 1;

    public InterruptedOperationException(ErrorInfo info) {
        super(info);
    }
}
