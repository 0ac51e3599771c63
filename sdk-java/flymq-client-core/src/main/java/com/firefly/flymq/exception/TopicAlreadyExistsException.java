package com.firefly.flymq.exception;

/** A topic of that name exists. */
public class TopicAlreadyExistsException extends FlyMQException {
    private static final long serialVersionUID = 1;

    public TopicAlreadyExistsException(ErrorInfo info) {
        super(info);
    }
}
