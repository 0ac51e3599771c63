package com.firefly.flymq.exception;

/** The user may not do this. */
public class PermissionDeniedException extends AuthenticationException {
    private static final long serialVersionUID = 1;

    public PermissionDeniedException(ErrorInfo info) {
        super(info);
    }
}
