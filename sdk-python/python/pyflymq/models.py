"""What calls return. All are pydantic models; bytes become base64 in JSON."""

from __future__ import annotations

from typing import Any, Optional

from pydantic import BaseModel, ConfigDict, PrivateAttr

from pyflymq.serde import Serde


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")


class RecordMetadata(_Model):
    """Where a message was stored. It also acts as its offset: `client.consume(topic, metadata)`, `metadata + 1`."""

    topic: str
    partition: int
    offset: int
    #: Unix time in milliseconds of the append.
    timestamp_ms: int = 0

    def __int__(self) -> int:
        return self.offset

    def __index__(self) -> int:
        return self.offset

    def __hash__(self) -> int:
        return hash(self.offset)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, int):
            return self.offset == other
        return super().__eq__(other)

    def __lt__(self, other: int) -> bool:
        return self.offset < int(other)

    def __le__(self, other: int) -> bool:
        return self.offset <= int(other)

    def __gt__(self, other: int) -> bool:
        return self.offset > int(other)

    def __ge__(self, other: int) -> bool:
        return self.offset >= int(other)

    def __add__(self, other: int) -> int:
        return self.offset + int(other)

    def __radd__(self, other: int) -> int:
        return int(other) + self.offset

    def __sub__(self, other: int) -> int:
        return self.offset - int(other)

    def __rsub__(self, other: int) -> int:
        return int(other) - self.offset


class ConsumedMessage(_Model):
    """A message that was read."""

    topic: str
    partition: int
    offset: int
    key: Optional[bytes] = None
    #: Empty for a tombstone.
    value: bytes = b""
    #: Unix time in milliseconds.
    timestamp_ms: int = 0
    headers: list[tuple[str, bytes]] = []
    #: It has no value: it deletes its key when the topic is compacted.
    tombstone: bool = False
    #: How often a queue has handed it out.
    delivery_count: int = 1

    _serde: Optional[Serde] = PrivateAttr(default=None)

    @property
    def data(self) -> bytes:
        """The value."""
        return self.value

    def decode(self, encoding: str = "utf-8") -> Any:
        """The value as text, or as the object of the client's serde."""
        if self._serde is None or self._serde.name == "binary":
            return self.value.decode(encoding)
        return self._serde.deserialize(self.topic, self.value)

    def decode_key(self, encoding: str = "utf-8") -> Optional[str]:
        """The key as text."""
        return None if self.key is None else self.key.decode(encoding)

    def header(self, name: str) -> Optional[bytes]:
        """The last header of this name."""
        return next((value for key, value in reversed(self.headers) if key == name), None)


class FetchResult(_Model):
    """What a fetch found."""

    messages: list[ConsumedMessage]
    #: The offset to ask for next.
    next_offset: int
    #: Offset after the last readable message.
    high_watermark: int
    #: First offset that is still there.
    low_watermark: int


class PartitionInfo(_Model):
    """One partition of a topic."""

    partition: int
    low_watermark: int = 0
    high_watermark: int = 0
    log_end_offset: int = 0
    leader: str = ""


class TopicMetadata(_Model):
    """A topic."""

    name: str
    #: How many.
    partitions: int
    replication_factor: int = 1
    partition_info: list[PartitionInfo] = []


class NodeMetadata(_Model):
    """A node of the cluster."""

    node_id: str
    #: host:port for clients.
    address: str = ""


class ClusterMetadata(_Model):
    """Which node leads which partition."""

    cluster_id: str
    nodes: list[NodeMetadata]
    #: topic -> partition -> id of the node that leads it
    partitions: dict[str, dict[int, str]]


class Schedule(_Model):
    """A message that is delivered later."""

    id: str
    topic: str
    #: Unix time in milliseconds of the next delivery.
    due_ms: int
    #: Empty: it is delivered once.
    cron: str = ""
    #: Bytes.
    value_size: int = 0


class DeadLetter(_Model):
    """A message that could not be processed."""

    id: str
    error: str
    message: ConsumedMessage
    attempts: int = 0
    reason: str = ""


class DeadLetterStats(_Model):
    """How many dead letters a topic has."""

    total: int
    #: `max_retries_exceeded`, `rejected`
    by_reason: dict[str, int] = {}
    #: The groups in which they failed.
    by_group: dict[str, int] = {}


class SchemaReference(_Model):
    """Another schema that a schema uses."""

    #: As the schema's text calls it.
    name: str
    #: The name that it is registered by.
    subject: str
    version: int


class Schema(_Model):
    """A registered schema version."""

    id: str
    name: str
    version: int
    #: `json`, `avro` or `protobuf`
    type: str
    definition: str
    #: Which versions may follow: `backward` and so on.
    compatibility: str = ""
    #: The same for the same text in all schemas; values of Avro and Protobuf begin with it.
    global_id: int = 0
    #: Other schemas that it uses.
    references: list[SchemaReference] = []


class PartitionOffset(_Model):
    """A place in a partition."""

    topic: str
    partition: int
    #: The next offset to read.
    offset: int


class PartitionLag(_Model):
    """How far a group is behind."""

    topic: str
    partition: int
    #: Next offset to read.
    committed: int
    #: High watermark.
    latest: int
    #: Messages between them.
    lag: int
    #: Age in milliseconds of the oldest of them; 0: there is none.
    lag_ms: int = 0


class TopicPartitions(_Model):
    """Partitions of a topic."""

    topic: str
    partitions: list[int] = []


class GroupMember(_Model):
    """A member of a consumer group."""

    member_id: str
    client_id: str = ""
    host: str = ""
    #: Of a static member, else empty.
    instance_id: str = ""
    #: Of the assignment that it was told last.
    member_epoch: int = 0
    #: What it reads, with what it has not let go of yet.
    assignment: list[TopicPartitions] = []
    #: What it is to read once the group is stable.
    target: list[TopicPartitions] = []
    #: Names and patterns that it subscribes to.
    topics: list[str] = []


class GroupInfo(_Model):
    """A consumer group."""

    group: str
    #: `empty` (offsets only), `stable`, or `rebalancing` (partitions are on their way to other members)
    state: str
    #: Counts its assignments.
    generation: int = 0
    #: The node that keeps it.
    coordinator: str = ""
    members: list[GroupMember] = []
    offsets: list[PartitionOffset] = []


class TransactionInfo(_Model):
    """A transaction."""

    #: Producer id, epoch and transactional id with dots between.
    transaction_id: str
    producer_id: int
    producer_epoch: int
    #: `ongoing`, `prepare_commit` or `prepare_abort`
    state: str
    #: Unix time in milliseconds.
    started_ms: int = 0
    #: Where it has written.
    partitions: list[TopicPartitions] = []
