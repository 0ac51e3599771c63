"""Serdes: how objects become message values. `json`, `string` and `binary` are built in; `register_serde` adds others."""

from __future__ import annotations

import json
from typing import Any, Callable, Protocol, runtime_checkable

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
        try:
            return json.dumps(obj, default=_plain, ensure_ascii=False, separators=(",", ":")).encode()
        except (TypeError, ValueError) as error:
            raise SerializationError(f"the value for topic {topic} is no JSON: {error}") from error


class JSONDeserializer:
    """A JSON document in UTF-8."""

    def deserialize(self, topic: str, data: bytes) -> Any:
        """The document."""
        try:
            return json.loads(data)
        except ValueError as error:
            raise SerializationError(f"a value of topic {topic} is no JSON: {error}") from error


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


#: The spelling of earlier versions.
JsonSerializer = JSONSerializer
JsonDeserializer = JSONDeserializer

_SERDES: dict[str, Callable[[], Serde]] = {"json": JSONSerde, "string": StringSerde, "binary": BinarySerde}


def register_serde(name: str, make: Callable[[], Serde]) -> None:
    """Makes a serde known by name, for `client.set_serde(name)`."""
    _SERDES[name] = make


def serde_by_name(name: str) -> Serde:
    """The serde of a name.

    Raises `InvalidArgumentError` that lists the names for an unknown one.
    """
    if name not in _SERDES:
        names = ", ".join(sorted(_SERDES))
        raise InvalidArgumentError(f"unknown serde {name!r}: use one of {names}", hint=f"Known serdes: {names}.")
    return _SERDES[name]()
