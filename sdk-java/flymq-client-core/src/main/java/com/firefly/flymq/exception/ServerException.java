package com.firefly.flymq.exception;

/** Any other failure; its code tells which. */
public class ServerException extends FlyMQException {
    private static final long serialVersionUID = 1;

    public ServerException(ErrorInfo info) {
        super(info);
    }
}
