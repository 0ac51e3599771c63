"""Consumers and groups of them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Callable, Optional, SupportsIndex, Union

import pydantic

from pyflymq import _background, _core
from pyflymq._rebalance import OnPlaces, Rebalances
from pyflymq._records import consumed, count_of, offset_of, partition_of
from pyflymq.config import ConsumerConfig
from pyflymq.exceptions import ClosedError, FlyMQError, InvalidArgumentError
from pyflymq.models import ConsumedMessage

if TYPE_CHECKING:
    from pyflymq.client import FlyMQClient

Topics = Union[str, Sequence[str]]
Handler = Callable[[ConsumedMessage], object]

#: How long one wait of an iteration lasts; nothing is lost between two.
ITERATION_WAIT_MS = 1_000

#: Between a read that failed and the next try.
PAUSE_S = 1.0

_log = logging.getLogger("pyflymq")


def consumer_config(config: Optional[ConsumerConfig], **settings: Any) -> ConsumerConfig:
    """`config` with what is given beside it."""
    base = config.model_dump() if config else {}
    given = {name: value for name, value in settings.items() if value is not None}
    try:
        return ConsumerConfig(**{**base, **given})
    except pydantic.ValidationError as error:
        raise InvalidArgumentError(f"the consumer settings are not valid: {error}") from error


def core_settings(
    topics: Topics, config: ConsumerConfig, filter: Optional[str] = None
) -> tuple[list[str], _core._ConsumerSettings]:
    """Topics and settings as the core wants them."""
    names = [topics] if isinstance(topics, str) else list(topics)
    member = config.group_id is not None and config.membership
    if config.group_instance_id is not None and not member:
        raise InvalidArgumentError("group_instance_id needs a group_id, and membership")
    membership = (
        config.session_timeout_ms or 0,
        config.rebalance_timeout_ms or 0,
        config.assignor or "",
        config.group_instance_id,
    )
    return names, {
        "group": config.group_id,
        "offset_reset": config.auto_offset_reset,
        "auto_commit": config.enable_auto_commit,
        "auto_commit_interval_ms": config.auto_commit_interval_ms,
        "max_poll_records": config.max_poll_records,
        "read_uncommitted": config.isolation_level == "read_uncommitted",
        "filter": filter or None,
        "member": membership if member else None,
    }


def core_consumer(client: _core.Client, topics: Topics, config: ConsumerConfig, filter: Optional[str]) -> _core.Consumer:
    """The core's consumer for a configuration."""
    return client.consumer(*core_settings(topics, config, filter))


class HighLevelConsumer:
    """Reads topics, alone or as a member of a group; iterate over it, or `poll`.

    At least once: with auto-commit a message is committed only after the next one was asked for. The members of a group share
    the partitions of their topics, which may be patterns (`+` any one level, `#` all below).

    Callbacks get topics and partitions, inside a `poll`: `on_assign` what is now its own, `on_revoke` what goes to another
    member after the callback (also at `close`), `on_lost` what another member has already: a commit would be refused.
    """

    def __init__(
        self,
        client: FlyMQClient,
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
        self._left = False

    def poll(self, timeout_ms: int = 1_000, max_records: Optional[int] = None) -> list[ConsumedMessage]:
        """Up to `max_records` messages, waiting up to `timeout_ms` for the first; `[]` when none came."""
        if self._closed:
            raise ClosedError("the consumer is closed")
        limit = 0 if max_records is None else count_of("max_records", max_records)
        received = self._poll_core(count_of("timeout_ms", timeout_ms), limit)
        serde = self._client._calls.serde
        return [consumed(one, serde) for one in received]

    def _poll_core(self, timeout_ms: int, limit: int) -> list[_core._Received]:
        if not self._rebalances.wanted:
            return self._core.poll(timeout_ms, limit).wait()
        deadline = time.monotonic() + timeout_ms / 1_000
        while True:
            left = max(0, round((deadline - time.monotonic()) * 1_000))
            received, change = self._core.poll_step(left, limit).wait()
            if change is None:
                return received
            self._rebalances.tell(*change)

    def __iter__(self) -> Iterator[ConsumedMessage]:
        return self

    def __next__(self) -> ConsumedMessage:
        """The next message; waits until there is one, ends when the consumer is closed."""
        while not self._closed:
            try:
                # One at a time, so that a commit covers what the loop has seen; the core fetches ahead.
                messages = self.poll(ITERATION_WAIT_MS, 1)
            except ClosedError:
                if self._closed:
                    break
                raise
            if messages:
                return messages[0]
        raise StopIteration

    def commit(self) -> None:
        """Commits what was handed out so far; durable when it returns."""
        self._core.commit().wait()

    def seek(self, partition: int, offset: SupportsIndex, *, topic: Optional[str] = None) -> None:
        """The next poll reads the partition from `offset`, in every topic that has it unless one is named."""
        self._core.seek(partition_of(partition) or 0, offset_of(offset), topic).wait()

    def seek_to_beginning(self) -> None:
        """The next poll reads all partitions from their first message."""
        self._core.seek_to_beginning().wait()

    def seek_to_end(self) -> None:
        """The next poll reads only what comes from now on."""
        self._core.seek_to_end().wait()

    def position(self, partition: int = 0) -> int:
        """The next offset that is handed out of a partition."""
        return self._core.position(partition_of(partition) or 0).wait()

    def assignment(self) -> list[tuple[str, int]]:
        """Topics and partitions that it reads; empty before the first poll."""
        return [(topic, partition) for topic, partition, _ in self._core.assignment().wait()]

    def close(self) -> None:
        """Commits (with auto-commit) and stops; a poll that waits in another thread ends. Idempotent."""
        self._interrupt()
        left, self._left = self._left, True
        try:
            if self._rebalances.wanted and not left:
                self._rebalances.tell("revoked", self.assignment())
        finally:
            self._core.close().wait()

    def _interrupt(self) -> None:
        """Ends the iteration of another thread after the message at hand, without a commit; that thread closes."""
        self._closed = True
        self._core.interrupt()

    def __enter__(self) -> HighLevelConsumer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Consumer(HighLevelConsumer):
    """A consumer of one topic."""

    def __init__(
        self,
        client: FlyMQClient,
        topic: str,
        group_id: Optional[str] = None,
        *,
        config: Optional[ConsumerConfig] = None,
        **settings: Any,
    ) -> None:
        super().__init__(client, topic, consumer_config(config, group_id=group_id, **settings))


class _StoppedError(Exception):
    """A handler raised, in a group that ends with it."""


class ConsumerGroup:
    """Calls `handler` with each message, in a thread of its own, as a member of the group.

    A message whose handler raises comes again, here or at another member, after `retry_delay_ms` and twice as long each further
    time, and goes to the dead letters after `max_retries` redeliveries (unless given: the broker's settings). The others go on
    meanwhile. With `stop_on_error` the group ends at that message, which stays uncommitted and comes again at the next start;
    `error` holds what was raised, and `stop` raises it, as it does for failures of the reading itself. Those that may pass
    (`retryable`: no connection, no leader) end nothing: it tries again every second.
    """

    def __init__(
        self,
        client: FlyMQClient,
        topics: Topics,
        group_id: str,
        handler: Handler,
        *,
        config: Optional[ConsumerConfig] = None,
        stop_on_error: bool = False,
        max_retries: Optional[int] = None,
        retry_delay_ms: Optional[int] = None,
        **settings: Any,
    ) -> None:
        self.config = consumer_config(config, group_id=group_id, **settings)
        #: What ended the group, if something did.
        self.error: Optional[Exception] = None
        self._client = client
        self._topics = topics
        self._handler = handler
        self._stop_on_error = stop_on_error
        self._policy = (max_retries, retry_delay_ms)
        self._listener: Optional[_core.Listener] = None
        self._stopping = threading.Event()
        self._thread: Optional[threading.Thread] = None

    def start(self) -> None:
        """Begins in the background."""
        if self._thread is not None:
            raise InvalidArgumentError("the consumer group runs already", hint="Call stop() first.")
        self.error = None
        listener = self._client._core.listener(*core_settings(self._topics, self.config), *self._policy)
        self._listener, self._stopping = listener, threading.Event()
        stopping = self._stopping

        def interrupt() -> None:
            stopping.set()
            listener.interrupt()

        self._thread = _background.start("pyflymq-group", lambda: self._run(listener, stopping), interrupt)

    def stop(self) -> None:
        """Ends after the message at hand, commits, and joins the thread. Idempotent. Raises what ended the group."""
        listener, thread = self._listener, self._thread
        self._listener = self._thread = None
        if listener is not None and thread is not None:
            self._stopping.set()
            listener.interrupt()
            thread.join()
        error, self.error = self.error, None
        if error is not None:
            raise error

    def __enter__(self) -> ConsumerGroup:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self, listener: _core.Listener, stopping: threading.Event) -> None:
        try:
            while not stopping.is_set():
                self._step(listener, stopping)
        except _StoppedError as stopped:
            cause = stopped.__cause__
            _log.error("the consumer group %s ends: its handler raised", self.config.group_id, exc_info=cause)
            self.error = cause if isinstance(cause, Exception) else stopped
        except Exception as error:
            _log.exception("the consumer group %s ends", self.config.group_id)
            self.error = error
        finally:
            self._leave(listener)

    def _step(self, listener: _core.Listener, stopping: threading.Event) -> None:
        """One message, if there is one. What the broker fails at and may do later is tried again after a pause."""
        try:
            work = listener.next(ITERATION_WAIT_MS).wait()
            if work is None:
                return
            failure = self._handle(consumed(work[0], self._client._calls.serde))
            if failure is None:
                listener.done().wait()
            else:
                tell_failure(listener.failed(failure_reason(failure)).wait(), failure)
        except FlyMQError as error:
            if not error.retryable:
                raise
            _log.warning("the consumer group %s tries again: %s", self.config.group_id, error)
            stopping.wait(PAUSE_S)

    def _handle(self, message: ConsumedMessage) -> Optional[Exception]:
        """What the handler raised."""
        try:
            self._handler(message)
        except Exception as error:
            if self._stop_on_error:
                # The close gives the message back.
                raise _StoppedError from error
            return error
        return None

    def _leave(self, listener: _core.Listener) -> None:
        try:
            listener.close().wait()
        except FlyMQError as error:
            self.error = self.error or error


def failure_reason(error: BaseException) -> str:
    """What goes with a dead letter."""
    return f"{type(error).__name__}: {error}"


def tell_failure(failed: _core._Failed, error: BaseException) -> None:
    """Logs what became of a message whose handler raised."""
    attempts, dead_lettered, retry_after_ms = failed
    if dead_lettered:
        _log.error("a message failed %d times and is a dead letter now", attempts, exc_info=error)
    else:
        _log.warning("a message failed, and comes again in %d ms", retry_after_ms, exc_info=error)
