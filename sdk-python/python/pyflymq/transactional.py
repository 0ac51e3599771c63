"""Transactional producers: messages and group offsets that count together, or not at all, over restarts of the producer."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from pyflymq import _core
from pyflymq._call import Call
from pyflymq._records import Headers, Key, outgoing, stored
from pyflymq.exceptions import FlyMQError, InvalidArgumentError
from pyflymq.models import ConsumedMessage, RecordMetadata

if TYPE_CHECKING:
    from pyflymq.async_client import AsyncConsumer, AsyncFlyMQClient
    from pyflymq.client import FlyMQClient
    from pyflymq.consumer import HighLevelConsumer

#: What a transform makes: `(topic, value)` or `(topic, value, key)`.
Made = Union[tuple[str, Any], tuple[str, Any, Key]]
Make = Callable[[ConsumedMessage], Iterable[Made]]
#: `(topic, partition, offset to go on from)`.
Offsets = list[tuple[str, int, int]]


def offsets_behind(messages: Iterable[ConsumedMessage]) -> Offsets:
    """What a group commits that has processed the messages."""
    behind: dict[tuple[str, int], int] = {}
    for message in messages:
        place = (message.topic, message.partition)
        behind[place] = max(behind.get(place, 0), message.offset + 1)
    return [(topic, partition, offset) for (topic, partition), offset in behind.items()]


def _places(messages: Iterable[ConsumedMessage]) -> list[tuple[str, int]]:
    return sorted({(message.topic, message.partition) for message in messages})


class _Transactional:
    """What both kinds ask of the core."""

    def __init__(self, client: Union[FlyMQClient, AsyncFlyMQClient], core: _core.TransactionalProducer) -> None:
        self._client = client
        self._core = core

    def _send(self, topic: str, value: Any, key: Key, headers: Headers, partition: Optional[int]) -> Call[RecordMetadata]:
        message = outgoing(self._client._calls.serde, topic, value, key, headers, partition)
        return Call(self._core.send_all(topic, [message]), lambda all_: stored(all_[0]))

    def _send_batch(self, topic: str, messages: Iterable[tuple[Key, Any]]) -> Call[list[RecordMetadata]]:
        serde = self._client._calls.serde
        batch = [outgoing(serde, topic, value, key) for key, value in messages]
        return Call(self._core.send_all(topic, batch), lambda all_: [stored(one) for one in all_])

    def _made(self, messages: Sequence[ConsumedMessage], make: Make) -> list[tuple[str, _core._Outgoing]]:
        made = []
        for message in messages:
            for topic, value, *key in make(message):
                if len(key) > 1:
                    raise InvalidArgumentError("a transform makes (topic, value) or (topic, value, key)")
                made.append((topic, outgoing(self._client._calls.serde, topic, value, key[0] if key else None)))
        return made


class TransactionalProducer(_Transactional):
    """Sends messages in transactions under a `transactional_id`, the producer's name over its restarts.

    Another producer with the same id fences this one, and aborts what it left open: its next call raises `ProducerFencedError`.

        with client.transactional_producer("mill-1") as producer:
            with producer.transaction():
                producer.send("flour", b"...")
    """

    def init(self) -> None:
        """Begins anew under its id: after `ProducerFencedError`, if this process is the one that may."""
        self._core.init().wait()

    def begin(self) -> None:
        """Begins a transaction; one that is open is aborted before."""
        self._core.begin().wait()

    def send(
        self, topic: str, value: Any, key: Key = None, *, headers: Headers = None, partition: Optional[int] = None
    ) -> RecordMetadata:
        """Stores a message, which is read once the transaction is committed."""
        return self._send(topic, value, key, headers, partition).wait()

    def send_batch(self, topic: str, messages: Iterable[tuple[Key, Any]]) -> list[RecordMetadata]:
        """Stores `(key, value)` pairs, one batch for each partition."""
        return self._send_batch(topic, messages).wait()

    def send_offsets(self, group: str, offsets: Sequence[tuple[str, int, int]]) -> None:
        """Commits offsets of a group with the transaction: `(topic, partition, next offset to read)`."""
        self._core.send_offsets(group, list(offsets)).wait()

    def send_polled(self, consumer: HighLevelConsumer, messages: Iterable[ConsumedMessage]) -> None:
        """Commits the offsets behind what a consumer has polled, as that member of its group, with the transaction."""
        self._core.send_polled(consumer._core, offsets_behind(messages)).wait()

    def commit(self) -> None:
        """Commits: all of it can be read when this returns. After an error of the way there it may be called again."""
        self._core.commit().wait()

    def abort(self) -> None:
        """Aborts: nobody reads what was sent."""
        self._core.abort().wait()

    @contextlib.contextmanager
    def transaction(
        self, consumer: Optional[HighLevelConsumer] = None, messages: Sequence[ConsumedMessage] = ()
    ) -> Iterator[TransactionalProducer]:
        """A transaction for `with`: commits at the end, aborts when an exception leaves the block.

        With a consumer, what it has polled counts as processed with the rest: at the end the offsets behind `messages` are
        committed as well; after an exception the next poll goes on from what the group has committed.
        """
        try:
            self.begin()
            yield self
            if consumer is not None:
                self.send_polled(consumer, messages)
            self.commit()
        except BaseException:
            if consumer is not None:
                consumer._core.rewind(_places(messages)).wait()
            # Its failure tells nothing that the exception does not; the timeout aborts it as well.
            with contextlib.suppress(FlyMQError):
                self.abort()
            raise

    def transform(self, consumer: HighLevelConsumer, messages: Sequence[ConsumedMessage], make: Make) -> None:
        """Exactly once: what `make` returns for each message is stored with the offsets behind them, in one transaction.

        The consumer is a member of a group, without auto-commit. After an exception nothing of it counts unless all of it
        does, and the next poll goes on from what the group has committed: just poll again (after `init`, where it is
        `ProducerFencedError`).
        """
        try:
            made = self._made(messages, make)
            self._core.transform(consumer._core, offsets_behind(messages), made).wait()
        except BaseException:
            consumer._core.rewind(_places(messages)).wait()
            raise

    def close(self) -> None:
        """Aborts what is open. Idempotent."""
        with contextlib.suppress(FlyMQError):
            self.abort()

    def __enter__(self) -> TransactionalProducer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncTransactionalProducer(_Transactional):
    """`TransactionalProducer` for asyncio."""

    async def init(self) -> None:
        """Begins anew under its id."""
        await self._core.init()

    async def begin(self) -> None:
        """Begins a transaction; one that is open is aborted before."""
        await self._core.begin()

    async def send(
        self, topic: str, value: Any, key: Key = None, *, headers: Headers = None, partition: Optional[int] = None
    ) -> RecordMetadata:
        """Stores a message, which is read once the transaction is committed."""
        return await self._send(topic, value, key, headers, partition)

    async def send_batch(self, topic: str, messages: Iterable[tuple[Key, Any]]) -> list[RecordMetadata]:
        """Stores `(key, value)` pairs, one batch for each partition."""
        return await self._send_batch(topic, messages)

    async def send_offsets(self, group: str, offsets: Sequence[tuple[str, int, int]]) -> None:
        """Commits offsets of a group with the transaction: `(topic, partition, next offset to read)`."""
        await self._core.send_offsets(group, list(offsets))

    async def send_polled(self, consumer: AsyncConsumer, messages: Iterable[ConsumedMessage]) -> None:
        """Commits the offsets behind what a consumer has polled, as that member of its group, with the transaction."""
        await self._core.send_polled(consumer._core, offsets_behind(messages))

    async def commit(self) -> None:
        """Commits: all of it can be read when this returns."""
        await self._core.commit()

    async def abort(self) -> None:
        """Aborts: nobody reads what was sent."""
        await self._core.abort()

    @contextlib.asynccontextmanager
    async def transaction(
        self, consumer: Optional[AsyncConsumer] = None, messages: Sequence[ConsumedMessage] = ()
    ) -> AsyncIterator[AsyncTransactionalProducer]:
        """A transaction for `async with`, as that of `TransactionalProducer`."""
        try:
            await self.begin()
            yield self
            if consumer is not None:
                await self.send_polled(consumer, messages)
            await self.commit()
        except BaseException:
            if consumer is not None:
                await consumer._core.rewind(_places(messages))
            with contextlib.suppress(FlyMQError):
                await self.abort()
            raise

    async def transform(self, consumer: AsyncConsumer, messages: Sequence[ConsumedMessage], make: Make) -> None:
        """Exactly once, as that of `TransactionalProducer`."""
        try:
            made = self._made(messages, make)
            await self._core.transform(consumer._core, offsets_behind(messages), made)
        except BaseException:
            await consumer._core.rewind(_places(messages))
            raise

    async def close(self) -> None:
        """Aborts what is open. Idempotent."""
        with contextlib.suppress(FlyMQError):
            await self.abort()

    async def __aenter__(self) -> AsyncTransactionalProducer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
