package com.firefly.flymq.exception;

/** No answer came in time. */
public class TimeoutException extends FlyMQException {
    private static final long serialVersionUID = 1;

    public TimeoutException(ErrorInfo info) {
        super(info);
    }
}
