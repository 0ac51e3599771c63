"""Batching producers."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Callable, Optional

from pyflymq import _background, _core
from pyflymq._call import Call
from pyflymq._records import Headers, Key, outgoing, stored
from pyflymq.config import ProducerConfig
from pyflymq.exceptions import ClosedError, FlyMQError, TimeoutError
from pyflymq.models import RecordMetadata

if TYPE_CHECKING:
    from pyflymq.client import FlyMQClient

OnSuccess = Optional[Callable[[RecordMetadata], object]]
OnError = Optional[Callable[[FlyMQError], object]]

_log = logging.getLogger("pyflymq")


class ProduceFuture:
    """The promise of a message's metadata: `get()` it, or `await` it under asyncio."""

    def __init__(self, delivery: _core.Delivery) -> None:
        self._delivery = delivery

    def done(self) -> bool:
        """Whether the answer is there."""
        return self._delivery.done()

    def get(self, timeout_ms: int = 30_000) -> RecordMetadata:
        """Waits for the answer. Raises `TimeoutError` when it is late, or what the send failed with."""
        try:
            return stored(self._delivery.result().wait(timeout_ms))
        except TimeoutError as error:
            if self._delivery.done():
                raise
            raise TimeoutError(
                f"no answer within {timeout_ms} ms; the message is still on its way",
                hint="Call flush() first, or wait longer.",
            ) from error

    def __await__(self) -> Generator[Any, None, RecordMetadata]:
        return Call(self._delivery.result(), stored).__await__()


class _Callbacks:
    """Runs callbacks in the order of the sends, in a thread of its own: they may take their time and call the client."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Optional[tuple[ProduceFuture, OnSuccess, OnError]]] = queue.Queue()
        self._ending = False
        self._thread = _background.start("pyflymq-callbacks", self._run, self._interrupt)

    def add(self, future: ProduceFuture, on_success: OnSuccess, on_error: OnError) -> None:
        self._waiting.put((future, on_success, on_error))

    def join(self) -> None:
        """Returns when all callbacks added before have run; at once inside a callback."""
        if threading.current_thread() is not self._thread and self._thread.is_alive():
            self._waiting.join()

    def stop(self) -> None:
        self._waiting.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _interrupt(self) -> None:
        self._ending = True
        self._waiting.put(None)

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            try:
                if not self._ending:
                    _call_back(*item)
            except Exception:
                _log.exception("a produce callback failed")
            finally:
                self._waiting.task_done()
        self._waiting.task_done()


def _call_back(future: ProduceFuture, on_success: OnSuccess, on_error: OnError) -> None:
    try:
        # The core bounds the wait by its delivery timeout.
        metadata = stored(future._delivery.result().wait())
    except FlyMQError as error:
        if on_error is not None:
            on_error(error)
        return
    if on_success is not None:
        on_success(metadata)


class HighLevelProducer:
    """Sends messages in batches: `send` returns at once with a promise. As a context manager it flushes at the end."""

    def __init__(self, client: FlyMQClient, config: Optional[ProducerConfig] = None) -> None:
        self.config = config or ProducerConfig()
        self._client = client
        self._core = core_producer(client._core, self.config)
        self._callbacks: Optional[_Callbacks] = None
        self._lock = threading.Lock()
        self._closed = False

    def send(
        self,
        topic: str,
        value: Any,
        key: Key = None,
        *,
        headers: Headers = None,
        partition: Optional[int] = None,
        on_success: OnSuccess = None,
        on_error: OnError = None,
    ) -> ProduceFuture:
        """Queues a message; waits only while too many bytes are on their way. Callbacks run in a thread of the producer."""
        if self._closed:
            raise ClosedError("the producer is closed")
        message = outgoing(self._client._calls.serde, topic, value, key, headers, partition)
        future = ProduceFuture(self._core.send(topic, message))
        if on_success is not None or on_error is not None:
            self._with_callbacks().add(future, on_success, on_error)
        return future

    def _with_callbacks(self) -> _Callbacks:
        with self._lock:
            if self._callbacks is None:
                self._callbacks = _Callbacks()
            return self._callbacks

    def flush(self) -> None:
        """Returns when all that was sent is acknowledged and its callbacks have run. Raises the first failure."""
        try:
            self._core.flush().wait()
        finally:
            if self._callbacks is not None:
                self._callbacks.join()

    def close(self) -> None:
        """Flushes, then refuses further messages. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        try:
            self._core.close().wait()
        finally:
            if self._callbacks is not None:
                self._callbacks.stop()

    def __enter__(self) -> HighLevelProducer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Producer(HighLevelProducer):
    """A producer by `ProducerConfig`, whose `batch_size` counts bytes."""

    def __init__(self, client: FlyMQClient, config: Optional[ProducerConfig] = None) -> None:
        super().__init__(client, config)


def core_producer(client: _core.Client, config: ProducerConfig) -> _core.Producer:
    """The core's producer for a configuration."""
    return client.producer(
        batch_bytes=config.batch_size,
        batch_messages=config.max_batch_messages,
        linger_ms=config.linger_ms,
        acks=config.acks,
        retries=config.retries,
        retry_backoff_ms=config.retry_backoff_ms,
        compression=config.compression_type,
        compression_level=config.compression_level,
        enable_idempotence=config.enable_idempotence,
    )
