package com.firefly.flymq.exception;

/** The server does not accept who we say we are. */
public class AuthenticationException extends FlyMQException {
    private static final long serialVersionUID = 1;

    public AuthenticationException(ErrorInfo info) {
        super(info);
    }
}
