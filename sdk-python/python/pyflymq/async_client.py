"""The client for asyncio, over the same core: no thread waits while a call is on its way."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Optional, SupportsIndex, Union

from pyflymq import _core
from pyflymq._calls import Calls
from pyflymq._rebalance import OnPlaces, Rebalances
from pyflymq._records import Headers, Key, consumed, count_of, offset_of, outgoing, partition_of
from pyflymq._settings import MEMORY, client_config, open_core
from pyflymq.client import FlyMQClient
from pyflymq.config import ClientConfig, ConsumerConfig, ProducerConfig
from pyflymq.consumer import ITERATION_WAIT_MS, Topics, consumer_config, core_consumer
from pyflymq.control import AsyncControlMethods
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
from pyflymq.producer import ProduceFuture, core_producer
from pyflymq.queue import AsyncQueueConsumer, core_queue
from pyflymq.serde import Serde, serde_by_name
from pyflymq.transaction import AsyncTransaction
from pyflymq.transactional import AsyncTransactionalProducer


class AsyncFlyMQClient(AsyncControlMethods):
    """`FlyMQClient` with every method as a coroutine: `async with AsyncFlyMQClient() as client`."""

    def __init__(
        self,
        servers: Union[str, Sequence[str], None] = None,
        *,
        config: Optional[ClientConfig] = None,
        **settings: Any,
    ) -> None:
        self.config = client_config(servers, config, settings)
        self._connected: Optional[Calls] = None
        self._closed = False
        self._broker: Optional[_core.Broker] = None
        self._memory: Any = None

    async def connect(self) -> AsyncFlyMQClient:
        """Connects; `async with` does it. Raises `ConnectionError` when no server answers."""
        if self._connected is None:
            address = await self._own_broker() if self.config.servers() == MEMORY else None
            self._connected = Calls(await open_core(self.config, address))
        return self

    async def _own_broker(self) -> str:
        import tempfile

        self._memory = tempfile.TemporaryDirectory(prefix="pyflymq-")
        self._broker = await _core.Broker.start(self._memory.name)
        return self._broker.address

    async def close(self) -> None:
        """Drops the connections. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._connected is not None:
            self._connected.core.close()
        if self._broker is not None:
            await self._broker.stop()
            self._memory.cleanup()

    async def __aenter__(self) -> AsyncFlyMQClient:
        return await self.connect()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def _calls(self) -> Calls:
        if self._closed:
            raise ClosedError("the client is closed")
        if self._connected is None:
            raise ClosedError("the client is not connected", hint="Use `async with AsyncFlyMQClient() as client`.")
        return self._connected

    @property
    def _core(self) -> _core.Client:
        return self._calls.core

    def serde(self, name: str, subject: Optional[str] = None) -> Serde:
        """The serde of a name; `"avro"` and `"protobuf"` write by `subject`, or by `<topic>-value`."""
        return serde_by_name(name, self._calls.core, subject)

    def set_serde(self, serde: Union[str, Serde]) -> None:
        """How values become bytes and back: "binary" (default), "string", "json", "avro", "protobuf", or one of yours."""
        self._calls.serde = self.serde(serde) if isinstance(serde, str) else serde

    async def call(self, rpc: str, **request: Any) -> dict[str, Any]:
        """Any unary rpc of `flymq.v1` by name."""
        return await self._calls.rpc(rpc, request, lambda reply: reply)

    async def create_topic(self, topic: str, partitions: int = 1, **options: Any) -> TopicMetadata:
        """Creates a topic; `options` are the proto's `TopicOptions`."""
        return await self._calls.create_topic(topic, partitions, options)

    async def delete_topic(self, topic: str) -> None:
        """Deletes a topic and its data."""
        await self._calls.delete_topic(topic)

    async def list_topics(self) -> list[str]:
        """Names of all topics."""
        return await self._calls.list_topics()

    async def get_topic(self, topic: str) -> TopicMetadata:
        """Partitions and watermarks of a topic."""
        return await self._calls.get_topic(topic)

    async def get_cluster_metadata(self) -> ClusterMetadata:
        """Nodes, and which of them leads which partition."""
        return await self._calls.get_cluster_metadata()

    async def produce(
        self,
        topic: str,
        value: Any,
        key: Key = None,
        *,
        headers: Headers = None,
        partition: Optional[int] = None,
        acks: str = "all",
    ) -> RecordMetadata:
        """Stores one message and says where."""
        return await self._calls.produce(topic, value, key, headers, partition, acks)

    async def produce_batch(
        self, topic: str, messages: Iterable[Any], *, partition: Optional[int] = None, acks: str = "all"
    ) -> list[RecordMetadata]:
        """Stores `(key, value)` pairs, or values alone, in their order."""
        return await self._calls.produce_batch(topic, messages, partition, acks)

    async def produce_delayed(self, topic: str, value: Any, delay_ms: int, *, key: Key = None) -> str:
        """Stores a message that becomes visible after `delay_ms`."""
        return await self._calls.produce_delayed(topic, value, key, delay_ms)

    async def produce_at(self, topic: str, value: Any, at_ms: int, *, key: Key = None) -> str:
        """Stores a message that becomes visible at a Unix time in milliseconds; gives its id."""
        return await self._calls.schedule(topic, value, key, {"at_ms": at_ms})

    async def produce_recurring(self, topic: str, value: Any, cron: str, *, key: Key = None) -> str:
        """Stores a message that is delivered again and again: `minute hour day month weekday`, in UTC; gives its id."""
        return await self._calls.schedule(topic, value, key, {"cron": cron})

    async def list_schedules(self, topic: str, *, max_messages: int = 100) -> list[Schedule]:
        """Messages that wait, by due time."""
        return await self._calls.list_schedules(topic, max_messages)

    async def cancel_schedule(self, topic: str, schedule_id: str) -> None:
        """Has a message never delivered (again)."""
        await self._calls.cancel_schedule(topic, schedule_id)

    async def deliver_schedule_now(self, topic: str, schedule_id: str) -> RecordMetadata:
        """Delivers a message now; a recurring one stays as it is."""
        return await self._calls.deliver_schedule_now(topic, schedule_id)

    async def produce_with_ttl(self, topic: str, value: Any, ttl_ms: int, *, key: Key = None) -> RecordMetadata:
        """Stores a message that no read returns after `ttl_ms`."""
        return await self._calls.produce_with(topic, value, key, {"ttl_ms": ttl_ms})

    async def produce_with_schema(self, topic: str, value: Any, schema_name: str, *, key: Key = None) -> RecordMetadata:
        """Stores a message if it matches the schema."""
        return await self._calls.produce_with(topic, value, key, {"schema": schema_name})

    async def consume(self, topic: str, offset: SupportsIndex, partition: Optional[int] = None) -> ConsumedMessage:
        """The message at an offset; `offset` may be what `produce` gave."""
        return await self._calls.consume(topic, offset, partition)

    async def fetch(
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
        return await self._calls.fetch(topic, partition, offset, max_messages, max_wait_ms, filter)

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
    ) -> AsyncProducer:
        """A batching producer. `batch_size` counts messages; `compression_type`: none, gzip, lz4, zstd or snappy."""
        settings = {"linger_ms": linger_ms, "retry_backoff_ms": retry_backoff_ms, "acks": acks}
        limits = {"batch_size": 1 << 20, "max_batch_messages": batch_size, "retries": max_retries}
        packing = {"compression_type": compression_type, "compression_level": compression_level}
        packing["enable_idempotence"] = enable_idempotence
        return AsyncProducer(self, ProducerConfig.model_validate({**settings, **limits, **packing}))

    def consumer(
        self,
        topics: Topics,
        group_id: Optional[str] = None,
        *,
        filter: Optional[str] = None,
        auto_commit: Optional[bool] = None,
        config: Optional[ConsumerConfig] = None,
        on_assign: OnPlaces = None,
        on_revoke: OnPlaces = None,
        on_lost: OnPlaces = None,
        **settings: Any,
    ) -> AsyncConsumer:
        """A consumer of one or more topics; `settings` are those of `ConsumerConfig`."""
        if auto_commit is not None:
            settings["enable_auto_commit"] = auto_commit
        checked = consumer_config(config, group_id=group_id, **settings)
        callbacks = {"on_assign": on_assign, "on_revoke": on_revoke, "on_lost": on_lost}
        return AsyncConsumer(self, topics, checked, filter=filter, **callbacks)

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
    ) -> AsyncQueueConsumer:
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
        return AsyncQueueConsumer(self, core)

    async def transactional_producer(
        self, transactional_id: str, *, transaction_timeout_ms: Optional[int] = None
    ) -> AsyncTransactionalProducer:
        """A producer whose messages all belong to transactions; it fences an earlier one of the same id."""
        core = await self._core.transactional_producer(transactional_id, transaction_timeout_ms)
        return AsyncTransactionalProducer(self, core)

    async def begin_transaction(self) -> AsyncTransaction:
        """A transaction: `produce` in it, then `commit` or `rollback`; or use it with `async with`."""
        return AsyncTransaction(self._calls, await self._calls.begin_transaction())

    async def transaction(self) -> AsyncTransaction:
        """For `async with await client.transaction() as txn`."""
        return await self.begin_transaction()

    async def fetch_dlq(self, topic: str, max_messages: int = 10) -> list[DeadLetter]:
        """Messages of a topic that could not be processed."""
        return await self._calls.fetch_dlq(topic, max_messages)


class AsyncProducer:
    """`HighLevelProducer` for asyncio: `future = await producer.send(...)`, later `await future`."""

    def __init__(self, client: AsyncFlyMQClient, config: Optional[ProducerConfig] = None) -> None:
        self.config = config or ProducerConfig()
        self._client = client
        self._core = core_producer(client._core, self.config)

    async def send(
        self,
        topic: str,
        value: Any,
        key: Key = None,
        *,
        headers: Headers = None,
        partition: Optional[int] = None,
    ) -> ProduceFuture:
        """Queues a message; waits only while too many bytes are on their way."""
        message = outgoing(self._client._calls.serde, topic, value, key, headers, partition)
        return ProduceFuture(await self._core.send_operation(topic, message))

    async def flush(self) -> None:
        """Returns when all that was sent is acknowledged."""
        await self._core.flush()

    async def close(self) -> None:
        """Flushes, then refuses further messages."""
        await self._core.close()

    async def __aenter__(self) -> AsyncProducer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncConsumer:
    """`HighLevelConsumer` for asyncio: `async for message in consumer`, or `await consumer.poll()`."""

    def __init__(
        self,
        client: Union[AsyncFlyMQClient, FlyMQClient],
        topics: Topics,
        config: Optional[ConsumerConfig] = None,
        *,
        filter: Optional[str] = None,
        on_assign: OnPlaces = None,
        on_revoke: OnPlaces = None,
        on_lost: OnPlaces = None,
    ) -> None:
        self.config = config or ConsumerConfig()
        self._client = client
        self._core = core_consumer(client._core, topics, self.config, filter)
        self._rebalances = Rebalances(on_assign, on_revoke, on_lost)
        self._closed = False

    async def poll(self, timeout_ms: int = 1_000, max_records: Optional[int] = None) -> list[ConsumedMessage]:
        """Up to `max_records` messages, waiting up to `timeout_ms` for the first."""
        if self._closed:
            raise ClosedError("the consumer is closed")
        limit = 0 if max_records is None else count_of("max_records", max_records)
        received = await self._poll_core(count_of("timeout_ms", timeout_ms), limit)
        serde = self._client._calls.serde
        return [consumed(one, serde) for one in received]

    async def _poll_core(self, timeout_ms: int, limit: int) -> list[_core._Received]:
        if not self._rebalances.wanted:
            return await self._core.poll(timeout_ms, limit)
        deadline = time.monotonic() + timeout_ms / 1_000
        while True:
            left = max(0, round((deadline - time.monotonic()) * 1_000))
            received, change = await self._core.poll_step(left, limit)
            if change is None:
                return received
            await self._rebalances.tell_async(*change)

    def __aiter__(self) -> AsyncIterator[ConsumedMessage]:
        return self

    async def __anext__(self) -> ConsumedMessage:
        """The next message; waits until there is one, ends when the consumer is closed."""
        while not self._closed:
            try:
                # One at a time, so that a commit covers what the loop has seen; the core fetches ahead.
                messages = await self.poll(ITERATION_WAIT_MS, 1)
            except ClosedError:
                if self._closed:
                    break
                raise
            if messages:
                return messages[0]
        raise StopAsyncIteration

    async def commit(self) -> None:
        """Commits what was handed out so far."""
        await self._core.commit()

    async def seek(self, partition: int, offset: SupportsIndex, *, topic: Optional[str] = None) -> None:
        """The next poll reads the partition from `offset`."""
        await self._core.seek(partition_of(partition) or 0, offset_of(offset), topic)

    async def seek_to_beginning(self) -> None:
        """The next poll reads all partitions from their first message."""
        await self._core.seek_to_beginning()

    async def seek_to_end(self) -> None:
        """The next poll reads only what comes from now on."""
        await self._core.seek_to_end()

    async def position(self, partition: int = 0) -> int:
        """The next offset that is handed out of a partition."""
        return await self._core.position(partition_of(partition) or 0)

    async def assignment(self) -> list[tuple[str, int]]:
        """Topics and partitions that it reads; empty before the first poll."""
        return [(topic, partition) for topic, partition, _ in await self._core.assignment()]

    async def close(self) -> None:
        """Commits (with auto-commit) and stops. Idempotent."""
        closed, self._closed = self._closed, True
        self._core.interrupt()
        try:
            if self._rebalances.wanted and not closed:
                await self._rebalances.tell_async("revoked", await self.assignment())
        finally:
            await self._core.close()

    async def __aenter__(self) -> AsyncConsumer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
