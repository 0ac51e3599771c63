"""Records between the models and the core's tuples."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Optional, SupportsIndex, Union

from pyflymq.exceptions import InvalidArgumentError
from pyflymq.models import ConsumedMessage, RecordMetadata
from pyflymq.serde import Serde

if TYPE_CHECKING:
    from pyflymq import _core

Key = Union[str, bytes, None]
Headers = Union[Mapping[str, Union[bytes, str]], Iterable[tuple[str, Union[bytes, str]]], None]

_MAX_PARTITION = 2**31 - 1
_MAX_OFFSET = 2**64 - 1


def outgoing(
    serde: Serde,
    topic: str,
    value: Any,
    key: Key = None,
    headers: Headers = None,
    partition: Optional[int] = None,
    timestamp_ms: Optional[int] = None,
) -> _core._Outgoing:
    """A message to send; a value of `None` is a tombstone."""
    data = None if value is None else serde.serialize(topic, value)
    return data, key_bytes(key), header_list(headers), partition_of(partition), timestamp_ms


def key_bytes(key: Key) -> Optional[bytes]:
    """A key as bytes; text as UTF-8."""
    return key.encode() if isinstance(key, str) else key


def header_list(headers: Headers) -> list[tuple[str, bytes]]:
    """Headers as pairs; text as UTF-8."""
    if headers is None:
        return []
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in pairs]


def partition_of(partition: Optional[int]) -> Optional[int]:
    """A checked partition."""
    if partition is None or 0 <= partition <= _MAX_PARTITION:
        return partition
    raise InvalidArgumentError(f"a partition is a number from 0 on, not {partition}")


def offset_of(offset: SupportsIndex) -> int:
    """A checked offset, of a number or of `RecordMetadata`."""
    number = operator.index(offset)
    if 0 <= number <= _MAX_OFFSET:
        return number
    raise InvalidArgumentError(f"an offset is a number from 0 on, not {number}")


def count_of(name: str, count: int) -> int:
    """A checked number of messages or milliseconds."""
    if 0 <= count < 2**31:
        return count
    raise InvalidArgumentError(f"{name} is a number from 0 on, not {count}")


def stored(parts: _core._Stored) -> RecordMetadata:
    """The model of what a produce gives."""
    topic, partition, offset, timestamp_ms = parts
    return RecordMetadata(topic=topic, partition=partition, offset=offset, timestamp_ms=timestamp_ms)


def consumed(parts: _core._Received, serde: Serde) -> ConsumedMessage:
    """The model of a message that was read."""
    topic, partition, offset, timestamp_ms, key, value, tombstone, headers = parts
    message = ConsumedMessage(
        topic=topic,
        partition=partition,
        offset=offset,
        key=key,
        value=value,
        timestamp_ms=timestamp_ms,
        headers=headers,
        tombstone=tombstone,
    )
    message._serde = serde
    return message
