package com.firefly.flymq.exception;

/** No member of that consumer group has ever committed. */
public class GroupNotFoundException extends FlyMQException {
    private static final long serialVersionUID = 1;

    public GroupNotFoundException(ErrorInfo info) {
        super(info);
    }
}
