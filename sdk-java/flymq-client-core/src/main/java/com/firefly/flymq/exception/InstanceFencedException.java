package com.firefly.flymq.exception;

/** Another process has the place of this static member. */
public class InstanceFencedException extends FlyMQException {
    private static final long serialVersionUID = 1;

    public InstanceFencedException(ErrorInfo info) {
        super(info);
    }
}
