package com.firefly.flymq.exception;

/** The message is larger than the server takes. */
public class RecordTooLargeException extends InvalidArgumentException {
    private static final long serialVersionUID = 1;

    public RecordTooLargeException(ErrorInfo info) {
        super(info);
    }
}
