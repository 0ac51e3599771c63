package com.firefly.flymq.crypto;

import com.firefly.flymq.exception.EncryptionException;
import com.firefly.flymq.exception.ErrorInfo;

import java.nio.ByteBuffer;
import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import java.util.HexFormat;

import javax.crypto.Cipher;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * AES-256-GCM, laid out {@code nonce (12) ‖ ciphertext ‖ tag (16)} with a random nonce for each value: what a client with an
 * {@code encryptionKey} does to the values of messages, in every language. Safe for use from many threads.
 */
public final class Encryptor {
    /** Header of a record whose value is encrypted; its value names the algorithm. */
    public static final String HEADER = "flymq-encryption";
    /** The value of {@link #HEADER}. */
    public static final String ALGORITHM = "AES-256-GCM";

    private static final int KEY = 32;
    private static final int NONCE = 12;
    private static final int TAG = 16;
    private static final SecureRandom RANDOM = new SecureRandom();

    private final SecretKeySpec key;

    private Encryptor(byte[] key) {
        this.key = new SecretKeySpec(key, "AES");
    }

    /** A new random key: 64 hexadecimal characters, 256 bits. */
    public static String generateKey() {
        byte[] key = new byte[KEY];
        RANDOM.nextBytes(key);
        return HexFormat.of().formatHex(key);
    }

    /**
     * With a key of 64 hexadecimal characters.
     *
     * @throws EncryptionException for anything else; it does not repeat the key
     */
    public static Encryptor fromHexKey(String key) {
        try {
            byte[] bytes = HexFormat.of().parseHex(key);
            if (bytes.length == KEY) {
                return new Encryptor(bytes);
            }
        } catch (IllegalArgumentException e) {
            // Its message would show a part of the key.
        }
        throw failed("the encryption key is not 64 hexadecimal characters", "Make a key with Encryptor.generateKey().");
    }

    /** {@code nonce ‖ ciphertext ‖ tag}, under a fresh random nonce. */
    public byte[] encrypt(byte[] plain) {
        try {
            byte[] nonce = new byte[NONCE];
            RANDOM.nextBytes(nonce);
            Cipher cipher = cipher(Cipher.ENCRYPT_MODE, nonce);
            ByteBuffer out = ByteBuffer.allocate(NONCE + plain.length + TAG).put(nonce);
            cipher.doFinal(ByteBuffer.wrap(plain), out);
            return out.array();
        } catch (GeneralSecurityException e) {
            throw (EncryptionException) failed("the value cannot be encrypted", "Look at the cause.").initCause(e);
        }
    }

    /**
     * The plain bytes of {@link #encrypt}.
     *
     * @throws EncryptionException when the bytes were changed, or another key made them
     */
    public byte[] decrypt(byte[] sealed) {
        String hint = "Give the consumer the encryption key that the producer used.";
        if (sealed.length < NONCE + TAG) {
            throw failed("the value is too short to be an encrypted one", hint);
        }
        try {
            Cipher cipher = cipher(Cipher.DECRYPT_MODE, java.util.Arrays.copyOf(sealed, NONCE));
            return cipher.doFinal(sealed, NONCE, sealed.length - NONCE);
        } catch (GeneralSecurityException e) {
            String what = "the value cannot be decrypted: another key made it, or it was changed";
            throw (EncryptionException) failed(what, hint).initCause(e);
        }
    }

    private Cipher cipher(int mode, byte[] nonce) throws GeneralSecurityException {
        Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
        cipher.init(mode, key, new GCMParameterSpec(8 * TAG, nonce));
        return cipher;
    }

    private static EncryptionException failed(String what, String hint) {
        return new EncryptionException(ErrorInfo.local("INVALID_ARGUMENT", what, hint));
    }
}
