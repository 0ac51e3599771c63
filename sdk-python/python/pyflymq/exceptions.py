"""Exceptions: a class for each kind of failure, all with a code, a hint and a page that explains it.

Codes, hints and pages come from one table that the server and all SDKs share; a class here stands for one or
more codes. `ConnectionError` and `TimeoutError` are also the builtin exceptions of these names, so programs that
know nothing of FlyMQ catch them too.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any, ClassVar, Optional

from pyflymq import _core


class FlyMQError(Exception):
    """Base of all failures. `hint` says what to do next."""

    #: Code of an exception that is made without one.
    default_code: ClassVar[str] = "INTERNAL"
    #: Hint of an exception that is made without one; empty: that of the code.
    default_hint: ClassVar[str] = ""

    message: str
    code: str
    hint: str
    doc_url: str
    retryable: bool
    side_effects: bool
    metadata: dict[str, str]
    request_id: str

    def __init__(
        self,
        message: str = "",
        *,
        code: Optional[str] = None,
        hint: Optional[str] = None,
        doc_url: Optional[str] = None,
        retryable: Optional[bool] = None,
        side_effects: Optional[bool] = None,
        metadata: Optional[Mapping[str, str]] = None,
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        row = _core.error_traits(self.code)
        self.hint = hint or self.default_hint or row[0]
        self.doc_url = row[1] if doc_url is None else doc_url
        #: The same request may succeed later without a change.
        self.retryable = row[2] if retryable is None else retryable
        #: The request may have taken effect although it failed.
        self.side_effects = row[3] if side_effects is None else side_effects
        #: Facts such as `topic`, `partition`, `start`, `end`.
        self.metadata = dict(metadata or {})
        #: Finds the server's log lines.
        self.request_id = request_id
        for name, value in self.metadata.items():
            self.hint = self.hint.replace(f"<{name}>", value)

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.message!r}, code={self.code!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, {name: getattr(self, name) for name in _FACTS})


_FACTS = ("code", "hint", "doc_url", "retryable", "side_effects", "metadata", "request_id")


def _rebuild(kind: type[FlyMQError], message: str, facts: dict[str, Any]) -> FlyMQError:
    return kind(message, **facts)


class ConnectionError(FlyMQError, builtins.ConnectionError):
    """No server could be reached, or the connection broke."""

    default_code = "CONNECTION"


class TimeoutError(FlyMQError, builtins.TimeoutError):
    """The operation took longer than allowed; it may have taken effect."""

    default_code = "TIMEOUT"


class TopicNotFoundError(FlyMQError):
    """The topic does not exist."""

    default_code = "TOPIC_NOT_FOUND"


class TopicAlreadyExistsError(FlyMQError):
    """A topic of this name exists."""

    default_code = "TOPIC_ALREADY_EXISTS"


class PartitionNotFoundError(FlyMQError):
    """The topic has no such partition."""

    default_code = "PARTITION_NOT_FOUND"


class GroupNotFoundError(FlyMQError):
    """The consumer group never committed anything."""

    default_code = "GROUP_NOT_FOUND"


class OffsetOutOfRangeError(FlyMQError):
    """There is no message at this offset."""

    default_code = "OFFSET_OUT_OF_RANGE"


class EndOfPartitionError(OffsetOutOfRangeError):
    """There is no message at this offset yet."""

    default_code = "END_OF_PARTITION"


class AuthenticationError(FlyMQError):
    """The server wants a login, or refused it."""

    default_code = "AUTHENTICATION_FAILED"


class PermissionDeniedError(AuthenticationError):
    """The user may not do this."""

    default_code = "PERMISSION_DENIED"


class InvalidArgumentError(FlyMQError, ValueError):
    """An argument cannot be."""

    default_code = "INVALID_ARGUMENT"


class RecordTooLargeError(InvalidArgumentError):
    """The message, or the batch, is above a limit."""

    default_code = "RECORD_TOO_LARGE"


class SerializationError(InvalidArgumentError):
    """A value does not fit the serde."""

    default_hint = (
        "Send what the active serde takes, or choose another one with client.set_serde('json' | 'string' | 'binary')."
    )


class EncryptionError(InvalidArgumentError):
    """A value cannot be encrypted or decrypted."""

    default_hint = "Give producer and consumer the same encryption_key, made by pyflymq.generate_key()."


class SchemaError(FlyMQError):
    """A schema is unknown, malformed or incompatible, or a message does not match it."""

    default_code = "SCHEMA_VALIDATION_FAILED"


class TransactionError(FlyMQError):
    """The transaction is over, or a newer producer took its place."""

    default_code = "TRANSACTION_STATE"


class ProducerFencedError(TransactionError):
    """Another producer has the transactional id, or the transaction was open for too long: it was not committed."""

    default_code = "PRODUCER_FENCED"


class RebalanceError(FlyMQError):
    """The partitions are another member's by now; the next poll says which are one's own."""

    default_code = "ILLEGAL_GENERATION"


class InstanceFencedError(FlyMQError):
    """Another process has the place of this static member."""

    default_code = "INSTANCE_FENCED"


class RecordNotHeldError(FlyMQError):
    """The message is not held by this reader (any more): it is over, or another one's."""

    default_code = "RECORD_NOT_HELD"


class InUseError(FlyMQError):
    """Something still uses what is to be deleted or reset: members of a group, topics of a schema."""

    default_code = "IN_USE"


class UnsupportedError(FlyMQError):
    """This version cannot do that, or it is switched off."""

    default_code = "UNIMPLEMENTED"


class ClosedError(FlyMQError):
    """The client, producer or consumer is closed, or the call was given up."""

    default_code = "CANCELLED"
    default_hint = "Make a new one: a closed client, producer or consumer is not used again."


class ServerError(FlyMQError):
    """A failure in the broker; its log tells more."""


_BY_CODE: dict[str, type[FlyMQError]] = {
    "UNIMPLEMENTED": UnsupportedError,
    "FEATURE_DISABLED": UnsupportedError,
    "UNSUPPORTED_VERSION": UnsupportedError,
    "INVALID_ARGUMENT": InvalidArgumentError,
    "DELAY_TOO_LONG": InvalidArgumentError,
    "TOPIC_NOT_FOUND": TopicNotFoundError,
    "TOPIC_ALREADY_EXISTS": TopicAlreadyExistsError,
    "PARTITION_NOT_FOUND": PartitionNotFoundError,
    "GROUP_NOT_FOUND": GroupNotFoundError,
    "OFFSET_OUT_OF_RANGE": OffsetOutOfRangeError,
    "END_OF_PARTITION": EndOfPartitionError,
    "RECORD_NOT_FOUND": OffsetOutOfRangeError,
    "RECORD_TOO_LARGE": RecordTooLargeError,
    "FRAME_TOO_LARGE": RecordTooLargeError,
    "AUTHENTICATION_REQUIRED": AuthenticationError,
    "AUTHENTICATION_FAILED": AuthenticationError,
    "PERMISSION_DENIED": PermissionDeniedError,
    "TIMEOUT": TimeoutError,
    "CONNECTION": ConnectionError,
    "UNKNOWN_PRODUCER": TransactionError,
    "PRODUCER_FENCED": ProducerFencedError,
    "UNKNOWN_MEMBER": RebalanceError,
    "ILLEGAL_GENERATION": RebalanceError,
    "INSTANCE_FENCED": InstanceFencedError,
    "RECORD_NOT_HELD": RecordNotHeldError,
    "IN_USE": InUseError,
    "TRANSACTION_NOT_FOUND": TransactionError,
    "TRANSACTION_STATE": TransactionError,
    "SCHEMA_NOT_FOUND": SchemaError,
    "SCHEMA_INVALID": SchemaError,
    "SCHEMA_INCOMPATIBLE": SchemaError,
    "SCHEMA_VALIDATION_FAILED": SchemaError,
    "CANCELLED": ClosedError,
}

#: Failures of this side that share a code with others.
_BY_KIND: dict[str, type[FlyMQError]] = {"encryption": EncryptionError, "serialization": SerializationError}


def from_core(
    code: str,
    message: str,
    hint: str,
    doc_url: str,
    retryable: bool,
    side_effects: bool,
    metadata: dict[str, str],
    request_id: str,
) -> FlyMQError:
    """The exception of a failure that the core reports; codes without a class of their own are `ServerError`."""
    kind = _BY_KIND.get(metadata.get("kind", "")) or _BY_CODE.get(code, ServerError)
    return kind(
        message,
        code=code,
        hint=hint,
        doc_url=doc_url,
        retryable=retryable,
        side_effects=side_effects,
        metadata=metadata,
        request_id=request_id,
    )
