"""Transactions: messages that become visible together, or not at all."""

from __future__ import annotations

from typing import Any

from pyflymq._call import Call
from pyflymq._calls import Calls
from pyflymq._records import Key
from pyflymq.exceptions import TransactionError
from pyflymq.models import RecordMetadata


class _Transaction:
    def __init__(self, calls: Calls, transaction_id: str) -> None:
        self._calls = calls
        self._ended = False
        #: Id under which the broker knows it.
        self.id = transaction_id

    def _produce(self, topic: str, value: Any, key: Key) -> Call[RecordMetadata]:
        if self._ended:
            raise TransactionError(f"transaction {self.id} is over")
        return self._calls.produce_in_transaction(self.id, topic, value, key)

    def _end(self, commit: bool) -> Call[None]:
        if self._ended:
            raise TransactionError(f"transaction {self.id} is over")
        self._ended = True
        return self._calls.end_transaction(self.id, commit)


class Transaction(_Transaction):
    """A transaction. As a context manager it commits at the end, and rolls back when an exception leaves the block."""

    def produce(self, topic: str, value: Any, key: Key = None) -> RecordMetadata:
        """Adds a message."""
        return self._produce(topic, value, key).wait()

    def commit(self) -> None:
        """Makes all its messages visible."""
        self._end(commit=True).wait()

    def rollback(self) -> None:
        """Drops all its messages."""
        self._end(commit=False).wait()

    def __enter__(self) -> Transaction:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if not self._ended:
            self._end(commit=kind is None).wait()


class AsyncTransaction(_Transaction):
    """`Transaction` for asyncio."""

    async def produce(self, topic: str, value: Any, key: Key = None) -> RecordMetadata:
        """Adds a message."""
        return await self._produce(topic, value, key)

    async def commit(self) -> None:
        """Makes all its messages visible."""
        await self._end(commit=True)

    async def rollback(self) -> None:
        """Drops all its messages."""
        await self._end(commit=False)

    async def __aenter__(self) -> AsyncTransaction:
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        if not self._ended:
            await self._end(commit=kind is None)
