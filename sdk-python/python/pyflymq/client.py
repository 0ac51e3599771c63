"""The client."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any, Optional, SupportsIndex, Union

from pyflymq import _core
from pyflymq._calls import Calls
from pyflymq._rebalance import OnPlaces
from pyflymq._records import Headers, Key
from pyflymq._settings import MEMORY, client_config, open_core
from pyflymq.config import ClientConfig, ConsumerConfig, ProducerConfig
from pyflymq.consumer import HighLevelConsumer, consumer_config
from pyflymq.control import ControlMethods
from pyflymq.exceptions import ClosedError
from pyflymq.models import (
    ClusterMetadata,
    ConsumedMessage,
    DeadLetter,
    FetchResult,
    RecordMetadata,
    Schedule,
    TopicMetadata,
)
from pyflymq.producer import HighLevelProducer
from pyflymq.queue import QueueConsumer, core_queue
from pyflymq.serde import Serde, serde_by_name
from pyflymq.testing import Broker
from pyflymq.transaction import Transaction
from pyflymq.transactional import TransactionalProducer

Servers = Union[str, Sequence[str], None]


def connect(
    servers: Servers = None,
    *,
    username: Optional[str] = None,
    password: Optional[str] = None,
    encryption_key: Optional[str] = None,
    **settings: Any,
) -> FlyMQClient:
    """A connected client; `":memory:"` starts a broker in this process that lives as long as the client.

    `settings` are those of `ClientConfig`. Raises `ConnectionError` when no server answers.
    """
    return FlyMQClient(servers, username=username, password=password, encryption_key=encryption_key, **settings)


class FlyMQClient(ControlMethods):
    """A connection to FlyMQ. Threads may share it; the order of one thread's messages is kept per partition.

    Every method raises a subclass of `FlyMQError`, whose `hint` says what to do next.
    """

    def __init__(
        self,
        servers: Servers = None,
        *,
        config: Optional[ClientConfig] = None,
        username: Optional[str] = None,
        password: Optional[str] = None,
        encryption_key: Optional[str] = None,
        tls_enabled: Optional[bool] = None,
        tls_ca_file: Optional[str] = None,
        tls_cert_file: Optional[str] = None,
        tls_key_file: Optional[str] = None,
        tls_insecure_skip_verify: Optional[bool] = None,
        **settings: Any,
    ) -> None:
        settings.update(
            username=username,
            password=password,
            encryption_key=encryption_key,
            tls_enabled=tls_enabled,
            tls_ca_file=tls_ca_file,
            tls_cert_file=tls_cert_file,
            tls_key_file=tls_key_file,
            tls_insecure_skip_verify=tls_insecure_skip_verify,
        )
        self.config = client_config(servers, config, settings)
        self._closing = threading.Lock()
        self._closed = False
        self._broker: Optional[Broker] = None
        address: Optional[str] = None
        if self.config.servers() == MEMORY:
            self._broker = Broker()
            address = self._broker.address
        try:
            self._calls = Calls(open_core(self.config, address).wait())
        except BaseException:
            if self._broker is not None:
                self._broker.stop()
            raise

    @property
    def _core(self) -> _core.Client:
        return self._open().core

    def _open(self) -> Calls:
        if self._closed:
            raise ClosedError("the client is closed")
        return self._calls

    def close(self) -> None:
        """Drops the connections. Idempotent."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        self._calls.core.close()
        if self._broker is not None:
            self._broker.stop()

    def __enter__(self) -> FlyMQClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"FlyMQClient({self.config.servers()!r})"

    def serde(self, name: str, subject: Optional[str] = None) -> Serde:
        """The serde of a name; `"avro"` and `"protobuf"` write by `subject`, or by `<topic>-value`."""
        return serde_by_name(name, self._open().core, subject)

    def set_serde(self, serde: Union[str, Serde]) -> None:
        """How values become bytes and back: "binary" (default), "string", "json", "avro", "protobuf", or one of yours."""
        self._open().serde = self.serde(serde) if isinstance(serde, str) else serde

    def call(self, rpc: str, **request: Any) -> dict[str, Any]:
        """Any unary rpc of `flymq.v1` by name, e.g. `client.call("GetLag", group="billing", topic="orders")`."""
        return self._open().rpc(rpc, request, lambda reply: reply).wait()

    # Topics

    def create_topic(self, topic: str, partitions: int = 1, **options: Any) -> TopicMetadata:
        """Creates a topic; `options` are the proto's `TopicOptions`. Raises `TopicAlreadyExistsError`."""
        return self._open().create_topic(topic, partitions, options).wait()

    def delete_topic(self, topic: str) -> None:
        """Deletes a topic and its data. Raises `TopicNotFoundError`."""
        self._open().delete_topic(topic).wait()

    def list_topics(self) -> list[str]:
        """Names of all topics."""
        return self._open().list_topics().wait()

    def get_topic(self, topic: str) -> TopicMetadata:
        """Partitions and watermarks of a topic. Raises `TopicNotFoundError`."""
        return self._open().get_topic(topic).wait()

    def get_cluster_metadata(self) -> ClusterMetadata:
        """Nodes, and which of them leads which partition."""
        return self._open().get_cluster_metadata().wait()

    # Produce

    def produce(
        self,
        topic: str,
        value: Any,
        key: Key = None,
        *,
        headers: Headers = None,
        partition: Optional[int] = None,
        acks: str = "all",
    ) -> RecordMetadata:
        """Stores one message and says where; the result also acts as its offset.

        Messages with the same key go to the same partition, in order. A value of `None` is a tombstone.
        """
        return self._open().produce(topic, value, key, headers, partition, acks).wait()

    def produce_batch(
        self, topic: str, messages: Iterable[Any], *, partition: Optional[int] = None, acks: str = "all"
    ) -> list[RecordMetadata]:
        """Stores `(key, value)` pairs, or values alone, in their order."""
        return self._open().produce_batch(topic, messages, partition, acks).wait()

    def produce_delayed(self, topic: str, value: Any, delay_ms: int, *, key: Key = None) -> str:
        """Stores a message that becomes visible after `delay_ms`; gives the id under which it can be cancelled."""
        return self._open().produce_delayed(topic, value, key, delay_ms).wait()

    def produce_at(self, topic: str, value: Any, at_ms: int, *, key: Key = None) -> str:
        """Stores a message that becomes visible at a Unix time in milliseconds; gives its id."""
        return self._open().schedule(topic, value, key, {"at_ms": at_ms}).wait()

    def produce_recurring(self, topic: str, value: Any, cron: str, *, key: Key = None) -> str:
        """Stores a message that is delivered again and again: `minute hour day month weekday`, in UTC; gives its id."""
        return self._open().schedule(topic, value, key, {"cron": cron}).wait()

    def list_schedules(self, topic: str, *, max_messages: int = 100) -> list[Schedule]:
        """Messages that wait, by due time."""
        return self._open().list_schedules(topic, max_messages).wait()

    def cancel_schedule(self, topic: str, schedule_id: str) -> None:
        """Has a message never delivered (again)."""
        self._open().cancel_schedule(topic, schedule_id).wait()

    def deliver_schedule_now(self, topic: str, schedule_id: str) -> RecordMetadata:
        """Delivers a message now; a recurring one stays as it is."""
        return self._open().deliver_schedule_now(topic, schedule_id).wait()

    def produce_with_ttl(self, topic: str, value: Any, ttl_ms: int, *, key: Key = None) -> RecordMetadata:
        """Stores a message that no read returns after `ttl_ms`."""
        return self._open().produce_with(topic, value, key, {"ttl_ms": ttl_ms}).wait()

    def produce_with_schema(self, topic: str, value: Any, schema_name: str, *, key: Key = None) -> RecordMetadata:
        """Stores a message if it matches the schema. Raises `SchemaError`."""
        return self._open().produce_with(topic, value, key, {"schema": schema_name}).wait()

    # Consume

    def consume(self, topic: str, offset: SupportsIndex, partition: Optional[int] = None) -> ConsumedMessage:
        """The message at an offset, of partition 0 unless said otherwise; `offset` may be what `produce` gave.

        Raises `EndOfPartitionError` when there is none yet, `OffsetOutOfRangeError`, `TopicNotFoundError`.
        """
        return self._open().consume(topic, offset, partition).wait()

    def fetch(
        self,
        topic: str,
        partition: int = 0,
        offset: SupportsIndex = 0,
        max_messages: int = 100,
        *,
        max_wait_ms: int = 0,
        filter: Optional[str] = None,
    ) -> FetchResult:
        """Messages from an offset on; waits up to `max_wait_ms` for the first.

        With a filter only those that match: text, a regular expression, `$.path`, or `cel:` and an expression. Go on from
        `next_offset`, also where none matched.
        """
        return self._open().fetch(topic, partition, offset, max_messages, max_wait_ms, filter).wait()

    # Producers and consumers

    def producer(
        self,
        batch_size: int = 100,
        linger_ms: int = 10,
        max_retries: int = 3,
        retry_backoff_ms: int = 100,
        acks: str = "all",
        *,
        compression_type: str = "none",
        compression_level: Optional[int] = None,
        enable_idempotence: bool = True,
    ) -> HighLevelProducer:
        """A batching producer. `batch_size` counts messages (that of `ProducerConfig` counts bytes).

        `compression_type`: none, gzip, lz4, zstd or snappy. What is sent again because an answer was lost is stored once,
        unless `enable_idempotence` is switched off.
        """
        config = ProducerConfig.model_validate(
            {
                "batch_size": 1 << 20,
                "max_batch_messages": batch_size,
                "linger_ms": linger_ms,
                "retries": max_retries,
                "retry_backoff_ms": retry_backoff_ms,
                "acks": acks,
                "compression_type": compression_type,
                "compression_level": compression_level,
                "enable_idempotence": enable_idempotence,
            }
        )
        return HighLevelProducer(self, config)

    def consumer(
        self,
        topics: Union[str, Sequence[str]],
        group_id: Optional[str] = None,
        *,
        auto_commit: Optional[bool] = None,
        auto_commit_interval_ms: Optional[int] = None,
        filter: Optional[str] = None,
        auto_offset_reset: Optional[str] = None,
        max_poll_records: Optional[int] = None,
        enable_auto_commit: Optional[bool] = None,
        config: Optional[ConsumerConfig] = None,
        on_assign: OnPlaces = None,
        on_revoke: OnPlaces = None,
        on_lost: OnPlaces = None,
        **settings: Any,
    ) -> HighLevelConsumer:
        """A consumer of one or more topics; with a group it goes on where the group is, and shares its partitions.

        More `settings` are those of `ConsumerConfig`; the callbacks those of `HighLevelConsumer`.
        """
        checked = consumer_config(
            config,
            group_id=group_id,
            enable_auto_commit=enable_auto_commit if auto_commit is None else auto_commit,
            auto_commit_interval_ms=auto_commit_interval_ms,
            auto_offset_reset=auto_offset_reset,
            max_poll_records=max_poll_records,
            **settings,
        )
        callbacks = {"on_assign": on_assign, "on_revoke": on_revoke, "on_lost": on_lost}
        return HighLevelConsumer(self, topics, checked, filter=filter, **callbacks)

    def queue(
        self,
        topic: str,
        group_id: str,
        *,
        lock_ms: int = 30_000,
        hold_ms: int = 600_000,
        ordered: bool = False,
        auto_offset_reset: str = "earliest",
        max_retries: Optional[int] = None,
        retry_delay_ms: Optional[int] = None,
    ) -> QueueConsumer:
        """A reader in queue mode: messages are handed out and answered for one by one, to any number of readers.

        `ordered`: those of one key one at a time, in order. What fails is redelivered as `max_retries` and `retry_delay_ms`
        say (unless given: the broker's settings).
        """
        core = core_queue(
            self._core,
            topic,
            group_id,
            lock_ms=lock_ms,
            hold_ms=hold_ms,
            ordered=ordered,
            auto_offset_reset=auto_offset_reset,
            max_retries=max_retries,
            retry_delay_ms=retry_delay_ms,
        )
        return QueueConsumer(self, core)

    # Transactions, dead letters, schemas

    def transactional_producer(
        self, transactional_id: str, *, transaction_timeout_ms: Optional[int] = None
    ) -> TransactionalProducer:
        """A producer whose messages all belong to transactions; it fences an earlier one of the same id.

        A transaction that is open for longer than `transaction_timeout_ms` (the server's 60 s unless set) is aborted.
        """
        core = self._core.transactional_producer(transactional_id, transaction_timeout_ms).wait()
        return TransactionalProducer(self, core)

    def begin_transaction(self) -> Transaction:
        """A transaction: `produce` in it, then `commit` or `rollback`."""
        return Transaction(self._open(), self._open().begin_transaction().wait())

    def transaction(self) -> Transaction:
        """For `with`: commits at the end, rolls back when an exception leaves the block."""
        return self.begin_transaction()

    def fetch_dlq(self, topic: str, max_messages: int = 10) -> list[DeadLetter]:
        """Messages of a topic that could not be processed."""
        return self._open().fetch_dlq(topic, max_messages).wait()
