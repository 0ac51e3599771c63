"""The Rust client core: handles and bytes."""

from collections.abc import Generator, Sequence
from os import PathLike
from typing import Any, Generic, Optional, TypeVar, final

_T = TypeVar("_T")

__all__ = [
    "Broker",
    "Client",
    "Consumer",
    "Delivery",
    "Encryptor",
    "Operation",
    "Producer",
    "__version__",
    "error_codes",
    "error_traits",
    "generate_key",
]

__version__: str

#: value, key, headers, partition, timestamp_ms
_Outgoing = tuple[Optional[bytes], Optional[bytes], Sequence[tuple[str, bytes]], Optional[int], Optional[int]]
#: topic, partition, offset, timestamp_ms
_Stored = tuple[str, int, int, int]
#: topic, partition, offset, timestamp_ms, key, value, tombstone, headers
_Received = tuple[str, int, int, int, Optional[bytes], bytes, bool, list[tuple[str, bytes]]]
#: messages, and instead of them which partitions came or went
_Step = tuple[list[_Received], Optional[tuple[str, list[tuple[str, int]]]]]

@final
class Operation(Generic[_T]):
    def wait(self, timeout_ms: Optional[int] = None) -> _T: ...
    def __await__(self) -> Generator[Any, None, _T]: ...

@final
class Client:
    @staticmethod
    def connect(
        servers: str,
        *,
        connect_timeout_ms: int,
        request_timeout_ms: int,
        max_retries: int,
        retry_delay_ms: int,
        username: Optional[str] = None,
        password: Optional[str] = None,
        encryption_key: Optional[str] = None,
    ) -> Operation[Client]: ...
    def call_json(self, rpc: str, request: str) -> Operation[str]: ...
    def produce(self, topic: str, message: _Outgoing, acks: str) -> Operation[_Stored]: ...
    def produce_batch(self, topic: str, messages: list[_Outgoing], acks: str) -> Operation[list[_Stored]]: ...
    def consume(self, topic: str, partition: int, offset: int) -> Operation[_Received]: ...
    def fetch(
        self, topic: str, partition: int, offset: int, max_messages: int, max_bytes: int, max_wait_ms: int
    ) -> Operation[tuple[list[_Received], int, int, int]]: ...
    def producer(
        self,
        *,
        batch_bytes: int,
        batch_messages: int,
        linger_ms: int,
        acks: str,
        retries: int,
        retry_backoff_ms: int,
        compression: str,
        compression_level: Optional[int],
        enable_idempotence: bool,
    ) -> Producer: ...
    def consumer(
        self,
        topics: list[str],
        *,
        group: Optional[str],
        offset_reset: str,
        auto_commit: bool,
        auto_commit_interval_ms: int,
        max_poll_records: int,
        read_uncommitted: bool,
        member: Optional[tuple[int, int, str, Optional[str]]],
    ) -> Consumer: ...
    def close(self) -> None: ...

@final
class Producer:
    def send(self, topic: str, message: _Outgoing) -> Delivery: ...
    def send_operation(self, topic: str, message: _Outgoing) -> Operation[Delivery]: ...
    def flush(self) -> Operation[None]: ...
    def close(self) -> Operation[None]: ...

@final
class Delivery:
    def done(self) -> bool: ...
    def result(self) -> Operation[_Stored]: ...

@final
class Consumer:
    def poll(self, timeout_ms: int, max_records: int) -> Operation[list[_Received]]: ...
    def poll_step(self, timeout_ms: int, max_records: int) -> Operation[_Step]: ...
    def commit(self) -> Operation[None]: ...
    def seek(self, partition: int, offset: int, topic: Optional[str] = None) -> Operation[None]: ...
    def seek_to_beginning(self) -> Operation[None]: ...
    def seek_to_end(self) -> Operation[None]: ...
    def position(self, partition: int) -> Operation[int]: ...
    def assignment(self) -> Operation[list[tuple[str, int, int]]]: ...
    def interrupt(self) -> None: ...
    def close(self) -> Operation[None]: ...

@final
class Broker:
    @property
    def address(self) -> str: ...
    @property
    def grpc_address(self) -> str: ...
    @property
    def rest_address(self) -> Optional[str]: ...
    @staticmethod
    def start(data_dir: str | PathLike[str]) -> Operation[Broker]: ...
    def stop(self) -> Operation[None]: ...

@final
class Encryptor:
    @staticmethod
    def from_hex_key(key: str) -> Encryptor: ...
    def encrypt(self, data: bytes) -> bytes: ...
    def decrypt(self, data: bytes) -> bytes: ...

def generate_key() -> str: ...
def error_traits(code: str) -> tuple[str, str, bool, bool]: ...
def error_codes() -> list[str]: ...
