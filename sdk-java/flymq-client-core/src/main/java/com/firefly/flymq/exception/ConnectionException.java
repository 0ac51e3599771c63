package com.firefly.flymq.exception;

/** No broker could be reached, or the connection broke. */
public class ConnectionException extends FlyMQException {
    private static final long serialVersionUID = 1;

    public ConnectionException(ErrorInfo info) {
        super(info);
    }
}
