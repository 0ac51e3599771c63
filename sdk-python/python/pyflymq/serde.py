"""Serdes: how objects become message values.

`json`, `string`, `binary`, `avro` and `protobuf` are built in; `register_serde` adds others.
"""

from __future__ import annotations

import json
from typing import Any, Callable, Optional, Protocol, Union, runtime_checkable

from pyflymq import _core
from pyflymq.exceptions import InvalidArgumentError, SerializationError


@runtime_checkable
class Serde(Protocol):
    """Both directions under one name."""

    name: str

    def serialize(self, topic: str, obj: Any) -> bytes:
        """The bytes of an object."""

    def deserialize(self, topic: str, data: bytes) -> Any:
        """The object of bytes."""


class BytesSerializer:
    """Takes bytes as they are, and text as UTF-8."""

    def serialize(self, topic: str, obj: Any) -> bytes:
        """The bytes of `obj`."""
        if isinstance(obj, bytes):
            return obj
        if isinstance(obj, (bytearray, memoryview)):
            return bytes(obj)
        if isinstance(obj, str):
            return obj.encode()
        raise SerializationError(
            f"the value for topic {topic} is a {type(obj).__name__}; the binary serde takes bytes and str",
            hint="Pass bytes or str, or call client.set_serde('json') first.",
        )


class BytesDeserializer:
    """Gives bytes as they are."""

    def deserialize(self, topic: str, data: bytes) -> bytes:  # noqa: ARG002
        """The same bytes."""
        return data


class StringSerializer:
    """UTF-8 text."""

    def serialize(self, topic: str, obj: Any) -> bytes:
        """The text's bytes."""
        if isinstance(obj, str):
            return obj.encode()
        raise SerializationError(f"the value for topic {topic} is a {type(obj).__name__}; the string serde takes str")


class StringDeserializer:
    """UTF-8 text."""

    def deserialize(self, topic: str, data: bytes) -> str:
        """The text."""
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise SerializationError(f"a value of topic {topic} is no UTF-8 text: {error}") from error


class JSONSerializer:
    """A JSON document in UTF-8; pydantic models are dumped."""

    def serialize(self, topic: str, obj: Any) -> bytes:
        """The document's bytes."""
        return _document(topic, obj).encode()


class JSONDeserializer:
    """A JSON document in UTF-8."""

    def deserialize(self, topic: str, data: bytes) -> Any:
        """The document."""
        try:
            return json.loads(data)
        except ValueError as error:
            raise SerializationError(f"a value of topic {topic} is no JSON: {error}") from error


def _document(topic: str, obj: Any) -> str:
    try:
        return json.dumps(obj, default=_plain, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise SerializationError(f"the value for topic {topic} is no JSON: {error}") from error


def _plain(obj: Any) -> Any:
    dump = getattr(obj, "model_dump", None)
    if dump is None:
        raise TypeError(f"{type(obj).__name__} is not JSON serializable")
    return dump(mode="json")


class BinarySerde(BytesSerializer, BytesDeserializer):
    """Bytes as they are; a client's default."""

    name = "binary"


class StringSerde(StringSerializer, StringDeserializer):
    """UTF-8 text."""

    name = "string"


class JSONSerde(JSONSerializer, JSONDeserializer):
    """JSON documents."""

    name = "json"


class SchemaSerde:
    """Documents by a schema of the client's registry, in the frame of Confluent's serializers.

    It writes by the latest version of the subject, `<topic>-value` unless one is named, and reads by whatever schema a value
    names; what it has learned of the registry it keeps, so that few calls ask it. Raises `SchemaError` for a document that does
    not fit, and where there is no such schema; `SerializationError` for a value that is none of its kind.
    """

    name = ""

    def __init__(self, client: _Registry, subject: Optional[str] = None) -> None:
        core = client if isinstance(client, _core.Client) else client._core
        self._core = core.schema_serde(self.name, subject)

    def serialize(self, topic: str, obj: Any) -> bytes:
        """The framed bytes of a document: what JSON can say, or a pydantic model."""
        return self._core.encode(topic, _document(topic, obj)).wait()

    def deserialize(self, topic: str, data: bytes) -> Any:  # noqa: ARG002
        """The document of framed bytes."""
        return json.loads(self._core.decode(data).wait())


class AvroSerde(SchemaSerde):
    """Documents in Avro."""

    name = "avro"


class ProtobufSerde(SchemaSerde):
    """Documents in Protobuf, as ProtoJSON maps them; written as the first message of the schema's file."""

    name = "protobuf"


#: The spelling of earlier versions.
JsonSerializer = JSONSerializer
JsonDeserializer = JSONDeserializer


class _Client(Protocol):
    @property
    def _core(self) -> _core.Client: ...


_Registry = Union[_Client, _core.Client]

_SERDES: dict[str, Callable[[], Serde]] = {"json": JSONSerde, "string": StringSerde, "binary": BinarySerde}
_SCHEMA_SERDES: dict[str, type[SchemaSerde]] = {"avro": AvroSerde, "protobuf": ProtobufSerde}


def register_serde(name: str, make: Callable[[], Serde]) -> None:
    """Makes a serde known by name, for `client.set_serde(name)`."""
    _SERDES[name] = make


def serde_by_name(name: str, client: Optional[_Registry] = None, subject: Optional[str] = None) -> Serde:
    """The serde of a name; those over schemas ask the registry of `client`, and write by `subject` if it is given.

    Raises `InvalidArgumentError` that lists the names for an unknown one, and for a subject where none is looked at.
    """
    if name in _SCHEMA_SERDES and name not in _SERDES:
        if client is None:
            raise InvalidArgumentError(
                f"the serde {name!r} needs a client, whose registry it asks", hint=f"Use client.serde({name!r})."
            )
        return _SCHEMA_SERDES[name](client, subject)
    if name not in _SERDES:
        names = ", ".join(sorted({**_SERDES, **_SCHEMA_SERDES}))
        raise InvalidArgumentError(f"unknown serde {name!r}: use one of {names}", hint=f"Known serdes: {names}.")
    if subject is not None:
        raise InvalidArgumentError(
            f"the serde {name!r} has no schema, so no subject", hint=f"Leave it out: client.serde({name!r})."
        )
    return _SERDES[name]()
