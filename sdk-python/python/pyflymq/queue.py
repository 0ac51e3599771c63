"""Queue mode: each message of a topic is held by one reader, which answers for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Callable, NamedTuple, Optional, Union

from pyflymq import _core
from pyflymq._records import consumed, count_of
from pyflymq.consumer import ITERATION_WAIT_MS, failure_reason, tell_failure
from pyflymq.exceptions import ClosedError, InvalidArgumentError, RecordNotHeldError
from pyflymq.models import ConsumedMessage
from pyflymq.serde import Serde

if TYPE_CHECKING:
    from pyflymq.async_client import AsyncFlyMQClient
    from pyflymq.client import FlyMQClient

Messages = Union[ConsumedMessage, list[ConsumedMessage]]


class Failure(NamedTuple):
    """What became of a message that failed."""

    #: So often it has failed.
    attempts: int
    #: It was moved to the dead letters.
    dead_lettered: bool
    #: Until it comes again, where it does.
    retry_after_ms: int


def _positions(messages: Messages) -> list[tuple[int, int]]:
    several = [messages] if isinstance(messages, ConsumedMessage) else messages
    return [(message.partition, message.offset) for message in several]


def _held(found: list[tuple[_core._Received, int]], serde: Serde) -> list[ConsumedMessage]:
    return [consumed(one, serde).model_copy(update={"delivery_count": count}) for one, count in found]


class QueueConsumer:
    """Reads a topic record by record: any number of readers, each message held by one of them until it answers.

        with client.queue("mails", "sender") as queue:
            for message in queue:
                ...
                queue.accept(message)

    Locks are extended in the background while a message is worked on, for up to `hold_ms`. A reader that dies gives its
    messages back within `lock_ms`. `message.delivery_count` says how often it was handed out.
    """

    def __init__(self, client: FlyMQClient, core: _core.Queue) -> None:
        self._client = client
        self._core = core
        self._closed = False

    def poll(self, timeout_ms: int = 1_000, max_records: int = 0) -> list[ConsumedMessage]:
        """Up to `max_records` messages (0: 100), waiting up to `timeout_ms` for the first; redeliveries first."""
        if self._closed:
            raise ClosedError("the queue consumer is closed")
        limit = count_of("max_records", max_records)
        return _held(self._core.acquire(count_of("timeout_ms", timeout_ms), limit).wait(), self._client._calls.serde)

    def __iter__(self) -> Iterator[ConsumedMessage]:
        return self

    def __next__(self) -> ConsumedMessage:
        """The next message; waits until there is one, ends when the queue consumer is closed."""
        while not self._closed:
            try:
                messages = self.poll(ITERATION_WAIT_MS, 1)
            except ClosedError:
                break
            if messages:
                return messages[0]
        raise StopIteration

    def accept(self, messages: Messages) -> None:
        """They are processed. Raises `RecordNotHeldError` where a lock has ended: then another reader gets the message."""
        self._core.accept(_positions(messages)).wait()

    def nack(self, message: ConsumedMessage, reason: str = "") -> Failure:
        """It could not be processed: it comes again later, and goes to the dead letters in the end."""
        return Failure(*self._core.nack((message.partition, message.offset), reason).wait())

    def reject(self, messages: Messages, reason: str = "") -> None:
        """Nobody can process them: they go to the dead letters at once."""
        self._core.reject(_positions(messages), reason).wait()

    def release(self, messages: Messages) -> None:
        """Gives them back as they were: another reader gets them at once."""
        self._core.release(_positions(messages)).wait()

    def extend(self, messages: Messages) -> None:
        """Holds them for another `lock_ms` from now, beside what is done in the background."""
        self._core.extend(_positions(messages)).wait()

    def run(self, handler: Callable[[ConsumedMessage], object]) -> None:
        """Calls `handler` with each message until the queue consumer is closed: accepts it, or where it raises, nacks it."""
        for message in self:
            try:
                self._handle(message, handler)
            except RecordNotHeldError:
                # It took too long, and is another one's.
                continue

    def _handle(self, message: ConsumedMessage, handler: Callable[[ConsumedMessage], object]) -> None:
        try:
            handler(message)
        except Exception as error:
            tell_failure(self.nack(message, failure_reason(error)), error)
        else:
            self.accept(message)

    def close(self) -> None:
        """Gives back what is held. Idempotent."""
        self._closed = True
        self._core.close().wait()

    def __enter__(self) -> QueueConsumer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncQueueConsumer:
    """`QueueConsumer` for asyncio."""

    def __init__(self, client: AsyncFlyMQClient, core: _core.Queue) -> None:
        self._client = client
        self._core = core
        self._closed = False

    async def poll(self, timeout_ms: int = 1_000, max_records: int = 0) -> list[ConsumedMessage]:
        """Up to `max_records` messages (0: 100), waiting up to `timeout_ms` for the first; redeliveries first."""
        if self._closed:
            raise ClosedError("the queue consumer is closed")
        limit = count_of("max_records", max_records)
        return _held(await self._core.acquire(count_of("timeout_ms", timeout_ms), limit), self._client._calls.serde)

    def __aiter__(self) -> AsyncIterator[ConsumedMessage]:
        return self

    async def __anext__(self) -> ConsumedMessage:
        """The next message; waits until there is one, ends when the queue consumer is closed."""
        while not self._closed:
            try:
                messages = await self.poll(ITERATION_WAIT_MS, 1)
            except ClosedError:
                break
            if messages:
                return messages[0]
        raise StopAsyncIteration

    async def accept(self, messages: Messages) -> None:
        """They are processed."""
        await self._core.accept(_positions(messages))

    async def nack(self, message: ConsumedMessage, reason: str = "") -> Failure:
        """It could not be processed: it comes again later, and goes to the dead letters in the end."""
        return Failure(*await self._core.nack((message.partition, message.offset), reason))

    async def reject(self, messages: Messages, reason: str = "") -> None:
        """Nobody can process them: they go to the dead letters at once."""
        await self._core.reject(_positions(messages), reason)

    async def release(self, messages: Messages) -> None:
        """Gives them back as they were: another reader gets them at once."""
        await self._core.release(_positions(messages))

    async def extend(self, messages: Messages) -> None:
        """Holds them for another `lock_ms` from now, beside what is done in the background."""
        await self._core.extend(_positions(messages))

    async def close(self) -> None:
        """Gives back what is held. Idempotent."""
        self._closed = True
        await self._core.close()

    async def __aenter__(self) -> AsyncQueueConsumer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def core_queue(
    client: _core.Client,
    topic: str,
    group: str,
    *,
    lock_ms: int,
    hold_ms: int,
    ordered: bool,
    auto_offset_reset: str,
    max_retries: Optional[int],
    retry_delay_ms: Optional[int],
) -> _core.Queue:
    """The core's reader for these settings."""
    if auto_offset_reset not in ("earliest", "latest"):
        raise InvalidArgumentError(f"auto_offset_reset is earliest or latest, not {auto_offset_reset!r}")
    return client.queue(
        topic,
        group,
        lock_ms=count_of("lock_ms", lock_ms),
        hold_ms=count_of("hold_ms", hold_ms),
        ordered=ordered,
        latest=auto_offset_reset == "latest",
        max_retries=max_retries,
        retry_delay_ms=retry_delay_ms,
    )
