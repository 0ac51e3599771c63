package com.firefly.flymq.exception;

/** The partitions are another member's by now; the next poll says which are one's own. */
public class RebalanceException extends FlyMQException {
    private static final long serialVersionUID = 1;

    public RebalanceException(ErrorInfo info) {
        super(info);
    }
}
