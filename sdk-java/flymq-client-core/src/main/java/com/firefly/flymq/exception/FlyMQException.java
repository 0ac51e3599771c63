package com.firefly.flymq.exception;

import java.util.Map;

/** Any failure that FlyMQ reports. Its text ends with what to do next. */
public class FlyMQException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final ErrorInfo info;

    public FlyMQException(ErrorInfo info) {
        super(info.hint().isEmpty() ? info.message() : info.message() + "\n  hint: " + info.hint());
        this.info = info;
    }

    /** Name in the table of errors: {@code TOPIC_NOT_FOUND}. */
    public String code() {
        return info.code();
    }

    /** What to do next. */
    public String hint() {
        return info.hint();
    }

    /** Page that explains the code. */
    public String docUrl() {
        return info.docUrl();
    }

    /** The same request may succeed later without a change. */
    public boolean retryable() {
        return info.retryable();
    }

    /** The request may have taken effect although it failed. */
    public boolean sideEffects() {
        return info.sideEffects();
    }

    /** Structured facts, such as {@code topic} and {@code partition}. */
    public Map<String, String> metadata() {
        return info.metadata();
    }

    /** Id under which the server's log tells more; empty when no server was reached. */
    public String requestId() {
        return info.requestId();
    }

    /** All of it. */
    public ErrorInfo info() {
        return info;
    }
}
