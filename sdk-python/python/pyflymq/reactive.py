"""Streams of messages for reactivex and asyncio."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterable
from typing import Any, Callable, Optional, Union

from reactivex import Observable
from reactivex import operators as ops
from reactivex.abc import DisposableBase
from reactivex.disposable import Disposable
from reactivex.subject import Subject

from pyflymq import _background
from pyflymq.async_client import AsyncConsumer, AsyncFlyMQClient
from pyflymq.client import FlyMQClient
from pyflymq.consumer import HighLevelConsumer, consumer_config
from pyflymq.models import ConsumedMessage, RecordMetadata

OnNext = Callable[[ConsumedMessage], None]
OnError = Callable[[Exception], None]
OnCompleted = Callable[[], None]


class ReactiveConsumer:
    """A topic as an `Observable`. All subscribers see each message once, in a thread of the consumer."""

    def __init__(self, client: FlyMQClient, topic: str, group: Optional[str] = None, **settings: Any) -> None:
        self._client = client
        self._topic = topic
        self._config = consumer_config(None, group_id=group, **settings)
        self._subject: Subject[ConsumedMessage] = Subject()
        self._lock = threading.Lock()
        self._consumer: Optional[HighLevelConsumer] = None
        self._thread: Optional[threading.Thread] = None

    def messages(self) -> Observable[ConsumedMessage]:
        """The messages; nothing is read before `start()`."""
        return self._subject.pipe(ops.as_observable())

    def subscribe(
        self,
        on_next: Optional[OnNext] = None,
        on_error: Optional[OnError] = None,
        on_completed: Optional[OnCompleted] = None,
    ) -> DisposableBase:
        """Calls back with each message, and starts. Disposing of the result stops reading."""
        subscription = self._subject.subscribe(on_next, on_error, on_completed)
        self.start()

        def dispose() -> None:
            subscription.dispose()
            self.stop()

        return Disposable(dispose)

    def start(self) -> None:
        """Begins to read. Nothing to do when it reads."""
        with self._lock:
            if self._thread is not None:
                return
            consumer = self._consumer = HighLevelConsumer(self._client, self._topic, self._config)
            self._thread = _background.start("pyflymq-reactive", lambda: self._run(consumer), consumer._interrupt)

    def stop(self) -> None:
        """Stops reading and completes the stream. Idempotent."""
        with self._lock:
            consumer, thread = self._consumer, self._thread
            self._consumer = self._thread = None
        if consumer is None or thread is None:
            return
        consumer._interrupt()
        if threading.current_thread() is not thread:
            thread.join()

    def __enter__(self) -> ReactiveConsumer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self, consumer: HighLevelConsumer) -> None:
        try:
            with consumer:
                for message in consumer:
                    self._subject.on_next(message)
        except Exception as error:
            self._subject.on_error(error)
        else:
            self._subject.on_completed()


class ReactiveProducer:
    """Stores the items of an `Observable`, or of a list, in a topic."""

    def __init__(self, client: FlyMQClient, topic: str) -> None:
        self._client = client
        self._topic = topic

    def publish(self) -> Callable[[Observable[Any]], Observable[RecordMetadata]]:
        """An operator: `source.pipe(producer.publish())` stores each item and emits where it is."""
        return ops.map(lambda value: self._client.produce(self._topic, value))

    def send_many(self, values: Iterable[Any]) -> list[RecordMetadata]:
        """Stores all values in their order; returns when they are stored."""
        return self._client.produce_batch(self._topic, [(None, value) for value in values])


class AsyncReactiveConsumer:
    """A topic for `async for`: `async with AsyncReactiveConsumer(client, topic, group) as messages`.

    What the client core fetches ahead is bounded, so a slow loop holds back the broker, not memory.
    """

    def __init__(
        self,
        client: Union[AsyncFlyMQClient, FlyMQClient],
        topic: str,
        group: Optional[str] = None,
        **settings: Any,
    ) -> None:
        self._client = client
        self._topic = topic
        self._config = consumer_config(None, group_id=group, **settings)
        self._consumer: Optional[AsyncConsumer] = None

    async def __aenter__(self) -> AsyncReactiveConsumer:
        self._consumer = AsyncConsumer(self._client, self._topic, self._config)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._consumer is not None:
            await self._consumer.close()

    def __aiter__(self) -> AsyncIterator[ConsumedMessage]:
        return self

    async def __anext__(self) -> ConsumedMessage:
        if self._consumer is None:
            self._consumer = AsyncConsumer(self._client, self._topic, self._config)
        return await self._consumer.__anext__()

    async def commit(self) -> None:
        """Commits what was handed out so far."""
        if self._consumer is not None:
            await self._consumer.commit()
