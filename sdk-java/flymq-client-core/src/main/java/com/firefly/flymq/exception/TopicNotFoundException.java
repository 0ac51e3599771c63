package com.firefly.flymq.exception;

/** The topic does not exist. */
public class TopicNotFoundException extends FlyMQException {
    private static final long serialVersionUID = 1;

    public TopicNotFoundException(ErrorInfo info) {
        super(info);
    }
}
