package com.firefly.flymq.exception;

/** A value cannot be encrypted or decrypted with this key. */
public class EncryptionException extends InvalidArgumentException {
    private static final long serialVersionUID = 1;

    public EncryptionException(ErrorInfo info) {
        super(info);
    }
}
