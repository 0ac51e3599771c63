package com.firefly.flymq.exception;

import java.io.Serializable;
import java.util.Map;

/**
 * The facts of a failure.
 *
 * @param code name in the table of errors that server and all SDKs share: {@code TOPIC_NOT_FOUND}
 * @param message what happened, with the names and numbers at hand
 * @param hint what to do next
 * @param docUrl page that explains the code
 * @param retryable the same request may succeed later without a change
 * @param sideEffects the request may have taken effect although it failed
 * @param metadata structured facts ({@code topic}, {@code partition}, {@code start}, {@code end})
 * @param requestId id under which the server's log tells more; empty when no server was reached
 */
public record ErrorInfo(
        String code,
        String message,
        String hint,
        String docUrl,
        boolean retryable,
        boolean sideEffects,
        Map<String, String> metadata,
        String requestId)
        implements Serializable {

    public ErrorInfo {
        metadata = Map.copyOf(metadata);
    }

    /** A failure of this side, before anything was sent. */
    public static ErrorInfo local(String code, String message, String hint) {
        return new ErrorInfo(code, message, hint, "", false, false, Map.of(), "");
    }
}
