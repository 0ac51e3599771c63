"""Client-side encryption: AES-256-GCM over the value, laid out `nonce(12) ‖ ciphertext ‖ tag(16)`."""

from __future__ import annotations

from typing import Union

from pyflymq import _core


def generate_key() -> str:
    """A new random 256-bit key: 64 hexadecimal characters."""
    return _core.generate_key()


class Encryptor:
    """Encrypts and decrypts values with one key. Raises `EncryptionError` for bad keys and changed values."""

    def __init__(self, core: _core.Encryptor) -> None:
        self._core = core

    @classmethod
    def from_hex_key(cls, key: str) -> Encryptor:
        """With a key of 64 hexadecimal characters."""
        return cls(_core.Encryptor.from_hex_key(key))

    def encrypt(self, data: Union[bytes, str]) -> bytes:
        """The sealed bytes, under a fresh nonce; text is encoded as UTF-8."""
        return self._core.encrypt(data.encode() if isinstance(data, str) else data)

    def decrypt(self, data: bytes) -> bytes:
        """The plain bytes."""
        return self._core.decrypt(data)
