package com.firefly.flymq.exception;

/** The transaction is unknown, over, or fenced by a newer producer. */
public class TransactionException extends FlyMQException {
    private static final long serialVersionUID = 1;

    public TransactionException(ErrorInfo info) {
        super(info);
    }
}
