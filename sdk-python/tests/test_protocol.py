"""Units without a broker: models, serdes, encryption, settings."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyflymq import ConsumedMessage, Encryptor, FlyMQClient, RecordMetadata, connect, generate_key
from pyflymq._records import header_list, offset_of, outgoing
from pyflymq.exceptions import (
    ConnectionError,
    EncryptionError,
    InvalidArgumentError,
    SerializationError,
    UnsupportedError,
)
from pyflymq.serde import BinarySerde, JSONSerde, StringSerde, register_serde, serde_by_name

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=8,
)
CIPHER = Encryptor.from_hex_key("0f" * 32)


def metadata(offset: int = 7) -> RecordMetadata:
    return RecordMetadata(topic="t", partition=1, offset=offset)


def test_metadata_acts_as_its_offset() -> None:
    stored = metadata()
    assert int(stored) == stored == 7
    assert list(range(10))[stored] == 7
    assert (stored + 1, 1 + stored, stored - 2, 10 - stored) == (8, 8, 5, 3)
    assert 6 < stored < 8
    assert 7 <= stored <= 7
    assert metadata(7) == metadata(7)
    assert metadata(7) != metadata(8)
    assert len({metadata(7), 7}) == 1


def test_models_dump() -> None:
    assert metadata().model_dump() == {"topic": "t", "partition": 1, "offset": 7, "timestamp_ms": 0}
    message = ConsumedMessage(topic="t", partition=0, offset=1, key=b"\xff", value=b"\x00", headers=[("h", b"v")])
    assert ConsumedMessage.model_validate_json(message.model_dump_json()) == message
    assert json.loads(message.model_dump_json())["value"] == "AA=="


def test_message_accessors() -> None:
    message = ConsumedMessage(topic="t", partition=0, offset=1, key="é".encode(), value=b"hi", headers=[("a", b"1")])
    assert (message.data, message.decode(), message.decode_key()) == (b"hi", "hi", "é")
    assert (message.header("a"), message.header("b")) == (b"1", None)
    assert ConsumedMessage(topic="t", partition=0, offset=1).decode_key() is None


@given(JSON)
def test_json_goes_there_and_back(value: object) -> None:
    serde = JSONSerde()
    assert serde.deserialize("t", serde.serialize("t", value)) == value


@given(st.text())
def test_text_goes_there_and_back(value: str) -> None:
    serde = StringSerde()
    try:
        data = serde.serialize("t", value)
    except UnicodeEncodeError:
        return
    assert serde.deserialize("t", data) == value


@given(st.binary())
def test_values_decrypt_to_what_was_encrypted(value: bytes) -> None:
    sealed = CIPHER.encrypt(value)
    assert CIPHER.decrypt(sealed) == value
    assert len(sealed) == 12 + len(value) + 16


@given(st.binary(max_size=64), st.data())
def test_a_changed_byte_never_decrypts(value: bytes, data: st.DataObject) -> None:
    sealed = bytearray(CIPHER.encrypt(value))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(EncryptionError):
        CIPHER.decrypt(bytes(sealed))


@given(st.binary(max_size=40))
def test_garbage_never_decrypts(data: bytes) -> None:
    with pytest.raises(EncryptionError, match="cannot be decrypted"):
        CIPHER.decrypt(data)


def test_keys() -> None:
    key = generate_key()
    assert len(bytes.fromhex(key)) == 32
    assert key != generate_key()
    for bad in ("", "0f", "zz" * 32, "0f" * 33):
        with pytest.raises(EncryptionError, match="64 hexadecimal") as caught:
            Encryptor.from_hex_key(bad)
        assert "generate_key" in caught.value.hint


def test_nonces_are_fresh() -> None:
    assert CIPHER.encrypt(b"x") != CIPHER.encrypt(b"x")
    assert CIPHER.decrypt(CIPHER.encrypt("é")) == "é".encode()


def test_serdes_by_name() -> None:
    assert [type(serde_by_name(name)) for name in ("json", "string", "binary")] == [JSONSerde, StringSerde, BinarySerde]
    with pytest.raises(InvalidArgumentError, match="binary, json, protobuf"):
        serde_by_name("yaml")
    with pytest.raises(InvalidArgumentError, match="needs a client"):
        serde_by_name("avro")


def test_serdes_can_be_added() -> None:
    class Upper(StringSerde):
        name = "upper"

        def serialize(self, topic: str, obj: object) -> bytes:
            return str(obj).upper().encode()

    register_serde("upper", Upper)
    assert serde_by_name("upper").serialize("t", "a") == b"A"


@pytest.mark.parametrize(
    ("serde", "value"), [(BinarySerde(), {"a": 1}), (StringSerde(), b"x"), (JSONSerde(), object()), (JSONSerde(), {1, 2})]
)
def test_values_that_do_not_fit_say_so(serde: BinarySerde, value: object) -> None:
    with pytest.raises(SerializationError) as caught:
        serde.serialize("t", value)
    assert "set_serde" in caught.value.hint


@pytest.mark.parametrize("serde", [StringSerde(), JSONSerde()])
def test_bytes_that_do_not_fit_say_so(serde: StringSerde) -> None:
    with pytest.raises(SerializationError):
        serde.deserialize("t", b"\xff{")


@given(st.integers())
def test_offsets_are_checked(number: int) -> None:
    if 0 <= number < 2**64:
        assert offset_of(number) == number
    else:
        with pytest.raises(InvalidArgumentError):
            offset_of(number)


def test_messages_to_send() -> None:
    assert outgoing(BinarySerde(), "t", bytearray(b"v"), "k", {"h": "x"}, 2) == (b"v", b"k", [("h", b"x")], 2, None)
    assert outgoing(JSONSerde(), "t", None)[0] is None
    assert header_list([("a", b"1"), ("a", "2")]) == [("a", b"1"), ("a", b"2")]
    for partition in (-1, 2**31):
        with pytest.raises(InvalidArgumentError, match="partition"):
            outgoing(BinarySerde(), "t", b"", partition=partition)


@pytest.mark.parametrize(
    "settings",
    [
        {"tls_enabled": True},
        {"tls_ca_file": "ca.pem"},
        {"tls_insecure_skip_verify": True},
        {"tls_enabled": True, "encryption_key": "0f" * 32},
    ],
)
def test_tls_is_refused_and_never_silently_plain(settings: dict[str, object]) -> None:
    with pytest.raises(UnsupportedError, match="TLS") as caught:
        FlyMQClient("127.0.0.1:1", **settings)
    assert caught.value.hint


def test_client_settings_are_checked() -> None:
    with pytest.raises(InvalidArgumentError, match="max_retries"):
        FlyMQClient("127.0.0.1:1", max_retries=-1)
    with pytest.raises(InvalidArgumentError, match="no_such_setting"):
        FlyMQClient("127.0.0.1:1", no_such_setting=1)
    with pytest.raises(InvalidArgumentError, match="host:port"):
        connect("127.0.0.1:nine")
    with pytest.raises(EncryptionError, match="encryption_key"):
        FlyMQClient("127.0.0.1:1", encryption_enabled=True)


def test_nobody_listens() -> None:
    with pytest.raises(ConnectionError) as caught:
        connect("127.0.0.1:1", connect_timeout_ms=500, max_retries=0)
    assert "Start it with: flymq" in caught.value.hint
    assert caught.value.retryable
