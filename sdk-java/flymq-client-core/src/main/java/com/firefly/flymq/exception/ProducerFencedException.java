package com.firefly.flymq.exception;

/** Another producer has the transactional id, or the transaction was open for too long: it was not committed. */
public class ProducerFencedException extends TransactionException {
    private static final long serialVersionUID = 1;

    public ProducerFencedException(ErrorInfo info) {
        super(info);
    }
}
