package com.firefly.flymq.crypto;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.firefly.flymq.exception.EncryptionException;

import org.junit.jupiter.api.Test;

/** AES-256-GCM on its own; against the native side's in RecordsTest. */
class EncryptorTest {
    @Test
    void valuesGoThereAndBack() {
        Encryptor encryptor = Encryptor.fromHexKey(Encryptor.generateKey());
        byte[] sealed = encryptor.encrypt("secret".getBytes());
        assertThat(sealed).hasSize(12 + 6 + 16);
        assertThat(encryptor.decrypt(sealed)).isEqualTo("secret".getBytes());
        assertThat(encryptor.encrypt("secret".getBytes())).isNotEqualTo(sealed);
    }

    @Test
    void changedBytesAndOtherKeysAreRefused() {
        Encryptor encryptor = Encryptor.fromHexKey(Encryptor.generateKey());
        byte[] sealed = encryptor.encrypt(new byte[] {1, 2, 3});
        Encryptor other = Encryptor.fromHexKey(Encryptor.generateKey());
        assertThatThrownBy(() -> other.decrypt(sealed)).isInstanceOf(EncryptionException.class);
        sealed[13] ^= 1;
        assertThatThrownBy(() -> encryptor.decrypt(sealed)).isInstanceOf(EncryptionException.class);
        assertThatThrownBy(() -> encryptor.decrypt(new byte[5])).isInstanceOf(EncryptionException.class);
    }

    @Test
    void aBadKeyIsNotRepeated() {
        String bad = "x".repeat(64);
        assertThatThrownBy(() -> Encryptor.fromHexKey(bad))
                .isInstanceOf(EncryptionException.class)
                .hasMessageNotContaining(bad);
        assertThatThrownBy(() -> Encryptor.fromHexKey("00")).isInstanceOf(EncryptionException.class);
    }
}
